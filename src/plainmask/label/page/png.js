// Numbers out of a PNG: exact, where drawing it on a canvas and reading that back is not
// (browsers may convert colours, and some change what is read on purpose).

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/**
 * Read a PNG of 8 bits: of one channel, grey or with a palette; or of three, where the second and
 * the third are the number of an object.
 *
 * @param {ArrayBuffer} content the file.
 * @returns {Promise<{width: number, height: number, pixels: Uint8Array, objects: ?Uint16Array}>}
 *   values row by row; of a palette, the places in it.
 */
export async function decode(content) {
  const bytes = new Uint8Array(content), view = new DataView(content);
  if (SIGNATURE.some((value, place) => bytes[place] !== value)) throw new Error("this is no PNG");
  const parts = [];
  let header = null;
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at), type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (type === "IHDR") header = readHeader(view, at + 8);
    if (type === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  if (!header) throw new Error("this PNG has no header");
  const { width, height, channels } = header, lines = await inflate(parts);
  if (lines.length !== (width * channels + 1) * height) throw new Error("this PNG is cut off");
  const bytesOf = unfilter(lines, width * channels, height, channels);
  return { width, height, ...(channels === 1 ? { pixels: bytesOf, objects: null } : planes(bytesOf)) };
}

function planes(triples) {
  const pixels = new Uint8Array(triples.length / 3), objects = new Uint16Array(pixels.length);
  for (let k = 0; k < pixels.length; k++) {
    pixels[k] = triples[3 * k];
    objects[k] = (triples[3 * k + 1] << 8) | triples[3 * k + 2];
  }
  return { pixels, objects };
}

function readHeader(view, at) {
  const [depth, color, , , interlaced] = Array.from({ length: 5 }, (_, k) => view.getUint8(at + 8 + k));
  if (![0, 2, 3].includes(color) || depth !== 8 || interlaced) {
    throw new Error("this PNG does not hold class ids");
  }
  return { width: view.getUint32(at), height: view.getUint32(at + 4), channels: color === 2 ? 3 : 1 };
}

async function inflate(parts) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Take the filters off the lines of a PNG, `width` bytes each, whose pixels have `step` bytes. */
function unfilter(lines, width, height, step) {
  const out = new Uint8Array(width * height);
  let above = new Uint8Array(width);
  for (let row = 0; row < height; row++) {
    const from = row * (width + 1) + 1, kind = lines[from - 1];
    const line = out.subarray(row * width, (row + 1) * width);
    line.set(lines.subarray(from, from + width));
    if (kind === 1) for (let k = step; k < width; k++) line[k] += line[k - step];
    else if (kind === 2) for (let k = 0; k < width; k++) line[k] += above[k];
    else if (kind === 3) for (let k = 0; k < width; k++) line[k] += ((k < step ? 0 : line[k - step]) + above[k]) >> 1;
    else if (kind === 4) {
      for (let k = 0; k < width; k++) {
        line[k] += k < step ? above[k] : paeth(line[k - step], above[k], above[k - step]);
      }
    }
    above = line;
  }
  return out;
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
