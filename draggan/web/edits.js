// Edits on their way to the server: one at a time, so that each is made on top of the answer to the one before.
import { reframed } from './framing.js';

// An edit that still waits and the next one, as one where they can be.
function merged(first, next) {
  if (first.kind === 'frame' && next.kind === 'frame') return reframed(first, next);
  const same = first.kind === 'move' && next.kind === 'move' && first.index === next.index && first.end === next.end;
  return same ? next : null;
}

// `transmit` sends an edit, `answered` is told when one is; `outbox` has those that wait for their answer.
export function outgoing(transmit, answered) {
  const outbox = [];
  let edits = 0; // how many were sent

  function next() {
    const [edit] = outbox;
    if (!edit) return;
    transmit(edit);
    setTimeout(() => settle(edit.number), 10_000); // an answer that was lost holds up nothing for ever
  }

  function settle(number) {
    if (outbox[0]?.number !== number) return;
    outbox.shift();
    next();
    answered();
  }

  function enqueue(edit) {
    const both = outbox.length > 1 && merged(outbox.at(-1), edit);
    if (both) Object.assign(outbox.at(-1), both);
    else outbox.push({ ...edit, number: (edits += 1) });
    if (outbox.length === 1) next();
  }

  return { outbox, enqueue, settle };
}

// The last mask among edits that were made after the one of a number.
export const maskAfter = (edits, number) => edits.findLast((edit) => edit.kind === 'mask' && edit.number > number);

// Where a handle waits when all edits are answered, and the pairs that they make until then.
export function foreseen(pending, edits) {
  let handle = pending;
  const pairs = [];
  for (const { kind, at, to } of edits) {
    if (kind === 'pair') pairs.push({ handle: at, target: to });
    if (kind === 'click' && handle) pairs.push({ handle, target: at });
    if (kind === 'click') handle = handle ? null : at;
    if (kind === 'drop') handle = null;
  }
  return { handle, pairs };
}
