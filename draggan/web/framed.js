// The file of a picture that is framed or reconstructed, kept in the browser: it comes back as if sent anew. It is kept
// from when the server has framed it, which may refuse it, until what came of it is kept.
import { FRAMED, drop, found, inTurn, put, sessionStorage } from './store.js';

let left = sessionStorage.getItem(FRAMED); // what was framed when the page was left; '' while it is looked for
let over = null; // the one whose framing has ended
let chosen = null; // the last file that was sent
document.addEventListener('change', ({ target }) => {
  if (target.matches('#own input[type=file]') && target.files[0]) [chosen] = target.files;
}, true);

// Keeps the file of a picture that is framed from now on, or with none forgets the one of before. It keeps what is in
// the file: a File that comes from a store may be one elsewhere, changed since, and some browsers cannot send it.
async function keepFramed(file) {
  const before = sessionStorage.getItem(FRAMED);
  const name = file && `${Math.random()}`;
  if (name) {
    await put(name, { raw: await file.arrayBuffer(), name: file.name, type: file.type });
    sessionStorage.setItem(FRAMED, name);
  } else sessionStorage.removeItem(FRAMED);
  if (before) await drop(before);
}

const keepInTurn = (file) => inTurn(() => keepFramed(file).catch(() => {})); // a full store: it is not kept
export const framed = () => keepInTurn(chosen);

// There is a picture, and none that is framed: one that was, when the page was left, is handed to `give`.
export async function unframed(give) {
  const name = left;
  if (name === '') return;
  left = name && '';
  const sent = name && await found(name);
  left = null;
  if (sent) give(new File([sent.raw], sent.name, { type: sent.type }));
  else over = sessionStorage.getItem(FRAMED);
}

// The session of after its framing is kept: without, a reconstruction that just ended would be lost with it.
export function forget() {
  if (over && over === sessionStorage.getItem(FRAMED)) keepInTurn(null);
}
