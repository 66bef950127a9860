// The entries of the lists beside the picture and under it. `act` holds what their buttons do.
function make(name, attributes = {}, ...content) {
  const node = Object.assign(document.createElement(name), attributes);
  node.append(...content);
  return node;
}

function button(text, content, act, attributes = {}) {
  const node = make('button', { type: 'button', ariaLabel: text, ...attributes }, ...content);
  node.addEventListener('click', act);
  return node;
}

// A point, and the pixels that it has to go.
export function pairRow(say, { number, pixels, chosen }, act) {
  const far = `${pixels.toFixed(1)} px`;
  const text = say({ text: 'Point {number}: {far} to go', values: { number, far } });
  const content = [String(number), make('span', { className: 'away' }, far)];
  const pick = button(text, content, act.choose, { className: 'pick', ariaPressed: chosen });
  const close = button(say({ text: 'Remove point {number}', values: { number } }), ['×'], ({ detail }) => {
    if (detail < 2) act.remove(); // the second click of two would take the next point
  }, { title: say({ text: 'Remove' }) });
  const row = make('li', {}, pick, close);
  row.classList.toggle('there', pixels <= 2);
  row.classList.toggle('chosen', chosen);
  return row;
}

export function hintRow(text) {
  return make('li', { className: 'hint' }, text);
}

// A picture to go back to.
export function film(say, { src, index }, act) {
  const title = say({ text: index ? 'Go back to this picture' : 'Go back to the first picture' });
  const picture = make('img', { src, alt: '' });
  return make('span', { role: 'listitem' }, button(`${title} (${index + 1})`, [picture], act, { title }));
}
