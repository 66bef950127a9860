// The canvas: the picture, and over it as layers of their own the mask and the points.
// props.image is the frame {url, view}, props.marks what lies on it, props.paint a mask that the server brings back.
// What the user does goes to the server as 'edit' {kind, ...}, with places [x, y] in pixels of the picture, and the
// server answers with new marks. 'look' asks for the picture that the marks belong to.
import { STILL, carried } from './framing.js';
import { brush, contentOf, hasPaint, invert, paintOf, pictureOf, putBack, repaint, whiten, wipe } from './mask.js';
import { copying, download, give, taking } from './files.js';
import { drawCross, drawGraph, drawHalo, drawPair } from './drawing.js';
import { film, hintRow, pairRow } from './lists.js';
import { foreseen, maskAfter, outgoing } from './edits.js';
import { meet, tellShown } from './server.js';
import { leaving } from './focus.js';
import { speaking } from './aloud.js';
import { zooming } from './zoom.js';

const find = (selector) => element.querySelector(selector);
const [stage, sheet, img, layer, svg] = ['.stage', '.sheet', '.sheet img', '.mask', '.marks'].map(find);
const [ring, note, bar, line, size] = ['.ring', '.note', '.progress', '.status', '.size'].map(find);
const [file, comparer, list, graph, strip] = ['.file', '.compare', '.pairs', '.graph', '.strip'].map(find);
const ORIGINALS = 16; // pictures to compare to that are kept
const REACH = { mouse: 11, pen: 14, touch: 22 }; // pixels of the screen within which a point is picked up
let tool = 'points';
let stroke = null; // the stroke being painted: {at, before}, where the brush is, and the mask as it was
let grip = null; // what the pressed pointer holds: {from, at, found, moved}
let draft = null; // points as they would be: {index, end, at} or {handle, target}
let selected = null; // {index, end}
let meant = -1; // which row of the list is under the pointer
let drawn = null; // the number of the picture that the mask belongs to
const originals = new Map(); // pictures to compare to, by their view: the last few, others are asked for again
let way = []; // [step, pixels to go] of the drag that is shown
let cross = null; // where the keys are on the picture
let remarked = null; // what is said in place of a status: {said, status}
let live = null; // a pull that the picture follows: {gesture, at, sent}
let gestures = 0;
const fingers = new Map(); // where each pressed pointer is
let pointer = null; // where the mouse was last
let asked = null; // the view of a 'look' whose picture is not here yet

const alone = () => stage.classList.contains('alone'); // the server does not answer
const coming = () => foreseen(props.marks.pending, alone() ? [] : outbox);
const busy = () => alone() || ['dragging', 'loading', 'waiting', 'framing'].includes(props.marks.phase);
const press = (id) => document.getElementById(id)?.click();
const limit = (value, most) => Math.round(Math.min(Math.max(value, -0.5), most - 0.5) * 10) / 10;

const { say, translate } = window.draggan;
const speak = speaking(find('.aloud'));
const { copy, arrived } = copying(() => trigger('copy', { original: comparing() }), remark);
const { outbox, enqueue, settle } = outgoing((edit) => trigger(edit.kind === 'frame' ? 'frame' : 'edit', edit), points);
const { zoom, pan, magnify, shift, pinch, reveal } = zooming(stage, sheet, () => {
  outline();
  points();
});

// Where the pointer is, in pixels of the picture: the centre of the first pixel is (0, 0).
function place(event) {
  const box = sheet.getBoundingClientRect();
  const [width, height] = props.marks.size;
  return [
    limit(((event.clientX - box.left) / box.width) * width - 0.5, width),
    limit(((event.clientY - box.top) / box.height) * height - 0.5, height),
  ];
}

// The point within a reach of a place: {index, end}, with index -1 for a handle that waits.
function near([x, y], reach) {
  const { handles, targets, pending, size: [width] } = props.marks;
  let best = null;
  let least = (reach * width) / sheet.getBoundingClientRect().width;
  const offer = (index, end, [px, py]) => {
    const away = Math.hypot(px - x, py - y);
    if (away <= least) [best, least] = [{ index, end }, away];
  };
  targets.forEach((at, index) => offer(index, 'target', at));
  handles.forEach((at, index) => offer(index, 'handle', at));
  if (pending) offer(-1, 'handle', pending);
  return best;
}

// The point under the pointer.
const hit = (event) => near(place(event), REACH[event.pointerType] ?? REACH.mouse);

// Listens to the page as long as the canvas is on it.
function heed(kind, act) {
  const listen = (event) => (element.isConnected ? act(event) : document.removeEventListener(kind, listen));
  document.addEventListener(kind, listen);
}

// Edits ----------------------------------------------------------------------------------------------------------------

function post(edit) {
  if (alone()) return;
  keeper.began();
  remarked = null;
  enqueue(edit);
  tell();
}

// The server's events wait here for the edits made before them.
const pause = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });
window.draggan.settled = async () => { while (outbox.length > 0) await pause(10); };

// Drawing ------------------------------------------------------------------------------------------------------------

function points() {
  const { size: [width, height], handles, targets, pending } = props.marks;
  const side = Math.max(stage.clientWidth, stage.clientHeight, 256) * zoom.scale;
  const unit = (Math.max(width, height) / side) * 2;
  const moved = (index, end, at) => (draft?.index === index && draft.end === end ? draft.at : at);
  svg.setAttribute('viewBox', `-0.5 -0.5 ${width} ${height}`);
  svg.replaceChildren();
  if (selected && selected.index < handles.length) {
    const { index, end } = selected;
    drawHalo(svg, moved(index, end, (end === 'handle' ? handles : targets)[index]), unit, 'selected');
  }
  if (meant in handles) drawHalo(svg, handles[meant], unit, 'meant');
  handles.forEach((handle, i) => {
    const number = handles.length > 1 ? i + 1 : null;
    drawPair(svg, { handle: moved(i, 'handle', handle), target: moved(i, 'target', targets[i]), number }, unit);
  });
  if (draft?.handle) drawPair(svg, { ...draft, kind: 'new-' }, unit);
  const { handle: next, pairs } = coming();
  for (const pair of pairs) drawPair(svg, { ...pair, kind: 'new-' }, unit);
  if (next && ![pending, draft?.handle].includes(next)) drawPair(svg, { handle: next, kind: 'new-' }, unit);
  if (pending) drawPair(svg, { handle: pending }, unit);
  if (!selected && !busy()) drawCross(svg, spot(), unit);
}

// What is going on, and how much of it is done.
function task() {
  if (props.task.status) return props.task;
  const { status, progress } = props.marks;
  return { status: framing() && touched() ? FINGERS : status, progress };
}

function tell() {
  const status = say(task().status);
  if (remarked?.status !== status) remarked = null;
  write(alone() ? say(keeper.alone()) : remarked?.said ?? status);
}

function write(said) {
  if (line.textContent === said) return;
  line.textContent = said;
  speak(said, busy() || Boolean(props.task.status));
}

// What is framed is seen whole, since that is used; and a picture is on the screen when it is new or begins to be framed.
function present({ phase, picture }) {
  if (framing() && zoom.scale > 1) pan(1, 0, 0);
  const fresh = drawn !== null && picture !== drawn;
  const { top, bottom } = stage.getBoundingClientRect();
  if (bottom > innerHeight / 4 && top < innerHeight * 0.75) return;
  if (fresh || (phase === 'framing' && element.dataset.phase !== phase)) requestAnimationFrame(() => stage.scrollIntoView());
}

function know(view, url) {
  originals.set(view, url);
  if (originals.size > ORIGINALS) originals.delete(originals.keys().next().value);
}

function show() {
  const { size: [width, height], phase, picture, handles, pending, view, start, photo } = props.marks;
  const { progress } = task();
  stage.style.setProperty('--aspect', width / height);
  present(props.marks);
  if (picture !== drawn) {
    [drawn, selected, cross, stroke] = [picture, null, null, null];
    layer.width = 0;
  }
  for (const known of [props.image, props.original]) if (known?.view === start) know(start, known.url);
  const frame = (comparing() && originals.get(start)) || props.image.url;
  if (frame && img.getAttribute('src') !== frame) img.src = frame;
  if (layer.width !== width || layer.height !== height) [layer.width, layer.height] = [width, height];
  if (!grip && !(draft?.handle && pending)) draft = null;
  if (selected && selected.index >= handles.length) selected = null;
  layer.hidden = view === 'own'; // the picture that is framed
  stage.classList.toggle('busy', busy() && !live);
  element.dataset.phase = phase;
  bar.hidden = progress == null;
  bar.value = progress ?? 0;
  tell();
  find('.first').hidden = Boolean(handles.length > 0 || pending || busy() || photo || window.draggan.seen());
  points();
  panels();
  if (props.image.view === view && compared()) asked = null;
  else if (!busy() && asked !== view) {
    asked = view;
    trigger('look', { original: view !== start && !originals.has(start) });
  }
}

// Beside the picture -------------------------------------------------------------------------------------------------

function panels() {
  const { handles, targets, phase, steps } = props.marks;
  const away = handles.map(([x, y], i) => Math.hypot(targets[i][0] - x, targets[i][1] - y));
  const focused = [...list.querySelectorAll('button')].indexOf(document.activeElement);
  const choosing = (index) => () => {
    select({ index, end: 'target' });
    stage.focus({ preventScroll: true });
    intoView();
    show();
  };
  list.replaceChildren(...away.map((pixels, index) => {
    const act = { choose: choosing(index), remove: () => remove({ index, end: 'target' }) };
    return pairRow(say, { number: index + 1, pixels, chosen: selected?.index === index }, act);
  }));
  if (focused !== -1) (list.querySelectorAll('button')[focused] ?? stage).focus({ preventScroll: true });
  if (handles.length === 0 && !busy()) {
    list.append(hintRow(say({ text: 'No points yet. Press on the picture and draw to where it should go.' })));
  }
  if (phase === 'dragging' || way.length > 0) trace(steps, Math.max(...away, 0));
}

list.addEventListener('pointerover', ({ target }) => {
  meant = [...list.children].indexOf(target.closest('li'));
  points();
});
list.addEventListener('pointerleave', () => {
  meant = -1;
  points();
});

// The distance of the farthest handle and the loss, step by step.
function trace(steps, far) {
  const { handles, phase, loss } = props.marks;
  if (handles.length === 0 || phase === 'ready' || steps < way.at(-1)?.[0]) way = [];
  if (handles.length > 0 && phase !== 'ready' && !(steps <= way.at(-1)?.[0])) way.push([steps, far, loss]);
  graph.toggleAttribute('hidden', way.length < 2);
  if (way.length > 1) drawGraph(graph, way);
}

function films() {
  const kept = props.strip.length > 1 ? props.strip : []; // one alone is the picture that is shown
  strip.replaceChildren(...kept.map((src, index) => film(say, { src, index }, () => send({ kind: 'back', index }))));
  strip.scrollLeft = strip.scrollWidth;
}

// Comparing ----------------------------------------------------------------------------------------------------------

const comparing = () => !note.hidden;
const compared = () => !comparing() || originals.has(props.marks.start); // what is compared to is here

function compare(on) {
  if (on === comparing()) return;
  note.hidden = !on;
  if (on && busy() && !originals.has(props.marks.start)) trigger('look', { original: true });
  comparer.setAttribute('aria-pressed', on);
  stage.classList.toggle('bare', on);
  show();
}

// Points -------------------------------------------------------------------------------------------------------------

function send(edit, mark = null) {
  if (busy()) return;
  window.draggan.see();
  selected = mark;
  post(edit);
}

function remove(found) {
  send(found.index < 0 ? { kind: 'drop' } : { kind: 'remove', index: found.index });
}

function preview(event) {
  const { handle: pending } = coming();
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
  keeper.began();
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
  else {
    draft = null;
    send(moved && !coming().handle ? { kind: 'pair', at: from, to: at } : { kind: 'click', at });
  }
  points();
}

// Where the selected point is when all that was sent is answered.
function whereabouts() {
  const { handles, targets } = props.marks;
  const { index, end } = selected;
  const sent = outbox.findLast((edit) => edit.kind === 'move' && edit.index === index && edit.end === end);
  return sent?.at ?? (end === 'handle' ? handles : targets)[index];
}

// By keys -------------------------------------------------------------------------------------------------------------

// Where the cross is; it begins in the middle.
const spot = () => cross ?? props.marks.size.map((length) => Math.floor(length / 2));
const byKeys = () => stage.classList.contains('keys') && !painting();
stage.addEventListener('focus', () => stage.classList.toggle('keys', stage.matches(':focus-visible')));
for (const end of ['blur', 'pointerdown']) stage.addEventListener(end, () => stage.classList.remove('keys'));

// Moves what the arrow keys move: the picture that is framed, the selected point, the cross. -> whether there is any.
function steer(dx, dy) {
  const { size: [width, height] } = props.marks;
  const { handle } = coming();
  const moved = ([x, y]) => [limit(x + dx, width), limit(y + dy, height)];
  if (framing()) reframe({ right: dx, down: dy });
  else if (busy()) return false;
  else if (selected) send({ kind: 'move', ...selected, at: moved(whereabouts()) }, selected);
  else if (byKeys()) {
    cross = moved(spot());
    if (handle) draft = { handle, target: cross };
  } else return false;
  intoView();
  if (!framing()) speak(steered().join(', '));
  return true;
}

function select(found) {
  selected = found;
  speak(say({ text: 'Point {number} selected', values: { number: found.index + 1 } }));
}

// Where what the keys move is: it is brought onto the stage.
const steered = () => (selected ? whereabouts() : spot());
const intoView = () => reveal(steered().map((at, axis) => (at + 0.5) / props.marks.size[axis]));

// Does at the cross what a click does; a point that is selected is let go.
function enter() {
  const found = coming().handle ? null : near(spot(), REACH.mouse);
  if (selected) [cross, selected] = [whereabouts(), null];
  else if (found) select(found);
  else send({ kind: 'click', at: spot() });
  show();
}

// Mask ---------------------------------------------------------------------------------------------------------------

const painting = () => ['paint', 'hold', 'erase'].includes(tool);

// A stroke begins; a first one of what must stay lets all the rest move.
function begin(at) {
  stroke = { at, before: contentOf(layer) };
  if (tool === 'hold' && !hasPaint(layer)) whiten(layer);
  paint(at);
}

function paint(to) {
  const wide = (size.value / 256 / zoom.scale) * Math.max(layer.width, layer.height);
  brush(layer, stroke.at, to, { wide, erases: tool !== 'paint' });
  stroke.at = to;
}

// It ends, and is in the mask; where something has begun meanwhile, it never was.
function lift() {
  if (busy()) putBack(layer, stroke.before);
  else remask(() => {});
  stroke = null;
}

// Another mask: `change` paints it.
function remask(change) {
  if (busy()) return;
  change(layer);
  const bare = !hasPaint(layer);
  if (bare) wipe(layer); // of what is too faint
  post({ kind: 'mask', png: layer.toDataURL('image/png') });
  if (bare && change !== wipe) remark({ text: 'Nothing is white: all may move.' });
}

async function loadMask() {
  const [chosen] = file.files;
  file.value = '';
  if (!chosen) return;
  try {
    const paper = paintOf(await createImageBitmap(chosen), layer);
    remask(() => repaint(layer, paper));
  } catch {
    remark({ text: '{name} is not a picture that can be read.', values: { name: chosen.name } });
  }
}

// Stands in place of the status until something else is done or said.
function remark(about) {
  remarked = { said: say(about), status: say(task().status) };
  tell();
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

// A picture of one's own: moved, enlarged and turned before it is reconstructed ---------------------------------------

const framing = () => props.marks.phase === 'framing';
const touched = () => matchMedia('(pointer: coarse)').matches;
const FINGERS = { text: 'Move your picture with one finger, enlarge and turn it with two; then press Reconstruct.' };

function reframe(change) {
  post({ kind: 'frame', ...STILL, ...change });
}

// Places of the window, in pixels of the picture from its middle.
function fromMiddle(places) {
  const { left, top, width, height } = sheet.getBoundingClientRect();
  const unit = props.marks.size[0] / width;
  return places.map(([x, y]) => [(x - left - width / 2) * unit, (y - top - height / 2) * unit]);
}

function roll({ deltaX, deltaY, shiftKey, ctrlKey }) {
  const by = deltaY || deltaX; // Shift makes some browsers scroll sideways
  reframe(shiftKey ? { turn: by / 40 } : { larger: 2 ** (-by / (ctrlKey ? 200 : 600)) }); // Ctrl: fingers on a trackpad
}

taking(heed, find('.landing'), remark);

// Pointer ------------------------------------------------------------------------------------------------------------

// A finger goes on. -> where all of them were, and where they are
function slide({ pointerId, clientX, clientY }) {
  const before = [...fingers.values()];
  fingers.set(pointerId, [clientX, clientY]);
  return [before, [...fingers.values()]];
}

stage.addEventListener('pointerdown', (event) => {
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  stage.setPointerCapture(event.pointerId);
  if (fingers.size > 1) cancel();
  if (busy() || event.button !== 0 || !event.isPrimary) return;
  if (painting()) begin(place(event));
  else {
    const found = coming().handle ? null : hit(event);
    grip = { from: place(event), at: [event.clientX, event.clientY], found, moved: false };
  }
});
stage.addEventListener('pointermove', (event) => {
  pointer = [event.clientX, event.clientY];
  const pressed = fingers.has(event.pointerId);
  if (framing()) {
    outline();
    if (pressed && event.buttons === 1) reframe(carried(...slide(event).map(fromMiddle)));
  } else if (fingers.size > 1) {
    if (pressed) pinch(...slide(event));
  } else if (pressed && event.buttons === 4) { // the middle button
    const [[from], [to]] = slide(event);
    shift(to[0] - from[0], to[1] - from[1]);
  } else if (painting()) {
    outline();
    if (stroke) paint(place(event));
  } else if (live) live.at = place(event);
  else {
    if (grip) grip.moved ||= Math.hypot(event.clientX - grip.at[0], event.clientY - grip.at[1]) > 4;
    if (grip?.moved && tool === 'live') pull(event);
    else preview(event);
  }
});
stage.addEventListener('pointerup', (event) => {
  fingers.delete(event.pointerId);
  if (live) {
    letGo(event);
    grip = null;
  }
  if (grip) release(event);
  if (stroke) lift();
});
// What the pointer began was not meant.
function cancel() {
  if (stroke) putBack(layer, stroke.before);
  if (live) letGo({ clientX: pointer[0], clientY: pointer[1] });
  grip = draft = stroke = null;
  points();
}
stage.addEventListener('pointercancel', ({ pointerId }) => {
  fingers.delete(pointerId);
  if (stroke) lift();
  cancel();
});
stage.addEventListener('wheel', (event) => {
  if (framing()) roll(event);
  else if (event.ctrlKey || event.metaKey) magnify(2 ** (-event.deltaY / 200), event.clientX, event.clientY);
  else if (zoom.scale > 1) shift(-event.deltaX, -event.deltaY);
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
find('.unmask').addEventListener('click', () => remask(wipe));
find('.load').addEventListener('click', () => file.click());
file.addEventListener('change', loadMask);
find('.keep').addEventListener('click', () => download(pictureOf(layer).toDataURL('image/png'), 'mask.png'));
// Once larger, or with -1 smaller: the picture that is framed, or else what is seen.
const enlarge = (times) => (framing() ? reframe({ larger: 1.1 ** times }) : magnify(1.5 ** times));
const fit = () => (framing() ? reframe({ again: true }) : pan(1, 0, 0));
for (const [which, act] of [['.in', () => enlarge(1)], ['.out', () => enlarge(-1)], ['.fit', fit]]) {
  find(which).addEventListener('click', act);
}
comparer.addEventListener('pointerdown', () => compare(true));
for (const end of ['pointerup', 'pointerleave', 'pointercancel', 'blur', 'keyup']) {
  comparer.addEventListener(end, () => compare(false));
}
for (const kind of ['keydown', 'keyup']) {
  comparer.addEventListener(kind, (event) => {
    if (event.key !== ' ' && event.key !== 'Enter') return;
    if (kind === 'keydown') compare(true);
    event.preventDefault(); // it is held: no click
  });
}
// What can press but not hold: screen readers, voices, switches.
comparer.addEventListener('click', ({ detail }) => { if (detail === 0) compare(!comparing()); });

// Buttons of the page that are edits.
heed('click', ({ target }) => {
  if (target.closest?.('#undo, #redo, #reset, #clear')) post({ kind: target.closest('button').id });
  else if (target.closest?.('#draw, #random, #style, #reconstruct, #gallery button')) keeper.began();
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS = {
  ' ': () => press(busy() ? 'stop' : 'drag'),
  Escape: () => {
    if (grip || stroke) cancel();
    else if (framing()) press('cancel');
    else if (coming().handle) send({ kind: 'drop' });
    selected = null;
  },
  Delete: () => selected && remove(selected),
  Backspace: () => selected && remove(selected),
  '[': () => { size.value -= 2; },
  ']': () => { size.value = Number(size.value) + 2; },
  c: () => compare(true),
  '+': () => enlarge(1),
  '-': () => enlarge(-1),
  0: fit,
};

// With Ctrl or Cmd; false: the browser does what it does.
const COMMANDS = {
  z: ({ shiftKey }) => press(shiftKey ? 'redo' : 'undo'),
  y: () => press('redo'),
  c: ({ shiftKey }) => !shiftKey && getSelection().isCollapsed && !['own', null].includes(props.marks.view) && copy(),
};

heed('keydown', (event) => {
  const { target, key } = event;
  if (target.closest?.('input:not([type=range]), textarea, select, [contenteditable=true]')) return;
  const act = KEYS[key] ?? KEYS[key.toLowerCase()];
  if (event.ctrlKey || event.metaKey) {
    const command = COMMANDS[key.toLowerCase()];
    if (event.altKey || !command || command(event) === false) return;
  } else if (key in ARROWS && target === stage) {
    const by = event.shiftKey ? 10 : 1;
    if (!steer(...ARROWS[key].map((step) => step * by))) return;
  } else if (key === 'Enter' && target === stage && byKeys() && !busy()) enter();
  else if (act && !event.altKey) {
    if (key === ' ' && (event.repeat || target.closest?.('button, summary, [role=button]'))) return;
    act();
    outline();
    points();
  } else return;
  event.preventDefault();
});
leaving(heed, { drag: 'stop', stop: 'drag', undo: 'redo', redo: 'undo' }, stage);
heed('keyup', ({ key }) => { if (['c', 'C'].includes(key)) compare(false); });
window.addEventListener('blur', () => compare(false));

// What outlives the server ---------------------------------------------------------------------------------------------

const unkept = find('.unkept');
const keeper = window.draggan.keeper({
  ask: (details) => trigger('safe', { details }),
  busy,
  note: (said) => {
    unkept.hidden = !said;
    unkept.textContent = said ? say(said) : '';
  },
});
window.draggan.waiting = keeper.waiting;
meet(element, (answers) => {
  stage.classList.toggle('alone', !answers);
  show();
});

// What the server sends ----------------------------------------------------------------------------------------------

watch(['image', 'marks', 'original', 'task'], show);
watch('strip', films);
watch('marks', () => {
  if (props.marks.sent) tellShown(props.marks.sent);
  element.toggleAttribute('data-photo', Boolean(props.marks.photo));
  if (props.marks.phase !== 'waiting') keeper.soon();
  if (!busy()) window.draggan.unframed(give);
});
watch('refused', () => keeper.refuse(props.refused));
watch('kept', () => keeper.keep(props.kept));
watch('answered', () => {
  settle(props.answered);
  if (!framing()) keeper.soon(); // a mask changes no mark
});
watch('paint', () => {
  const { paint: sent, answered } = props;
  const made = maskAfter(outbox, answered); // of the user's, and not answered yet
  stroke = null;
  const png = (made ?? sent)?.png;
  if (!png) {
    wipe(layer);
    return;
  }
  const paper = new Image();
  paper.onload = () => {
    if (maskAfter(outbox, made?.number ?? answered)) return; // which is on the layer
    if (props.paint?.at === sent?.at) repaint(layer, paper); // an answer that came meanwhile brings the same in a copy
  };
  paper.src = png;
});
watch('copied', () => arrived(props.copied.url));
// A file that the server made is saved under its name, without a copy on the server.
watch('file', () => { if (props.file) download(props.file.url, props.file.name); });
translate(element);
new ResizeObserver(() => shift(0, 0)).observe(stage);
show();
films();
