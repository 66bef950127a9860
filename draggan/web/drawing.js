// Points, a cross and a graph as shapes on an SVG. Knows nothing of what they stand for.
function shape(svg, name, attributes) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  svg.append(node);
  return node;
}

function arrow(svg, [hx, hy], [tx, ty], unit) {
  const length = Math.hypot(tx - hx, ty - hy);
  if (length <= 7 * unit) return;
  const [dx, dy] = [(tx - hx) / length, (ty - hy) / length];
  const [ex, ey] = [tx - dx * 4.5 * unit, ty - dy * 4.5 * unit];
  const wing = (side) => `${ex - 5 * unit * (dx + side * dy * 0.6)},${ey - 5 * unit * (dy - side * dx * 0.6)}`;
  const ends = { x1: hx, y1: hy, x2: ex - dx * 3 * unit, y2: ey - dy * 3 * unit };
  shape(svg, 'line', { ...ends, stroke: 'rgb(0 0 0 / 0.5)', 'stroke-width': 2.8 * unit });
  shape(svg, 'line', { ...ends, stroke: 'white', 'stroke-width': 1.4 * unit });
  const head = { points: `${ex},${ey} ${wing(1)} ${wing(-1)}`, fill: 'white' };
  shape(svg, 'polygon', { ...head, stroke: 'rgb(0 0 0 / 0.5)', 'stroke-width': 0.7 * unit });
}

// A number beside a handle, where the arrow to its target is not.
function drawNumber(svg, { handle, target, number }, unit) {
  const { width, height } = svg.viewBox.baseVal;
  const [x, y] = [width, height].map((length, axis) => {
    const [at, away] = [handle[axis], target[axis] > handle[axis] ? -6.5 * unit : 6.5 * unit];
    return at + away < 3 * unit || at + away > length - 3 * unit ? at - away : at + away;
  });
  const font = { 'font-size': 7 * unit, 'font-weight': 'bold', 'text-anchor': 'middle', 'dominant-baseline': 'central' };
  const ink = { fill: 'white', stroke: 'black', 'stroke-width': 1.6 * unit, 'stroke-linejoin': 'round' };
  shape(svg, 'text', { x, y, ...font, ...ink, 'paint-order': 'stroke', class: 'number' }).textContent = number;
}

// What stands out from the others.
export function drawHalo(svg, [cx, cy], unit, name) {
  const halo = { cx, cy, r: 7.5 * unit, fill: 'rgb(255 255 255 / 0.35)', stroke: '#ffd028', class: name };
  shape(svg, 'circle', { ...halo, 'stroke-width': 1.5 * unit });
}

// A handle, its target where there is one, and its number where it has one. unit: 1/256 of the longer side as it is seen.
export function drawPair(svg, { handle, target, number, kind = '' }, unit) {
  const [hx, hy] = handle;
  if (target) {
    arrow(svg, handle, target, unit);
    const [tx, ty] = target;
    const circle = { cx: tx, cy: ty, r: 4 * unit, fill: 'none' };
    shape(svg, 'circle', { ...circle, stroke: 'white', 'stroke-width': 3 * unit });
    shape(svg, 'circle', { ...circle, stroke: '#f03232', 'stroke-width': 1.8 * unit, class: `${kind}target` });
  }
  const dot = { cx: hx, cy: hy, r: 3.4 * unit, fill: '#286eff', stroke: 'white', 'stroke-width': unit };
  shape(svg, 'circle', { ...dot, class: `${kind}handle` });
  if (number) drawNumber(svg, { handle, target, number }, unit);
}

export function drawCross(svg, [x, y], unit) {
  const lines = { d: `M${x - 6 * unit} ${y}h${12 * unit}M${x} ${y - 6 * unit}v${12 * unit}`, class: 'cross' };
  shape(svg, 'path', { ...lines, stroke: 'black', 'stroke-width': 3 * unit });
  shape(svg, 'path', { ...lines, stroke: 'white', 'stroke-width': 1.4 * unit });
}

// The second and the third of each [step, pixels, loss] over the first.
export function drawGraph(svg, way) {
  const [first, last] = [way[0][0], way.at(-1)[0]];
  const tops = [1, 2].map((which) => Math.max(...way.map((point) => point[which]), 1e-6));
  const path = (which) => way.map((point) => [
    24 + ((point[0] - first) / (last - first)) * 170, 62 - (point[which] / tops[which - 1]) * 54,
  ].join(' ')).join('L');
  svg.innerHTML = `<line x1="24" y1="62" x2="196" y2="62"/><path class="loss" d="M${path(2)}"/><path d="M${path(1)}"/>`
    + `<text x="0" y="12">${tops[0].toFixed(0)} px</text><text x="14" y="65">0</text>`;
}
