// The canvas: the picture, and over it as layers of their own the mask and the points.
// props.image is the frame (a data URL), props.marks what lies on it. Clicks and masks go to the server as events:
// 'pick' {x, y} in pixels of the picture, 'mask' {png} or {png: null}. The server answers with new marks.
const find = (selector) => element.querySelector(selector);
const [stage, img, layer, svg, ring, bar] = ['.stage', '.stage img', '.mask', '.marks', '.ring', '.progress'].map(find);
const brush = find('.brush');
const pen = layer.getContext('2d');
let tool = 'points';
let stroke = null; // the last place of the stroke being painted
let drawn = null; // which picture the mask belongs to

const busy = () => ['dragging', 'loading'].includes(props.marks.phase);
const round = (value) => Math.round(value * 10) / 10;

// Where the pointer is, in pixels of the picture: the centre of the first pixel is (0, 0).
function place(event) {
  const box = stage.getBoundingClientRect();
  const [width, height] = props.marks.size;
  return {
    x: round(((event.clientX - box.left) / box.width) * width - 0.5),
    y: round(((event.clientY - box.top) / box.height) * height - 0.5),
  };
}

function shape(name, attributes) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  svg.append(node);
}

function drawPair([hx, hy], target, unit) {
  if (target) {
    const [tx, ty] = target;
    const length = Math.hypot(tx - hx, ty - hy);
    if (length > 7 * unit) {
      const [dx, dy] = [(tx - hx) / length, (ty - hy) / length];
      const [ex, ey] = [tx - dx * 4.5 * unit, ty - dy * 4.5 * unit];
      const wing = (side) => `${ex - 5 * unit * (dx + side * dy * 0.6)},${ey - 5 * unit * (dy - side * dx * 0.6)}`;
      const line = { x1: hx, y1: hy, x2: ex - dx * 3 * unit, y2: ey - dy * 3 * unit };
      shape('line', { ...line, stroke: 'rgb(0 0 0 / 0.45)', 'stroke-width': 2.6 * unit });
      shape('line', { ...line, stroke: 'white', 'stroke-width': 1.4 * unit });
      shape('polygon', { points: `${ex},${ey} ${wing(1)} ${wing(-1)}`, fill: 'white' });
    }
    shape('circle', { cx: tx, cy: ty, r: 4 * unit, fill: 'none', stroke: 'white', 'stroke-width': 3 * unit });
    shape('circle', { cx: tx, cy: ty, r: 4 * unit, fill: 'none', stroke: '#f03232', 'stroke-width': 1.8 * unit, class: 'target' });
  }
  shape('circle', { cx: hx, cy: hy, r: 3.4 * unit, fill: '#286eff', stroke: 'white', 'stroke-width': unit, class: 'handle' });
}

function show() {
  const { size, handles, targets, pending, phase, status, picture, progress } = props.marks;
  const [width, height] = size;
  stage.style.setProperty('--aspect', width / height);
  if (img.getAttribute('src') !== props.image) img.src = props.image;
  if (layer.width !== width || layer.height !== height) [layer.width, layer.height] = size;
  if (picture !== drawn) pen.clearRect(0, 0, width, height);
  drawn = picture;
  svg.setAttribute('viewBox', `-0.5 -0.5 ${width} ${height}`);
  svg.replaceChildren();
  const unit = Math.max(width, height) / Math.max(stage.clientWidth, stage.clientHeight, 256) * 2;
  handles.forEach((handle, i) => drawPair(handle, targets[i], unit));
  if (pending) drawPair(pending, null, unit);
  stage.classList.toggle('busy', busy());
  bar.hidden = progress == null;
  bar.value = progress ?? 0;
  element.dataset.phase = phase;
  const line = find('.status');
  if (line.textContent !== status) line.textContent = status;
}

function choose(name) {
  tool = name;
  for (const button of element.querySelectorAll('[data-tool]')) {
    button.setAttribute('aria-pressed', button.dataset.tool === name);
  }
  stage.classList.toggle('brush', tool !== 'points');
  ring.hidden = true;
}

function paint(from, to) {
  pen.globalCompositeOperation = tool === 'erase' ? 'destination-out' : 'source-over';
  pen.strokeStyle = 'white';
  pen.lineCap = pen.lineJoin = 'round';
  pen.lineWidth = (brush.value / 256) * Math.max(layer.width, layer.height);
  pen.beginPath();
  pen.moveTo(from.x + 0.5, from.y + 0.5);
  pen.lineTo(to.x + 0.5, to.y + 0.5);
  pen.stroke();
}

function outline(event) {
  const box = stage.getBoundingClientRect();
  const side = (brush.value / 256) * Math.max(box.width, box.height);
  Object.assign(ring.style, {
    left: `${event.clientX - box.left}px`, top: `${event.clientY - box.top}px`, width: `${side}px`, height: `${side}px`,
  });
  ring.hidden = tool === 'points';
}

stage.addEventListener('pointerdown', (event) => {
  if (busy() || event.button !== 0) return;
  if (tool === 'points') {
    trigger('pick', place(event));
    return;
  }
  stage.setPointerCapture(event.pointerId);
  stroke = place(event);
  paint(stroke, stroke);
});
stage.addEventListener('pointermove', (event) => {
  outline(event);
  if (!stroke) return;
  const next = place(event);
  paint(stroke, next);
  stroke = next;
});
for (const end of ['pointerup', 'pointercancel']) {
  stage.addEventListener(end, () => {
    if (!stroke) return;
    stroke = null;
    trigger('mask', { png: layer.toDataURL('image/png') });
  });
}
stage.addEventListener('pointerleave', () => { ring.hidden = true; });
for (const button of element.querySelectorAll('[data-tool]')) {
  button.addEventListener('click', () => choose(button.dataset.tool));
}
find('.unmask').addEventListener('click', () => {
  if (busy()) return;
  pen.clearRect(0, 0, layer.width, layer.height);
  trigger('mask', { png: null });
});

// A file that the server made is saved under its name, without a copy on the server.
watch('file', () => {
  if (!props.file) return;
  const link = document.createElement('a');
  [link.href, link.download] = [props.file.url, props.file.name];
  link.click();
});
watch(['image', 'marks'], show);
new ResizeObserver(() => show()).observe(stage);
show();
