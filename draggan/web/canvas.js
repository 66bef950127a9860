// The canvas: the picture, and over it as layers of their own the mask and the points.
// props.image is the frame (a data URL), props.marks what lies on it, props.paint a mask that the server brings back.
// What the user does goes to the server as 'edit' {kind, ...}, with places [x, y] in pixels of the picture, and the
// server answers with new marks. 'look' asks for the picture that the marks belong to.
const find = (selector) => element.querySelector(selector);
const [stage, img, layer, svg, ring, note] = ['.stage', '.stage img', '.mask', '.marks', '.ring', '.note'].map(find);
const [bar, line, size, file, comparer] = ['.progress', '.status', '.size', '.file', '.compare'].map(find);
const pen = layer.getContext('2d');
const REACH = { mouse: 11, pen: 14, touch: 22 }; // pixels of the screen within which a point is picked up
let tool = 'points';
let stroke = null; // the last place of the stroke being painted
let grip = null; // what the pressed pointer holds: {from, at, found, moved}
let draft = null; // points as they would be: {index, end, at} or {handle, target}
let selected = null; // {index, end}
let drawn = null; // the number of the picture that the mask and the original belong to
let original = ''; // the picture as drawn
let pointer = null; // where the mouse was last
const outbox = []; // edits that wait for the answer to the one before
let edits = 0; // how many were sent
let asked = null; // the view of the last 'look'

const busy = () => ['dragging', 'loading', 'waiting'].includes(props.marks.phase);
const press = (id) => document.getElementById(id)?.click();
const limit = (value, most) => Math.round(Math.min(Math.max(value, -0.5), most - 0.5) * 10) / 10;

// Where the pointer is, in pixels of the picture: the centre of the first pixel is (0, 0).
function place(event) {
  const box = stage.getBoundingClientRect();
  const [width, height] = props.marks.size;
  return [
    limit(((event.clientX - box.left) / box.width) * width - 0.5, width),
    limit(((event.clientY - box.top) / box.height) * height - 0.5, height),
  ];
}

// The point under the pointer: {index, end}, with index -1 for a handle that waits.
function hit(event) {
  const { handles, targets, pending, size: [width] } = props.marks;
  const [x, y] = place(event);
  let best = null;
  let least = ((REACH[event.pointerType] ?? REACH.mouse) * width) / stage.clientWidth;
  const offer = (index, end, [px, py]) => {
    const away = Math.hypot(px - x, py - y);
    if (away <= least) [best, least] = [{ index, end }, away];
  };
  targets.forEach((at, index) => offer(index, 'target', at));
  handles.forEach((at, index) => offer(index, 'handle', at));
  if (pending) offer(-1, 'handle', pending);
  return best;
}

// Edits go one at a time, so that each is made on top of the answer to the one before ------------------------------------

const unanswered = () => outbox.length > 0;

function post(edit) {
  outbox.push({ ...edit, number: (edits += 1) });
  if (outbox.length === 1) transmit();
}

function transmit() {
  const [edit] = outbox;
  if (!edit) return;
  trigger('edit', edit);
  setTimeout(() => settle(edit.number), 10_000); // an answer that was lost holds up nothing for ever
}

function settle(number) {
  if (outbox[0]?.number !== number) return;
  outbox.shift();
  transmit();
}

// The server's events wait here for the edits made before them.
window.draggan = {
  async settled() {
    while (unanswered()) await new Promise((done) => { setTimeout(done, 10); });
  },
};

// Drawing ------------------------------------------------------------------------------------------------------------

function shape(name, attributes) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  svg.append(node);
}

function drawPair([hx, hy], target, unit, kind = '') {
  if (target) {
    const [tx, ty] = target;
    const length = Math.hypot(tx - hx, ty - hy);
    if (length > 7 * unit) {
      const [dx, dy] = [(tx - hx) / length, (ty - hy) / length];
      const [ex, ey] = [tx - dx * 4.5 * unit, ty - dy * 4.5 * unit];
      const wing = (side) => `${ex - 5 * unit * (dx + side * dy * 0.6)},${ey - 5 * unit * (dy - side * dx * 0.6)}`;
      const arrow = { x1: hx, y1: hy, x2: ex - dx * 3 * unit, y2: ey - dy * 3 * unit };
      shape('line', { ...arrow, stroke: 'rgb(0 0 0 / 0.5)', 'stroke-width': 2.8 * unit });
      shape('line', { ...arrow, stroke: 'white', 'stroke-width': 1.4 * unit });
      const head = { points: `${ex},${ey} ${wing(1)} ${wing(-1)}`, fill: 'white' };
      shape('polygon', { ...head, stroke: 'rgb(0 0 0 / 0.5)', 'stroke-width': 0.7 * unit });
    }
    const circle = { cx: tx, cy: ty, r: 4 * unit, fill: 'none' };
    shape('circle', { ...circle, stroke: 'white', 'stroke-width': 3 * unit });
    shape('circle', { ...circle, stroke: '#f03232', 'stroke-width': 1.8 * unit, class: `${kind}target` });
  }
  const dot = { cx: hx, cy: hy, r: 3.4 * unit, fill: '#286eff', stroke: 'white', 'stroke-width': unit };
  shape('circle', { ...dot, class: `${kind}handle` });
}

function points() {
  const { size: [width, height], handles, targets, pending } = props.marks;
  const unit = (Math.max(width, height) / Math.max(stage.clientWidth, stage.clientHeight, 256)) * 2;
  const moved = (index, end, at) => (draft?.index === index && draft.end === end ? draft.at : at);
  svg.setAttribute('viewBox', `-0.5 -0.5 ${width} ${height}`);
  svg.replaceChildren();
  if (selected && selected.index < handles.length) {
    const { index, end } = selected;
    const [cx, cy] = moved(index, end, (end === 'handle' ? handles : targets)[index]);
    const halo = { cx, cy, r: 7.5 * unit, fill: 'rgb(255 255 255 / 0.35)', stroke: '#ffd028', class: 'selected' };
    shape('circle', { ...halo, 'stroke-width': 1.5 * unit });
  }
  handles.forEach((handle, i) => drawPair(moved(i, 'handle', handle), moved(i, 'target', targets[i]), unit));
  if (draft?.handle) drawPair(draft.handle, draft.target, unit, 'new-');
  if (pending) drawPair(pending, null, unit);
}

function show() {
  const marked = props.marks;
  const { size: [width, height], phase, status, picture, progress, handles, pending } = marked;
  stage.style.setProperty('--aspect', width / height);
  if (picture !== drawn) {
    [drawn, original, selected] = [picture, props.image, null];
    layer.width = 0;
  }
  const frame = comparing() ? original : props.image;
  if (img.getAttribute('src') !== frame) img.src = frame;
  if (layer.width !== width || layer.height !== height) [layer.width, layer.height] = [width, height];
  if (!grip && !(draft?.handle && pending)) draft = null;
  if (selected && selected.index >= handles.length) selected = null;
  stage.classList.toggle('busy', busy());
  element.dataset.phase = phase;
  bar.hidden = progress == null;
  bar.value = progress ?? 0;
  if (line.textContent !== status) line.textContent = status;
  points();
  if (!busy() && props.view !== marked.view && asked !== marked.view) {
    asked = marked.view;
    trigger('look');
  }
}

// Comparing ----------------------------------------------------------------------------------------------------------

const comparing = () => !note.hidden;

function compare(on) {
  if (on === comparing()) return;
  note.hidden = !on;
  comparer.setAttribute('aria-pressed', on);
  stage.classList.toggle('bare', on);
  show();
}

// Points -------------------------------------------------------------------------------------------------------------

function send(edit, mark = null) {
  if (busy()) return;
  selected = mark;
  post(edit);
}

function remove(found) {
  send(found.index < 0 ? { kind: 'drop' } : { kind: 'remove', index: found.index });
}

function preview(event) {
  const { pending } = props.marks;
  if (grip?.found && grip.moved) draft = { ...grip.found, at: place(event) };
  else if (pending || grip?.moved) draft = { handle: pending ?? grip.from, target: place(event) };
  else draft = null;
  stage.classList.toggle('over', !grip && !pending && tool === 'points' && hit(event) !== null);
  points();
}

function release(event) {
  const { from, found, moved } = grip;
  const at = place(event);
  grip = null;
  if (found && moved) send({ kind: 'move', ...found, at }, found);
  else if (found) selected = found;
  else if (!props.marks.pending && moved) send({ kind: 'pair', at: from, to: at });
  else send({ kind: 'click', at });
  points();
}

function nudge(dx, dy) {
  const { size: [width, height], handles, targets } = props.marks;
  const { index, end } = selected;
  const [x, y] = (end === 'handle' ? handles : targets)[index];
  send({ kind: 'move', index, end, at: [limit(x + dx, width), limit(y + dy, height)] }, selected);
}

// Mask ---------------------------------------------------------------------------------------------------------------

function paint([x, y], [nextX, nextY]) {
  pen.globalCompositeOperation = tool === 'erase' ? 'destination-out' : 'source-over';
  pen.strokeStyle = 'white';
  pen.lineCap = pen.lineJoin = 'round';
  pen.lineWidth = (size.value / 256) * Math.max(layer.width, layer.height);
  pen.beginPath();
  pen.moveTo(x + 0.5, y + 0.5);
  pen.lineTo(nextX + 0.501, nextY + 0.5); // a line without length would leave nothing
  pen.stroke();
}

// Another mask: `change` draws it.
function remask(change) {
  if (busy()) return;
  pen.globalCompositeOperation = 'source-over';
  pen.fillStyle = 'white';
  change();
  post({ kind: 'mask', png: layer.toDataURL('image/png') });
}

function invert() {
  pen.globalCompositeOperation = 'xor';
  pen.fillRect(0, 0, layer.width, layer.height);
}

// Each pixel of a picture of the layer's size becomes what `turn` makes of its [red, green, blue, alpha].
function turned(source, turn) {
  const copy = Object.assign(document.createElement('canvas'), { width: layer.width, height: layer.height });
  const context = copy.getContext('2d');
  context.imageSmoothingEnabled = false;
  context.drawImage(source, 0, 0, copy.width, copy.height);
  const pixels = context.getImageData(0, 0, copy.width, copy.height);
  for (let i = 0; i < pixels.data.length; i += 4) pixels.data.set(turn(pixels.data.slice(i, i + 4)), i);
  context.putImageData(pixels, 0, 0);
  return copy;
}

async function loadMask() {
  const [chosen] = file.files;
  file.value = '';
  if (!chosen) return;
  try {
    const source = await createImageBitmap(chosen);
    const white = ([r, g, b, a]) => (((r + g + b) / 3) * a > 127 * 255 ? [255, 255, 255, 255] : [0, 0, 0, 0]);
    const mask = turned(source, white);
    remask(() => {
      pen.clearRect(0, 0, layer.width, layer.height);
      pen.drawImage(mask, 0, 0);
    });
  } catch {
    line.textContent = `${chosen.name} is not a picture that can be read.`;
  }
}

function saveMask() {
  const mask = turned(layer, ([, , , a]) => (a > 127 ? [255, 255, 255, 255] : [0, 0, 0, 255]));
  download(mask.toDataURL('image/png'), 'mask.png');
}

function outline() {
  const box = stage.getBoundingClientRect();
  const side = `${(size.value / 256) * Math.max(box.width, box.height)}px`;
  if (pointer) [ring.style.left, ring.style.top] = [`${pointer[0] - box.left}px`, `${pointer[1] - box.top}px`];
  [ring.style.width, ring.style.height] = [side, side];
  ring.hidden = tool === 'points' || !pointer;
}

function choose(name) {
  tool = name;
  for (const button of element.querySelectorAll('[data-tool]')) {
    button.setAttribute('aria-pressed', button.dataset.tool === name);
  }
  find('.masking').hidden = tool === 'points';
  stage.classList.toggle('brush', tool !== 'points');
  outline();
}

function download(href, name) {
  Object.assign(document.createElement('a'), { href, download: name }).click();
}

// Pointer ------------------------------------------------------------------------------------------------------------

stage.addEventListener('pointerdown', (event) => {
  if (busy() || event.button !== 0 || !event.isPrimary) return;
  stage.setPointerCapture(event.pointerId);
  if (tool === 'points') {
    const found = props.marks.pending ? null : hit(event);
    grip = { from: place(event), at: [event.clientX, event.clientY], found, moved: false };
  } else {
    stroke = place(event);
    paint(stroke, stroke);
  }
});
stage.addEventListener('pointermove', (event) => {
  pointer = [event.clientX, event.clientY];
  if (tool === 'points') {
    if (grip) grip.moved ||= Math.hypot(event.clientX - grip.at[0], event.clientY - grip.at[1]) > 4;
    preview(event);
    return;
  }
  outline();
  if (!stroke) return;
  const next = place(event);
  paint(stroke, next);
  stroke = next;
});
stage.addEventListener('pointerup', (event) => {
  if (grip) release(event);
  if (!stroke) return;
  stroke = null;
  remask(() => {});
});
stage.addEventListener('pointercancel', () => {
  if (stroke) remask(() => {});
  stroke = grip = draft = null;
  points();
});
stage.addEventListener('pointerleave', () => {
  pointer = null;
  if (!grip) draft = null;
  outline();
  points();
});
stage.addEventListener('contextmenu', (event) => {
  event.preventDefault();
  const found = hit(event);
  if (found && tool === 'points') remove(found);
});

// Buttons and keys ---------------------------------------------------------------------------------------------------

for (const button of element.querySelectorAll('[data-tool]')) {
  button.addEventListener('click', () => choose(button.dataset.tool));
}
size.addEventListener('input', outline);
find('.invert').addEventListener('click', () => remask(invert));
find('.unmask').addEventListener('click', () => remask(() => pen.clearRect(0, 0, layer.width, layer.height)));
find('.load').addEventListener('click', () => file.click());
file.addEventListener('change', loadMask);
find('.keep').addEventListener('click', saveMask);
comparer.addEventListener('pointerdown', () => compare(true));
for (const end of ['pointerup', 'pointerleave', 'pointercancel', 'blur', 'keyup']) {
  comparer.addEventListener(end, () => compare(false));
}
comparer.addEventListener('keydown', ({ key }) => { if (key === ' ' || key === 'Enter') compare(true); });

// Buttons of the page that are edits.
function onClick({ target }) {
  if (!element.isConnected) document.removeEventListener('click', onClick);
  else if (target.closest?.('#undo, #redo, #reset, #clear')) post({ kind: target.closest('button').id });
}
document.addEventListener('click', onClick);

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = {
  ' ': () => press(busy() ? 'stop' : 'drag'),
  Escape: () => {
    if (props.marks.pending) send({ kind: 'drop' });
    selected = null;
  },
  Delete: () => selected && remove(selected),
  Backspace: () => selected && remove(selected),
  '[': () => { size.value -= 2; },
  ']': () => { size.value = Number(size.value) + 2; },
  c: () => compare(true),
};

function onKey(event) {
  if (!element.isConnected) {
    document.removeEventListener('keydown', onKey);
    return;
  }
  const { target, key } = event;
  if (target.closest?.('input:not([type=range]), textarea, select, [contenteditable=true]')) return;
  if (event.ctrlKey || event.metaKey) {
    if (event.altKey || !['z', 'y'].includes(key.toLowerCase())) return;
    press(event.shiftKey || key.toLowerCase() === 'y' ? 'redo' : 'undo');
  } else if (key in ARROWS && target === stage && selected && !busy()) {
    const by = event.shiftKey ? 10 : 1;
    nudge(...ARROWS[key].map((step) => step * by));
  } else if (key in KEYS && !event.altKey) {
    if (key === ' ' && (event.repeat || target.closest?.('button, summary, [role=button]'))) return;
    KEYS[key]();
    outline();
    points();
  } else return;
  event.preventDefault();
}
document.addEventListener('keydown', onKey);
document.addEventListener('keyup', ({ key }) => { if (key === 'c') compare(false); });
window.addEventListener('blur', () => compare(false));

// What the server sends ----------------------------------------------------------------------------------------------

watch(['image', 'marks', 'view'], show);
watch('answered', () => settle(props.answered));
watch('paint', () => {
  const sent = props.paint;
  pen.clearRect(0, 0, layer.width, layer.height);
  if (!sent?.png) return;
  const mask = new Image();
  mask.onload = () => {
    if (props.paint !== sent) return;
    pen.globalCompositeOperation = 'source-over';
    pen.drawImage(mask, 0, 0);
  };
  mask.src = sent.png;
});
// A file that the server made is saved under its name, without a copy on the server.
watch('file', () => { if (props.file) download(props.file.url, props.file.name); });
new ResizeObserver(() => show()).observe(stage);
show();
