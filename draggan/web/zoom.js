// A sheet on its stage, enlarged and moved: (x, y) of the stage is where its corner is. `changed` is told of each change.
export function zooming(stage, sheet, changed) {
  const zoom = { scale: 1, x: 0, y: 0 };

  function pan(scale, x, y) {
    const fit = (at, length) => Math.min(Math.max(at, length * (1 - scale)), 0);
    Object.assign(zoom, { scale, x: fit(x, stage.clientWidth), y: fit(y, stage.clientHeight) });
    sheet.style.transform = scale > 1 ? `translate(${zoom.x}px, ${zoom.y}px) scale(${scale})` : '';
    stage.classList.toggle('zoomed', scale > 1);
    changed();
  }

  const shift = (right, down) => pan(zoom.scale, zoom.x + right, zoom.y + down);

  // Moves a place, in parts of the sheet from its corner, onto the stage where it is not there.
  function reveal([across, down]) {
    const into = (at, length) => Math.min(Math.max(at, 0.05 * length), 0.95 * length) - at;
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    const [x, y] = [zoom.x + across * zoom.scale * width, zoom.y + down * zoom.scale * height];
    shift(into(x, width), into(y, height));
  }

  // A place of the window stays where it is: the middle of the stage, or another.
  function magnify(by, clientX, clientY) {
    const { left, top, width, height } = stage.getBoundingClientRect();
    const [x, y] = [(clientX ?? left + width / 2) - left, (clientY ?? top + height / 2) - top];
    const scale = Math.min(Math.max(zoom.scale * by, 1), 16);
    const ratio = scale / zoom.scale;
    pan(scale, x - (x - zoom.x) * ratio, y - (y - zoom.y) * ratio);
  }

  // What two fingers do that were at some places of the window and are at others.
  function pinch(from, to) {
    const spread = ([[ax, ay], [bx, by]]) => Math.hypot(ax - bx, ay - by) || 1;
    const middle = ([[ax, ay], [bx, by]]) => [(ax + bx) / 2, (ay + by) / 2];
    const [[x, y], [nextX, nextY]] = [middle(from), middle(to)];
    magnify(spread(to) / spread(from), x, y);
    shift(nextX - x, nextY - y);
  }

  return { zoom, pan, magnify, shift, pinch, reveal };
}
