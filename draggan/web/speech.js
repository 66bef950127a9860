// What is said, in the browser's language. words: {English: Chinese}.
export function speech(words) {
  const known = navigator.language.startsWith('zh') ? words : {};

  // With a place {name} in the text for each value.
  const say = ({ text, values = {} }) => (
    (known[text] ?? text).replaceAll(/\{(?<name>\w+)\}/gu, (_, name) => values[name])
  );

  // Texts that are there already.
  function translate(element) {
    const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode.data.trim();
      if (text) texts.currentNode.data = texts.currentNode.data.replace(text, say({ text }));
    }
    for (const name of ['title', 'aria-label', 'alt']) {
      for (const node of element.querySelectorAll(`[${name}]`)) {
        node.setAttribute(name, say({ text: node.getAttribute(name) }));
      }
    }
  }

  return { say, translate };
}
