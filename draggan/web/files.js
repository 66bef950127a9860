// Files that come and go: what is dropped or pasted, what is saved or copied.
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

// Takes what is dropped on the page or pasted into it. `landing` is shown while a file is held over the page; `remark`
// says of one that no button is for it.
export function taking(heed, landing, remark) {
  const gone = () => { landing.hidden = true; };
  let timer = null;

  async function take(event) {
    gone();
    const [sent] = (event.dataTransfer ?? event.clipboardData).files;
    if (!sent) return;
    event.preventDefault();
    if (!await give(sent)) remark({ text: '{name} is no picture, no session and no model.', values: { name: sent.name } });
  }
  heed('dragover', (event) => {
    if (!event.dataTransfer.types.includes('Files')) return;
    event.preventDefault();
    landing.hidden = false;
    clearTimeout(timer);
    timer = setTimeout(gone, 700); // as long as it is there, browsers say so twice a second or more often
  });
  heed('drop', take);
  heed('paste', take);
}

// A picture for the clipboard, which `ask` has the server send. `remark` says what came of it.
export function copying(ask, remark) {
  let come = null;

  // The browser is asked at once, as long as the press of a key counts, and awaits the picture.
  async function copy() {
    const coming = new Promise((resolve) => { come = resolve; });
    try {
      const written = navigator.clipboard.write([new ClipboardItem({ 'image/png': coming })]);
      ask();
      await written;
      remark({ text: 'The picture is copied.' });
    } catch {
      remark({ text: 'Your browser does not let this page copy the picture: press Picture to save it.' });
    }
  }

  async function arrived(url) {
    const answer = await fetch(url);
    come(await answer.blob());
  }

  return { copy, arrived };
}
