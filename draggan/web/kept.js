// What a tab keeps of its session in the browser, in case that the page is loaded again or the server started again. The
// details of a picture of one's own and the whole of it lie in the store, under their SHA-256.
import { DETAILS, found, inTurn, put, sessionStorage } from './store.js';
import { forget } from './framed.js';

const SESSION = 'draggan';
const QUIET = 1500;
const RUNNING = 5000;
const ALONE = { // what is said while the server does not answer, by how much is kept
  whole: 'The server does not answer. Until it does nothing can change; your picture, points and mask are kept here.',
  part: 'The server does not answer. Until it does nothing can change; your picture, without its details, points and mask '
    + 'are kept here.',
  none: 'The server does not answer. Until it does nothing can change; your picture is not kept here.',
};
const UNKEPT = {
  part: 'Your browser cannot keep the details of this picture: press Session to save them.',
  none: 'Your browser cannot keep this picture: press Session to save it.',
};
let had = null; // the name of the last details that came, kept or not
let held = null; // of the last that are kept

const bytes = async (base64) => {
  const answer = await fetch(`data:;base64,${base64}`);
  return answer.arrayBuffer();
};

async function keepDetails(name, details) {
  if (details) {
    had = name;
    await put(name, await bytes(details));
    held = name;
  }
  if (held !== name) throw new Error('they were not kept when they came');
}

// Keeps {session, name, details}, where name is what the details are called, and the others base64. -> how much it keeps
async function keepAll({ session, name, details }) {
  let safety = 'whole';
  try {
    if (name) await keepDetails(name, details);
  } catch {
    safety = 'part';
  }
  try {
    sessionStorage.setItem(SESSION, session);
    if (name) sessionStorage.setItem(DETAILS, name);
    else sessionStorage.removeItem(DETAILS);
  } catch {
    sessionStorage.removeItem(SESSION);
    safety = 'none';
  }
  return safety;
}

// What is kept, sent to the server as files. -> those, and how many they should be
export async function kept() {
  const session = sessionStorage.getItem(SESSION);
  const name = sessionStorage.getItem(DETAILS);
  if (!session) return [null, 0];
  const parts = name ? 2 : 1;
  try {
    const files = new FormData();
    files.append('files', new Blob([await bytes(session)]), `${Math.random()}.draggan`);
    const details = name && await found(name);
    if (details) {
      had = held = name;
      files.append('files', new Blob([details]), `${Math.random()}.details`);
    }
    const answer = await fetch(new URL('gradio_api/upload', document.baseURI), { method: 'POST', body: files });
    if (!answer.ok) return [null, parts];
    const paths = await answer.json();
    return [paths.map((path) => ({ path, meta: { _type: 'gradio.FileData' } })), parts];
  } catch {
    return [null, parts];
  }
}

// When the session of a page is kept, and what the page says of it. `ask` has the server send it, with the name of the
// details that need not come again, `busy` tells whether something runs, and `note` shows {text, values}, or nothing.
export function keeper({ ask, busy, note }) {
  let timer = 0;
  let last = 0; // when the server was last asked
  let refused = false; // why the picture is not the one that is kept
  let safety = null; // how much is kept, 'whole', 'part' or 'none'; not known yet
  const tell = () => note(refused || (UNKEPT[safety] && { text: UNKEPT[safety] }));

  // After a while without a change; while something runs, every few seconds.
  function soon() {
    clearTimeout(timer);
    if (refused) return;
    timer = setTimeout(() => {
      last = Date.now();
      ask(had);
    }, busy() ? Math.max(0, last + RUNNING - Date.now()) : QUIET);
  }

  function refuse(why) {
    refused = why;
    tell();
    soon();
  }

  return {
    soon,
    refuse,
    // What could not be opened is kept until the user makes something new.
    began: () => { if (refused) refuse(false); },
    async keep(all) {
      if (refused) return;
      safety = await inTurn(() => keepAll(all));
      tell();
      forget();
    },
    alone: () => ({ text: ALONE[safety ?? 'none'] }),
    // For a model that is opened: what is kept may have waited for it.
    waiting: () => (refused ? kept() : [null, 0]),
  };
}
