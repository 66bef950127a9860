// What is said to those who do not see the page. Of what changes `often` the last, every five seconds.
export function speaking(node) {
  let [timer, last] = [null, ''];

  function speak(text, often = false) {
    last = text;
    if (often && timer) return;
    clearTimeout(timer);
    timer = often ? setTimeout(again, 5000) : null;
    node.textContent = text;
  }

  function again() {
    timer = null;
    if (node.textContent !== last) speak(last, true);
  }

  return speak;
}
