// From a picture's pixels to the network's and back, by the rules of the Python package
// (plainmask/pictures/geometry.py): the same sizes, and resizing that is equal to the last bit.
// Pixels are RGB bytes, row after row. Sizes are [height, width], places [y, x].

const MAX_WINDOWS = 32; // of one picture; beyond, a long strip would take minutes
const MAX_PATCHES = 32768;
const BITS = 22; // of Pillow's fixed-point weights

/**
 * Decide on sizes for a picture.
 * @param image its size.
 * @param input how the head wants it: `input` of the head's config.
 * @param patch the side of the encoder's patches.
 * @returns {image, content, model, windows}: the picture is resized to `content`; from there each
 *   of the `windows`, which are places, takes a cut of the size `model`, black outside.
 */
export function plan(image, input, patch) {
  const pair = [input.size].flat(), [tall, wide = tall] = pair;
  const shorter = Math.min(...image);
  const scaled = (factor) => image.map((side) => Math.max(1, roundEven(side * factor)));
  if (input.kind === "stride") {
    const content = scaled(tall / shorter);
    const grid = content.map((side) => Math.ceil(side / patch));
    refuseIf(grid[0] * grid[1] > MAX_PATCHES, image);
    return { image, content, model: grid.map((side) => side * patch), windows: [[0, 0]] };
  }
  if (input.kind === "windows") {
    const factor = input.shorter ? input.shorter / shorter : Math.max(tall / image[0], wide / image[1]);
    const content = scaled(factor);
    const [rows, columns] = [starts(content[0], tall), starts(content[1], wide)];
    refuseIf(rows.length * columns.length > MAX_WINDOWS, image);
    const windows = rows.flatMap((y) => columns.map((x) => [y, x]));
    return { image, content, model: [tall, wide], windows };
  }
  throw new Error(
    `the head takes pictures by "${input.kind}", this page by "stride" or "windows" alone; ` +
    "train or choose such a head, or use Python",
  );
}

function refuseIf(tooLong, [height, width]) {
  if (tooLong) {
    throw new Error(`a picture of ${width} x ${height} is too long and thin; cut it into parts`);
  }
}

/** Where windows start along an axis, spread evenly. */
function starts(length, window) {
  const count = Math.ceil(length / window);
  if (count === 1) return [0];
  const overlap = (count * window - length) / (count - 1);
  const found = Array.from({ length: count }, (_, k) => Math.floor(k * (window - overlap)));
  return [...found.slice(0, -1), length - window];
}

/** As Python rounds: halves to the even neighbour. */
function roundEven(value) {
  const below = Math.floor(value), rest = value - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

/** Resize pixels from one size to another: bilinear with antialiasing, as Pillow does it. */
export function resize(pixels, [height, width], [tall, wide]) {
  const narrowed = resizeAxis(pixels, height, width, wide, 3);
  return resizeAxis(narrowed, 1, height, tall, 3 * wide);
}

/** Bytes (outer, length, inner) -> (outer, wanted, inner). */
function resizeAxis(from, outer, length, wanted, inner) {
  const to = new Uint8ClampedArray(outer * wanted * inner);
  const taps = Array.from({ length: wanted }, (_, place) => weights(place, length, wanted));
  let at = 0;
  for (let o = 0; o < outer; o++) {
    for (const { first, parts } of taps) {
      const start = (o * length + first) * inner;
      for (let i = 0; i < inner; i++) {
        let sum = 1 << (BITS - 1);
        for (let k = 0; k < parts.length; k++) sum += from[start + k * inner + i] * parts[k];
        to[at++] = sum >> BITS;
      }
    }
  }
  return to;
}

/** What the pixels from `first` on bring to one pixel, in whole parts of 2^22. */
function weights(place, length, wanted) {
  const scale = length / wanted, reach = Math.max(scale, 1), center = (place + 0.5) * scale;
  const first = Math.max(0, Math.trunc(center - reach + 0.5));
  const end = Math.min(length, Math.trunc(center + reach + 0.5));
  const near = Array.from({ length: end - first }, (_, k) =>
    Math.max(0, 1 - Math.abs((k + first - center + 0.5) * (1 / reach))));
  const total = near.reduce((sum, part) => sum + part, 0);
  return { first, parts: near.map((part) => Math.trunc(0.5 + (part / total) * (1 << BITS))) };
}

/**
 * One window as the encoder takes it, normalised.
 * @returns {data, dims}: float32 of (1, 3, height, width); what fills no patch is left out.
 */
export function cut(content, { content: [tall, wide], model }, [top, left], { patch_size, mean, std }) {
  const [height, width] = model.map((side) => Math.floor(side / patch_size) * patch_size);
  const data = new Float32Array(3 * height * width);
  for (let c = 0, at = 0; c < 3; c++) {
    for (let y = top; y < top + height; y++) {
      for (let x = left; x < left + width; x++) {
        const value = y < tall && x < wide ? content[(y * wide + x) * 3 + c] : 0;
        data[at++] = (value / 255 - mean[c]) / std[c];
      }
    }
  }
  return { data, dims: [1, 3, height, width] };
}

/**
 * Between which two lines of `length` each of `wanted` lies, and its share of the second: bilinear,
 * half-pixel centres, no antialiasing.
 */
export function between(length, wanted) {
  return Array.from({ length: wanted }, (_, place) => {
    const at = Math.max(0, (place + 0.5) * (length / wanted) - 0.5);
    const low = Math.min(length - 1, Math.floor(at));
    return { low, high: Math.min(length - 1, low + 1), share: at - low };
  });
}
