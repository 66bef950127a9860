// What the browser keeps for the tabs of this page. What lies in a tab's sessionStorage goes with it. What is too large
// for that lies in a store of IndexedDB, by names, as long as a tab uses it and a week longer.
const HOUR = 3600 * 1000; // milliseconds
const WEEK = 7 * 24 * HOUR;
const USED = 'draggan-used-'; // and a name: when a tab last used what has that name
export const DETAILS = 'draggan-details'; // the name of the details that the session has
export const FRAMED = 'draggan-framed'; // that of the file of a picture that is framed
const SEEN = 'draggan-seen';
const NOTHING = { getItem: () => null, removeItem: () => {}, setItem: () => { throw new Error('nothing is kept here'); } };

// A storage of the browser; where the browser forbids it, one that keeps nothing.
function storage(kind) {
  try {
    return window[kind];
  } catch {
    return NOTHING;
  }
}
export const [sessionStorage, localStorage] = ['sessionStorage', 'localStorage'].map(storage);

const done = (request) => new Promise((resolve, reject) => {
  request.addEventListener('success', () => resolve(request.result));
  request.addEventListener('error', () => reject(request.error));
});

// What `act` does with the store, all of it or nothing.
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

// Puts something away under a name, in use from now on.
export async function put(name, what) {
  localStorage.setItem(USED + name, Date.now());
  await within('readwrite', (store) => done(store.put(what, name)));
}

// What has a name; nothing where it is lost.
export async function found(name) {
  try {
    return await within('readonly', (store) => done(store.get(name)));
  } catch {
    return null;
  }
}

export async function drop(name) {
  localStorage.removeItem(USED + name);
  await within('readwrite', (store) => done(store.delete(name)));
}

// Renews what this tab uses, and puts away what no tab has used for a week.
async function tidy() {
  for (const used of [DETAILS, FRAMED].map((key) => sessionStorage.getItem(key)).filter(Boolean)) {
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

const renew = () => tidy().catch(() => {}); // where there is no such store there is nothing to put away
renew();
setInterval(renew, HOUR);

// What is kept is kept in turn: each begins where the one before has ended, and none fails.
let turn = Promise.resolve();
export function inTurn(act) {
  turn = turn.then(act);
  return turn;
}

// Whether the user has set a point before, in any tab.
let pointed = localStorage.getItem(SEEN) !== null;
export function see() {
  if (pointed) return;
  pointed = true;
  try {
    localStorage.setItem(SEEN, 'yes');
  } catch {} // then the next tab says its first hint again
}
export const seen = () => pointed;
