// The canvas: the picture, and over it as layers of their own the mask and the points.
// props.image is the frame {url, view}, props.marks what lies on it, props.paint a mask that the server brings back.
// What the user does goes to the server as 'edit' {kind, ...}, with places [x, y] in pixels of the picture, and the
// server answers with new marks. 'look' asks for the picture that the marks belong to.
const find = (selector) => element.querySelector(selector);
const [stage, sheet, img, layer, svg] = ['.stage', '.sheet', '.sheet img', '.mask', '.marks'].map(find);
const [ring, note, bar, line, size] = ['.ring', '.note', '.progress', '.status', '.size'].map(find);
const [file, comparer, list, graph, strip] = ['.file', '.compare', '.pairs', '.graph', '.strip'].map(find);
const pen = layer.getContext('2d');
const REACH = { mouse: 11, pen: 14, touch: 22 }; // pixels of the screen within which a point is picked up
let tool = 'points';
let stroke = null; // the last place of the stroke being painted
let grip = null; // what the pressed pointer holds: {from, at, found, moved}
let draft = null; // points as they would be: {index, end, at} or {handle, target}
let selected = null; // {index, end}
let drawn = null; // the number of the picture that the mask belongs to
const originals = new Map(); // pictures as drawn, by their view
let zoom = { scale: 1, x: 0, y: 0 }; // of the sheet on the stage
let way = []; // [step, pixels to go] of the drag that is shown
let held = null; // where a picture of one's own was last held
let live = null; // a pull that the picture follows: {gesture, at, sent}
let gestures = 0;
const fingers = new Map(); // where each pressed pointer is
let pointer = null; // where the mouse was last
const outbox = []; // edits that wait for the answer to the one before
let edits = 0; // how many were sent
let asked = null; // the view of the last 'look'

const busy = () => ['dragging', 'loading', 'waiting', 'framing'].includes(props.marks.phase);
const press = (id) => document.getElementById(id)?.click();
const limit = (value, most) => Math.round(Math.min(Math.max(value, -0.5), most - 0.5) * 10) / 10;

// What the page says, in the browser's language.
const words = navigator.language.startsWith('zh') ? props.words : {};
const say = ({ text, values = {} }) => (words[text] ?? text).replaceAll(/\{(?<name>\w+)\}/gu, (_, name) => values[name]);

function translate() {
  const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data.trim();
    if (text in words) texts.currentNode.data = texts.currentNode.data.replace(text, words[text]);
  }
  for (const name of ['title', 'aria-label', 'alt']) {
    for (const node of element.querySelectorAll(`[${name}]`)) {
      node.setAttribute(name, say({ text: node.getAttribute(name) }));
    }
  }
}

// Where the pointer is, in pixels of the picture: the centre of the first pixel is (0, 0).
function place(event) {
  const box = sheet.getBoundingClientRect();
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
  let least = ((REACH[event.pointerType] ?? REACH.mouse) * width) / sheet.getBoundingClientRect().width;
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

function post(edit) {
  outbox.push({ ...edit, number: (edits += 1) });
  if (outbox.length === 1) transmit();
}

function transmit() {
  const [edit] = outbox;
  if (!edit) return;
  trigger(edit.kind === 'frame' ? 'frame' : 'edit', edit);
  setTimeout(() => settle(edit.number), 10_000); // an answer that was lost holds up nothing for ever
}

function settle(number) {
  if (outbox[0]?.number !== number) return;
  outbox.shift();
  transmit();
}

// The server's events wait here for the edits made before them.
const pause = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });
window.draggan = { async settled() { while (outbox.length > 0) await pause(10); } };

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
  const side = Math.max(stage.clientWidth, stage.clientHeight, 256) * zoom.scale;
  const unit = (Math.max(width, height) / side) * 2;
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
  const { size: [width, height], phase, status, picture, progress, handles, pending, view, start } = props.marks;
  const task = props.task.status ? props.task : { status, progress };
  stage.style.setProperty('--aspect', width / height);
  if (picture !== drawn) {
    [drawn, selected] = [picture, null];
    layer.width = 0;
  }
  for (const known of [props.image, props.original]) if (known?.view === start) originals.set(start, known.url);
  const frame = (comparing() && originals.get(start)) || props.image.url;
  if (frame && img.getAttribute('src') !== frame) img.src = frame;
  if (layer.width !== width || layer.height !== height) [layer.width, layer.height] = [width, height];
  if (!grip && !(draft?.handle && pending)) draft = null;
  if (selected && selected.index >= handles.length) selected = null;
  layer.hidden = view === 'own'; // the picture that is framed
  stage.classList.toggle('busy', busy() && !live);
  element.dataset.phase = phase;
  bar.hidden = task.progress == null;
  bar.value = task.progress ?? 0;
  if (!stage.classList.contains('alone') && line.textContent !== say(task.status)) line.textContent = say(task.status);
  find('.first').hidden = Boolean(handles.length > 0 || pending || busy() || localStorage.getItem('draggan-seen'));
  points();
  panels();
  if (!busy() && props.image.view !== view && asked !== view) {
    asked = view;
    trigger('look', { original: view !== start && !originals.has(start) });
  }
}

// Beside the picture -------------------------------------------------------------------------------------------------

function make(name, attributes = {}, ...content) {
  const node = Object.assign(document.createElement(name), attributes);
  node.append(...content);
  return node;
}

function panels() {
  const { handles, targets, phase, steps } = props.marks;
  const away = handles.map(([x, y], i) => Math.hypot(targets[i][0] - x, targets[i][1] - y));
  list.replaceChildren(...away.map((far, index) => {
    const close = make('button', { type: 'button', title: say({ text: 'Remove' }) }, '×');
    close.ariaLabel = say({ text: 'Remove point {number}', values: { number: index + 1 } });
    close.addEventListener('click', (event) => {
      event.stopPropagation();
      remove({ index, end: 'target' });
    });
    const row = make('li', {}, `${index + 1}`, make('span', { className: 'away' }, `${far.toFixed(1)} px`), close);
    row.classList.toggle('there', far <= 2);
    row.classList.toggle('chosen', selected?.index === index);
    row.addEventListener('click', () => { selected = { index, end: 'target' }; stage.focus({ preventScroll: true }); show(); });
    return row;
  }));
  if (handles.length === 0) {
    const hint = say({ text: 'No points yet. Press on the picture and draw to where it should go.' });
    list.append(make('li', { className: 'hint' }, hint));
  }
  if (phase === 'dragging' || way.length > 0) trace(steps, Math.max(...away, 0));
}

// The distance of the farthest handle and the loss, step by step.
function trace(steps, far) {
  const { handles, phase, loss } = props.marks;
  if (handles.length === 0 || phase === 'ready' || steps < way.at(-1)?.[0]) way = [];
  if (handles.length > 0 && phase !== 'ready' && !(steps <= way.at(-1)?.[0])) way.push([steps, far, loss]);
  graph.toggleAttribute('hidden', way.length < 2);
  if (way.length < 2) return;
  const [first, last] = [way[0][0], way.at(-1)[0]];
  const tops = [1, 2].map((which) => Math.max(...way.map((point) => point[which]), 1e-6));
  const path = (which) => way.map((point) => [
    24 + ((point[0] - first) / (last - first)) * 170, 62 - (point[which] / tops[which - 1]) * 54,
  ].join(' ')).join('L');
  graph.innerHTML = `<line x1="24" y1="62" x2="196" y2="62"/><path class="loss" d="M${path(2)}"/><path d="M${path(1)}"/>`
    + `<text x="0" y="12">${tops[0].toFixed(0)} px</text><text x="14" y="65">0</text>`;
}

function films() {
  const kept = props.strip.length > 1 ? props.strip : []; // one alone is the picture that is shown
  strip.replaceChildren(...kept.map((src, index) => {
    const title = say({ text: index ? 'Go back to this picture' : 'Go back to the first picture' });
    const button = make('button', { type: 'button', title, ariaLabel: `${title} (${index + 1})` }, make('img', { src, alt: '' }));
    button.addEventListener('click', () => send({ kind: 'back', index }));
    return make('span', { role: 'listitem' }, button);
  }));
  strip.scrollLeft = strip.scrollWidth;
}

// Zoom ---------------------------------------------------------------------------------------------------------------

// The place (x, y) of the stage stays where it is.
function magnify(by, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
  const scale = Math.min(Math.max(zoom.scale * by, 1), 16);
  const ratio = scale / zoom.scale;
  pan(scale, x - (x - zoom.x) * ratio, y - (y - zoom.y) * ratio);
}

function pan(scale, x, y) {
  const fit = (at, length) => Math.min(Math.max(at, length * (1 - scale)), 0);
  zoom = { scale, x: fit(x, stage.clientWidth), y: fit(y, stage.clientHeight) };
  sheet.style.transform = scale > 1 ? `translate(${zoom.x}px, ${zoom.y}px) scale(${scale})` : '';
  stage.classList.toggle('zoomed', scale > 1);
  outline();
  points();
}

const onStage = (x, y) => {
  const box = stage.getBoundingClientRect();
  return [x - box.left, y - box.top];
};

function pinch(event) {
  const before = [...fingers.values()];
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  const after = [...fingers.values()];
  const spread = ([[ax, ay], [bx, by]]) => Math.hypot(ax - bx, ay - by) || 1;
  const centre = ([[ax, ay], [bx, by]]) => onStage((ax + bx) / 2, (ay + by) / 2);
  const [[fromX, fromY], [toX, toY]] = [centre(before), centre(after)];
  magnify(spread(after) / spread(before), fromX, fromY);
  pan(zoom.scale, zoom.x + toX - fromX, zoom.y + toY - fromY);
}

// Comparing ----------------------------------------------------------------------------------------------------------

const comparing = () => !note.hidden;

function compare(on) {
  if (on === comparing()) return;
  note.hidden = !on;
  if (on && !originals.has(props.marks.start)) trigger('look', { original: true });
  comparer.setAttribute('aria-pressed', on);
  stage.classList.toggle('bare', on);
  show();
}

// Points -------------------------------------------------------------------------------------------------------------

function send(edit, mark = null) {
  if (busy()) return;
  localStorage.setItem('draggan-seen', 'yes');
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
  stage.classList.toggle('over', !grip && !pending && !painting() && hit(event) !== null);
  points();
}

// Live: the picture follows the pointer ------------------------------------------------------------------------------

function pull(event) {
  const { found, from } = grip;
  live = { gesture: (gestures += 1), at: place(event), sent: null };
  const start = found && found.index >= 0 ? { index: found.index } : { from };
  trigger('live', { ...start, at: live.at, gesture: live.gesture });
  const follow = () => {
    if (!live) return;
    if (live.at !== live.sent) aim(false);
    live.timer = setTimeout(follow, 80);
  };
  follow();
}

function aim(done) {
  live.sent = live.at;
  trigger('aim', { at: live.at, gesture: live.gesture, done });
}

function letGo(event) {
  live.at = place(event);
  aim(true);
  clearTimeout(live.timer);
  live = null;
}

function release(event) {
  const { from, found, moved } = grip;
  const at = place(event);
  grip = null;
  if (found && moved) send({ kind: 'move', ...found, at }, found);
  else if (found) selected = found;
  else if (tool === 'live') return;
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

const painting = () => ['paint', 'hold', 'erase'].includes(tool);

// A first stroke of what must stay lets all the rest move.
function prime() {
  if (tool !== 'hold' || pen.getImageData(0, 0, layer.width, layer.height).data.some(Boolean)) return;
  pen.globalCompositeOperation = 'source-over';
  pen.fillStyle = 'white';
  pen.fillRect(0, 0, layer.width, layer.height);
}

function paint([x, y], [nextX, nextY]) {
  pen.globalCompositeOperation = tool === 'paint' ? 'source-over' : 'destination-out';
  pen.strokeStyle = 'white';
  pen.lineCap = pen.lineJoin = 'round';
  pen.lineWidth = (size.value / 256 / zoom.scale) * Math.max(layer.width, layer.height);
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
    line.textContent = say({ text: '{name} is not a picture that can be read.', values: { name: chosen.name } });
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
  ring.hidden = !painting() || !pointer;
}

function choose(name) {
  tool = name;
  for (const button of element.querySelectorAll('[data-tool]')) {
    button.setAttribute('aria-pressed', button.dataset.tool === name);
  }
  find('.masking').hidden = !painting();
  stage.classList.toggle('brush', painting());
  outline();
}

function download(href, name) {
  Object.assign(document.createElement('a'), { href, download: name }).click();
}

// A picture of one's own: moved, enlarged and turned before it is reconstructed ---------------------------------------

const framing = () => props.marks.phase === 'framing';

function reframe(change) {
  if (outbox.length > 1) return; // the server is behind: what comes now would only follow later
  post({ kind: 'frame', right: 0, down: 0, larger: 1, turn: 0, ...change });
}

stage.addEventListener('pointermove', (event) => {
  if (!framing() || event.buttons !== 1 || !held) return;
  const [x, y] = place(event);
  const [right, down] = [x - held[0], y - held[1]];
  if (Math.hypot(right, down) < 1 || outbox.length > 1) return;
  held = [x, y];
  reframe({ right, down });
});
stage.addEventListener('pointerdown', (event) => { held = place(event); });
stage.addEventListener('wheel', (event) => {
  if (!framing()) return;
  event.preventDefault();
  const by = event.deltaY || event.deltaX; // Shift makes some browsers scroll sideways
  reframe(event.shiftKey ? { turn: by / 40 } : { larger: 2 ** (-by / 600) });
}, { passive: false });

// Files that are dropped or pasted go the way of the button.
async function receive(event) {
  event.preventDefault();
  const [picture] = (event.dataTransfer ?? event.clipboardData).files;
  const field = () => document.querySelector('#own input[type=file]');
  if (!field()) document.querySelector('#own button').click(); // what is folded up is not there
  for (let i = 0; i < 40 && !field(); i += 1) await pause(50);
  const files = new DataTransfer();
  files.items.add(picture);
  field().files = files.files;
  field().dispatchEvent(new Event('change', { bubbles: true }));
}
const brings = ({ files }) => files[0]?.type.startsWith('image/');

stage.addEventListener('dragover', (event) => event.preventDefault());
stage.addEventListener('drop', (event) => { if (brings(event.dataTransfer)) receive(event); });
function onPaste(event) {
  if (!element.isConnected) document.removeEventListener('paste', onPaste);
  else if (brings(event.clipboardData)) receive(event);
}
document.addEventListener('paste', onPaste);

// Pointer ------------------------------------------------------------------------------------------------------------

stage.addEventListener('pointerdown', (event) => {
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  stage.setPointerCapture(event.pointerId);
  if (fingers.size > 1) cancel();
  if (busy() || event.button !== 0 || !event.isPrimary) return;
  if (painting()) {
    prime();
    stroke = place(event);
    paint(stroke, stroke);
  } else {
    const found = props.marks.pending ? null : hit(event);
    grip = { from: place(event), at: [event.clientX, event.clientY], found, moved: false };
  }
});
stage.addEventListener('pointermove', (event) => {
  pointer = [event.clientX, event.clientY];
  if (fingers.size > 1) {
    if (fingers.has(event.pointerId)) pinch(event);
    return;
  }
  if (fingers.has(event.pointerId) && event.buttons === 4) { // the middle button
    const [x, y] = fingers.get(event.pointerId);
    fingers.set(event.pointerId, pointer);
    pan(zoom.scale, zoom.x + event.clientX - x, zoom.y + event.clientY - y);
    return;
  }
  if (!painting()) {
    if (live) {
      live.at = place(event);
      return;
    }
    if (grip) grip.moved ||= Math.hypot(event.clientX - grip.at[0], event.clientY - grip.at[1]) > 4;
    if (grip?.moved && tool === 'live') pull(event);
    else preview(event);
    return;
  }
  outline();
  if (!stroke) return;
  const next = place(event);
  paint(stroke, next);
  stroke = next;
});
stage.addEventListener('pointerup', (event) => {
  fingers.delete(event.pointerId);
  if (live) {
    letGo(event);
    grip = null;
  }
  if (grip) release(event);
  if (!stroke) return;
  stroke = null;
  remask(() => {});
});
function cancel() {
  if (stroke) remask(() => {});
  if (live) letGo({ clientX: pointer[0], clientY: pointer[1] });
  stroke = grip = draft = null;
  points();
}
stage.addEventListener('pointercancel', ({ pointerId }) => { fingers.delete(pointerId); cancel(); });
stage.addEventListener('wheel', (event) => {
  if (event.ctrlKey || event.metaKey) magnify(2 ** (-event.deltaY / 200), ...onStage(event.clientX, event.clientY));
  else if (zoom.scale > 1) pan(zoom.scale, zoom.x - event.deltaX, zoom.y - event.deltaY);
  else return;
  event.preventDefault();
}, { passive: false });
stage.addEventListener('pointerleave', () => {
  pointer = null;
  if (!grip) draft = null;
  outline();
  points();
});
stage.addEventListener('contextmenu', (event) => {
  event.preventDefault();
  const found = hit(event);
  if (found && !painting()) remove(found);
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
for (const [which, act] of [['.in', () => magnify(1.5)], ['.out', () => magnify(1 / 1.5)], ['.fit', () => pan(1, 0, 0)]]) {
  find(which).addEventListener('click', act);
}
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
  '+': () => magnify(1.5),
  '-': () => magnify(1 / 1.5),
  0: () => pan(1, 0, 0),
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

// What outlives the server ---------------------------------------------------------------------------------------------

let later = 0; // when the browser asks for what it keeps
let host = null; // which server was last seen

// After a while without a change the browser asks for the session, and keeps it for the case of a new start.
function keepSoon() {
  clearTimeout(later);
  if (!busy()) later = setTimeout(() => trigger('safe'), 1500);
}

async function meet() {
  if (!element.isConnected) return;
  try {
    const answer = await fetch(new URL('gradio_api/app_id', document.baseURI), { cache: 'no-store' });
    const { app_id: id } = await answer.json();
    if (host !== null && id !== host) location.reload(); // another one: it takes what was kept
    if (host === null || stage.classList.contains('alone')) show();
    stage.classList.remove('alone');
    host = id;
  } catch {
    stage.classList.add('alone');
    const text = 'The server does not answer. Your picture, points and mask are kept here, and come back with it.';
    line.textContent = say({ text });
  }
  setTimeout(meet, 3000);
}
meet();

// What the server sends ----------------------------------------------------------------------------------------------

watch(['image', 'marks', 'original', 'task'], show);
watch('strip', films);
watch('marks', keepSoon);
watch('kept', () => {
  try {
    sessionStorage.setItem('draggan', props.kept);
  } catch {
    sessionStorage.removeItem('draggan'); // too large
  }
});
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
translate();
new ResizeObserver(() => pan(zoom.scale, zoom.x, zoom.y)).observe(stage);
show();
films();
