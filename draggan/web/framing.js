// How a picture of one's own is moved, enlarged and turned, as values {right, down, larger, turn}: it goes by pixels
// to the right and down, then it is enlarged, and turned by degrees, about the middle. Places are [x, y] from there.
// again: before all that it is framed as it was at first.
export const STILL = { right: 0, down: 0, larger: 1, turn: 0, again: false };

// Where a place was before the picture was enlarged and turned.
function before([x, y], { larger, turn }) {
  const [cos, sin] = [Math.cos, Math.sin].map((of) => of((turn * Math.PI) / 180) / larger);
  return [x * cos + y * sin, y * cos - x * sin];
}

// Two changes in one.
export function reframed(first, next) {
  if (next.again) return next;
  const [right, down] = before([next.right, next.down], first);
  const [larger, turn] = [first.larger * next.larger, first.turn + next.turn];
  return { right: first.right + right, down: first.down + down, larger, turn, again: first.again };
}

// What keeps the picture under the fingers that were at some places and are at others: one finger or two.
export function carried(from, to) {
  const middle = ([[ax, ay], [bx, by] = [ax, ay]]) => [(ax + bx) / 2, (ay + by) / 2];
  const apart = ([[ax, ay], [bx, by] = [ax + 1, ay]]) => [Math.hypot(bx - ax, by - ay) || 1, Math.atan2(by - ay, bx - ax)];
  const [[wide, angle], [wider, turned]] = [apart(from), apart(to)];
  const change = { larger: wider / wide, turn: ((turned - angle) * 180) / Math.PI };
  const [[x, y], [goalX, goalY]] = [middle(from), before(middle(to), change)];
  return { right: goalX - x, down: goalY - y, ...change };
}
