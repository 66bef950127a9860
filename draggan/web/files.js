// Files that come and go: what is dropped or pasted, masks as pictures, what is saved.
export function download(href, name) {
  Object.assign(document.createElement('a'), { href, download: name }).click();
}

// Where the page takes a file, if it does: for a picture in a group that may have to be unfolded first.
async function field(file) {
  if (file.type.startsWith('image/')) {
    const own = () => document.querySelector('#own input[type=file]');
    if (!own()) document.querySelector('#own button').click();
    while (!own()) await new Promise(requestAnimationFrame);
    return own();
  }
  const ending = file.name.slice(file.name.lastIndexOf('.')).toLowerCase();
  return [...document.querySelectorAll('input[type=file]')].find(({ accept }) => accept.split(', ').includes(ending));
}

// A file goes the way of the button for its kind. -> whether there is one
export async function give(file) {
  const input = await field(file);
  if (!input) return false;
  const files = new DataTransfer();
  files.items.add(file);
  input.files = files.files;
  input.dispatchEvent(new Event('change', { bubbles: true }));
  return true;
}

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

// White paint where a picture is white.
export function paintOf(picture, size) {
  return turned(picture, size, ([r, g, b, a]) => (((r + g + b) / 3) * a > 127 * 255 ? [255, 255, 255, 255] : [0, 0, 0, 0]));
}

// White where there is paint, else black.
export function pictureOf(paint) {
  return turned(paint, paint, ([, , , a]) => (a > 127 ? [255, 255, 255, 255] : [0, 0, 0, 255]));
}
