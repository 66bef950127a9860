// What is said, in the browser's language.
// words: {English: Chinese}. -> a function of {text, values}, with a place {name} in the text for each value
export function speaker(words) {
  const known = navigator.language.startsWith('zh') ? words : {};
  return ({ text, values = {} }) => (known[text] ?? text).replaceAll(/\{(?<name>\w+)\}/gu, (_, name) => values[name]);
}

// Texts that are there already.
export function translate(element, say) {
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
