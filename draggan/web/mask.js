// The mask: white paint, on a layer over the picture, where it may move. Places are in pixels of the picture.
const penOf = (layer) => layer.getContext('2d');
const isPaint = (alpha) => alpha > 127; // as the server takes it

// Each pixel of a picture, made as large as another, becomes what `turn` makes of its [red, green, blue, alpha].
function turned(source, { width, height }, turn) {
  const copy = Object.assign(document.createElement('canvas'), { width, height });
  const context = copy.getContext('2d');
  context.imageSmoothingEnabled = false;
  context.drawImage(source, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  for (let i = 0; i < pixels.data.length; i += 4) pixels.data.set(turn(pixels.data.slice(i, i + 4)), i);
  context.putImageData(pixels, 0, 0);
  return copy;
}

// All that is on the layer, for `putBack`.
export const contentOf = (layer) => penOf(layer).getImageData(0, 0, layer.width, layer.height);
export const putBack = (layer, content) => penOf(layer).putImageData(content, 0, 0);
export const hasPaint = (layer) => contentOf(layer).data.some((value, i) => i % 4 === 3 && isPaint(value));
export const wipe = (layer) => penOf(layer).clearRect(0, 0, layer.width, layer.height);

function cover(layer, how) {
  const pen = penOf(layer);
  pen.globalCompositeOperation = how;
  pen.fillStyle = 'white';
  pen.fillRect(0, 0, layer.width, layer.height);
}
export const whiten = (layer) => cover(layer, 'source-over');
export const invert = (layer) => cover(layer, 'xor');

// A stroke of some width, of paint or of an eraser.
export function brush(layer, [x, y], [nextX, nextY], { wide, erases }) {
  const pen = penOf(layer);
  pen.globalCompositeOperation = erases ? 'destination-out' : 'source-over';
  pen.strokeStyle = 'white';
  pen.lineCap = pen.lineJoin = 'round';
  pen.lineWidth = wide;
  pen.beginPath();
  pen.moveTo(x + 0.5, y + 0.5);
  pen.lineTo(nextX + 0.501, nextY + 0.5); // a line without length would leave nothing
  pen.stroke();
}

// Paint, in place of all that there is.
export function repaint(layer, paint) {
  wipe(layer);
  penOf(layer).globalCompositeOperation = 'source-over';
  penOf(layer).drawImage(paint, 0, 0);
}

// White paint where a picture is white.
export function paintOf(picture, size) {
  return turned(picture, size, ([r, g, b, a]) => (((r + g + b) / 3) * a > 127 * 255 ? [255, 255, 255, 255] : [0, 0, 0, 0]));
}

// White where it may move, else black: without paint all may.
export function pictureOf(layer) {
  const all = !hasPaint(layer);
  return turned(layer, layer, ([, , , a]) => (all || isPaint(a) ? [255, 255, 255, 255] : [0, 0, 0, 255]));
}
