// The focus of someone who works with keys. A button that a key pressed, and that can be pressed no more since it is
// disabled or gone, leaves the focus to another, by their ids, or else to `rest`: the page would get it, and the next key.
export function leaving(heed, others, rest) {
  let pressed = null;
  const usable = (node) => !node.disabled && node.checkVisibility();
  heed('keydown', ({ key, target }) => { if (key === ' ' || key === 'Enter') pressed = target.closest('button'); });
  heed('pointerdown', () => { pressed = null; });
  const watcher = new MutationObserver(() => {
    if (!rest.isConnected) watcher.disconnect();
    if (!pressed || usable(pressed) || ![pressed, document.body].includes(document.activeElement)) return;
    const next = document.getElementById(others[pressed.id]) ?? rest;
    if (!usable(next)) return;
    next.focus({ preventScroll: true });
    pressed = next;
  });
  const seen = { attributes: true, attributeFilter: ['disabled', 'class', 'style'], childList: true, subtree: true };
  watcher.observe(document.body, seen);
}
