// Which pixels a stroke covers. A brush line and a fill cover the very pixels that the server's
// own drawing covers (plainmask/label/stroke.py); a polygon differs from it along its edge.
//
// A pixel in column c covers c..c+1; its middle is c + 0.5. What is covered is a box with a mask:
// {x0, y0, x1, y1, mask}, the last row and column left out, one byte a pixel of the box.

/**
 * @param {number[][]} path [x, y] in pixels of the picture, `thinned`.
 * @param {number} radius of the brush, in the same.
 * @param {number} width of the picture.
 * @param {number} height of the picture.
 * @returns the pixels whose middle is at most `radius` from the line; null: none.
 */
export function line(path, radius, width, height) {
  const box = boxAround(path, radius, width, height);
  if (!box) return null;
  for (let k = 0; k < Math.max(1, path.length - 1); k++) {
    capsule(box, path[k], path[Math.min(k + 1, path.length - 1)], radius);
  }
  return box;
}

/**
 * The path of a brush without points that do not matter, its ends with it. The server leaves out a
 * little less, so it keeps all of these.
 */
export function thinned(points, radius) {
  const step = radius / 7.9;
  const kept = [points[0]];
  for (const point of points.slice(1, -1)) {
    const last = kept[kept.length - 1];
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= step) kept.push(point);
  }
  if (points.length > 1) kept.push(points[points.length - 1]);
  return kept;
}

function boxAround(path, reach, width, height) {
  const xs = path.map((point) => point[0]), ys = path.map((point) => point[1]);
  const least = (values) => values.reduce((a, b) => Math.min(a, b));
  const most = (values) => values.reduce((a, b) => Math.max(a, b));
  const x0 = Math.max(0, Math.trunc(least(xs) - reach)), y0 = Math.max(0, Math.trunc(least(ys) - reach));
  const x1 = Math.min(width, Math.trunc(most(xs) + reach) + 2);
  const y1 = Math.min(height, Math.trunc(most(ys) + reach) + 2);
  return x0 < x1 && y0 < y1 ? withMask(x0, y0, x1, y1) : null;
}

function withMask(x0, y0, x1, y1) {
  return { x0, y0, x1, y1, mask: new Uint8Array((x1 - x0) * (y1 - y0)) };
}

/** Cover what is near one piece of a line. In each row that is one run of pixels. */
function capsule(box, [ax, ay], [bx, by], radius) {
  const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy, wide = box.x1 - box.x0;
  const near = (column, y) => {
    const x = column + 0.5 - ax;
    const along = length ? Math.min(Math.max((x * dx + y * dy) / length, 0), 1) : 0;
    return (x - along * dx) ** 2 + (y - along * dy) ** 2 <= radius * radius;
  };
  const top = Math.max(box.y0, Math.floor(Math.min(ay, by) - radius));
  const bottom = Math.min(box.y1, Math.ceil(Math.max(ay, by) + radius) + 1);
  for (let row = top; row < bottom; row++) {
    const run = runOf(row + 0.5, ax, ay, bx, by, radius);
    if (!run) continue;
    // Found by roots, which round; the exact ends follow the same arithmetic as the server.
    let first = Math.max(box.x0, Math.floor(run[0]) - 2), last = Math.min(box.x1, Math.ceil(run[1]) + 2);
    while (first < last && !near(first, row + 0.5 - ay)) first++;
    while (last > first && !near(last - 1, row + 0.5 - ay)) last--;
    if (first < last) {
      const start = (row - box.y0) * wide - box.x0;
      box.mask.fill(1, start + first, start + last);
    }
  }
}

/** From where to where a capsule reaches in the row at height y; null: not at all. */
function runOf(y, ax, ay, bx, by, radius) {
  let low = Infinity, high = -Infinity;
  const reach = (x) => { low = Math.min(low, x); high = Math.max(high, x); };
  for (const [x, center] of [[ax, ay], [bx, by]]) {
    const half = Math.sqrt(Math.max(0, radius * radius - (y - center) ** 2) + 1e-9);
    if (Math.abs(y - center) <= radius + 1e-6) { reach(x - half); reach(x + half); }
  }
  const length = Math.hypot(bx - ax, by - ay);
  if (length) {
    const nx = (-(by - ay) / length) * radius, ny = ((bx - ax) / length) * radius;
    const corners = [[ax + nx, ay + ny], [bx + nx, by + ny], [bx - nx, by - ny], [ax - nx, ay - ny]];
    crossings(corners, y).forEach(reach);
  }
  return low <= high ? [low, high] : null;
}

/** Where the edges of a polygon cross the height y, from left to right. */
function crossings(corners, y) {
  const found = [];
  corners.forEach(([x0, y0], k) => {
    const [x1, y1] = corners[(k + 1) % corners.length];
    if ((y0 <= y) !== (y1 <= y)) found.push(x0 + ((y - y0) / (y1 - y0)) * (x1 - x0));
  });
  return found.sort((a, b) => a - b);
}

/** The pixels whose middle lies in a polygon, by the even-odd rule; null: none. */
export function polygon(corners, width, height) {
  const box = boxAround(corners, 0, width, height);
  if (!box) return null;
  const wide = box.x1 - box.x0;
  for (let row = box.y0; row < box.y1; row++) {
    const found = crossings(corners, row + 0.5);
    for (let k = 0; k + 1 < found.length; k += 2) {
      const first = Math.max(box.x0, Math.ceil(found[k] - 0.5));
      const last = Math.min(box.x1, Math.floor(found[k + 1] - 0.5) + 1);
      const start = (row - box.y0) * wide - box.x0;
      if (first < last) box.mask.fill(1, start + first, start + last);
    }
  }
  return box;
}

/** The connected region of equal labels around a point; null: the point lies outside. */
export function region(labels, width, height, [x, y]) {
  const column = Math.floor(x), row = Math.floor(y);
  if (column < 0 || row < 0 || column >= width || row >= height) return null;
  const wanted = labels[row * width + column], seen = new Uint8Array(labels.length);
  const box = { x0: column, y0: row, x1: column + 1, y1: row + 1 };
  const waiting = [row * width + column];
  while (waiting.length) {
    const at = waiting.pop();
    if (seen[at]) continue;
    const start = at - (at % width), end = start + width;
    let first = at, last = at + 1;
    while (first > start && labels[first - 1] === wanted) first--;
    while (last < end && labels[last] === wanted) last++;
    seen.fill(1, first, last);
    box.x0 = Math.min(box.x0, first - start); box.x1 = Math.max(box.x1, last - start);
    box.y0 = Math.min(box.y0, start / width); box.y1 = Math.max(box.y1, start / width + 1);
    for (const next of [-width, width]) runsBeside(labels, seen, first + next, last + next, wanted, waiting);
  }
  const found = withMask(box.x0, box.y0, box.x1, box.y1), wide = box.x1 - box.x0;
  for (let line = box.y0; line < box.y1; line++) {
    const from = line * width + box.x0;
    found.mask.set(seen.subarray(from, from + wide), (line - box.y0) * wide);
  }
  return found;
}

/** Put the start of each run that goes on in a neighbouring row into `waiting`. */
function runsBeside(labels, seen, first, last, wanted, waiting) {
  if (first < 0 || last > labels.length) return;
  let inside = false;
  for (let at = first; at < last; at++) {
    const fits = labels[at] === wanted && !seen[at];
    if (fits && !inside) waiting.push(at);
    inside = fits;
  }
}
