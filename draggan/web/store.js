// What a tab keeps of its session in the browser, in case that the page is loaded again or the server started again.
// The session lies in the sessionStorage of the tab, and goes with it. The details of a picture of one's own and the
// whole of it are too large for that: they lie in IndexedDB under their SHA-256, as long as a tab uses them and a week
// longer. So does the file of a picture that is being framed or reconstructed, which comes back as if sent anew.
const HOUR = 3600 * 1000; // milliseconds
const WEEK = 7 * 24 * HOUR;
const USED = 'draggan-used-'; // and a name: when a tab last used the details of that name
const SEEN = 'draggan-seen';
const SESSION = 'draggan';
const NAME = 'draggan-details'; // of the details that the session has
const FRAMED = 'draggan-framed'; // what the file of a picture that is being framed is called in the store
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
const NOTHING = { getItem: () => null, removeItem: () => {}, setItem: () => { throw new Error('nothing is kept here'); } };
let had = null; // the name of the last details that came, kept or not
let held = null; // of the last that are kept

// A storage of the browser; where the browser forbids it, one that keeps nothing.
function storage(kind) {
  try {
    return window[kind];
  } catch {
    return NOTHING;
  }
}
const [sessionStorage, localStorage] = ['sessionStorage', 'localStorage'].map(storage);

const done = (request) => new Promise((resolve, reject) => {
  request.addEventListener('success', () => resolve(request.result));
  request.addEventListener('error', () => reject(request.error));
});

// What `act` does with the store of details, all of it or nothing.
async function within(mode, act) {
  const opening = indexedDB.open('draggan', 1);
  opening.addEventListener('upgradeneeded', () => opening.result.createObjectStore('details'));
  const base = await done(opening);
  try {
    const transaction = base.transaction('details', mode);
    const ended = new Promise((resolve, reject) => {
      transaction.addEventListener('complete', resolve);
      transaction.addEventListener('abort', () => reject(transaction.error));
    });
    const result = await act(transaction.objectStore('details'));
    await ended;
    return result;
  } finally {
    base.close();
  }
}

const bytes = async (base64) => {
  const answer = await fetch(`data:;base64,${base64}`);
  return answer.arrayBuffer();
};

// Renews what this tab uses, and puts away what no tab has used for a week.
async function tidy() {
  for (const used of [NAME, FRAMED].map((key) => sessionStorage.getItem(key)).filter(Boolean)) {
    localStorage.setItem(USED + used, Date.now());
  }
  await within('readwrite', async (store) => {
    for (const key of await done(store.getAllKeys())) {
      if (Date.now() - (localStorage.getItem(USED + key) ?? 0) > WEEK) {
        localStorage.removeItem(USED + key);
        store.delete(key);
      }
    }
  });
}

async function keepDetails(name, details) {
  if (details) {
    had = name;
    localStorage.setItem(USED + name, Date.now());
    const raw = await bytes(details);
    await within('readwrite', (store) => done(store.put(raw, name)));
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
    if (name) sessionStorage.setItem(NAME, name);
    else sessionStorage.removeItem(NAME);
  } catch {
    sessionStorage.removeItem(SESSION);
    safety = 'none';
  }
  return safety;
}

let turn = Promise.resolve();
function keep(all) {
  turn = turn.then(() => keepAll(all));
  return turn;
}

// The details of a name; nothing where they are lost.
async function found(name) {
  try {
    return await within('readonly', (store) => done(store.get(name)));
  } catch {
    return null;
  }
}

// Keeps the file of a picture that is framed from now on, or with none forgets the one of before. It keeps what is in
// the file: a File that comes from a store may be one elsewhere, changed since, and some browsers cannot send it.
async function keepFramed(file) {
  const before = sessionStorage.getItem(FRAMED);
  const name = file && `${Math.random()}`;
  if (name) {
    localStorage.setItem(USED + name, Date.now());
    const sent = { raw: await file.arrayBuffer(), name: file.name, type: file.type };
    await within('readwrite', (store) => done(store.put(sent, name)));
    sessionStorage.setItem(FRAMED, name);
  } else sessionStorage.removeItem(FRAMED);
  if (before) {
    localStorage.removeItem(USED + before);
    await within('readwrite', (store) => done(store.delete(before)));
  }
}

// What is kept, sent to the server as files. -> those, and how many they should be
async function kept() {
  const session = sessionStorage.getItem(SESSION);
  const name = sessionStorage.getItem(NAME);
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

const renew = () => tidy().catch(() => {}); // where there is no such store there is nothing to put away
renew();
setInterval(renew, HOUR);

// When the session of a page is kept, and what the page says of it. `ask` has the server send it, with the name of the
// details that need not come again, `busy` tells whether something runs, and `note` shows {text, values}, or nothing.
function keeper({ ask, busy, note }) {
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
      safety = await keep(all);
      tell();
      forget();
    },
    alone: () => ({ text: ALONE[safety ?? 'none'] }),
    // For a model that is opened: what is kept may have waited for it.
    waiting: () => (refused ? kept() : [null, 0]),
  };
}

// Whether the user has set a point before, in any tab.
let seen = localStorage.getItem(SEEN) !== null;
function see() {
  if (seen) return;
  seen = true;
  try {
    localStorage.setItem(SEEN, 'yes');
  } catch {} // then the next tab says its first hint again
}

// The file of a picture is kept from when the server has framed it, which may refuse it, as long as it is framed and
// reconstructed, and until what came of it is kept.
const keepInTurn = (file) => { turn = turn.then(() => keepFramed(file)).catch(() => {}); }; // a full store: it is not kept
let chosen = null; // the last file that was sent
document.addEventListener('change', ({ target }) => {
  if (target.matches('#own input[type=file]') && target.files[0]) [chosen] = target.files;
}, true);
const framed = () => keepInTurn(chosen);

// There is a picture, and none that is framed: one that was, when the page was left, is handed to `give`.
let left = sessionStorage.getItem(FRAMED); // of that, '' while it is looked for
let over = null; // the one whose framing has ended
async function unframed(give) {
  const name = left;
  if (name === '') return;
  left = name && '';
  const sent = name && await found(name);
  left = null;
  if (sent) give(new File([sent.raw], sent.name, { type: sent.type }));
  else over = sessionStorage.getItem(FRAMED);
}

// The session of after its framing is kept: without, a reconstruction that just ended would be lost with it.
function forget() {
  if (over && over === sessionStorage.getItem(FRAMED)) keepInTurn(null);
}

window.draggan = { keeper, kept, framed, unframed, see, seen: () => seen };
