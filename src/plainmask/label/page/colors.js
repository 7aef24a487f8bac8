// Colours: of classes as the project has them, of objects by their numbers.

// Okabe and Ito's, which people who see colours differently tell apart.
export const PALETTE = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999"];
const HUES = PALETTE.slice(0, 7).map(rgb);
const TONES = [[255, 0], [255, 0.45], [0, 0.35], [255, 0.7], [0, 0.55]]; // mixed in, and how much of it
const EDGE = 0.45; // of black, in the outline of an object
export const FRESH = 0x8000; // added to the number of an object that is proposed only
const RED_FIRST = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** @returns {number[]} of "#rrggbb". */
export function rgb(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

const mixed = (color, [with_, much]) => color.map((value) => Math.round(value + much * (with_ - value)));

/** @returns {number[]} the colour of an object, the same whether it is proposed or labelled. */
export function objectColor(number) {
  const place = Math.max(0, (number & (FRESH - 1)) - 1);
  return mixed(HUES[place % HUES.length], TONES[Math.floor(place / HUES.length) % TONES.length]);
}

function packed([red, green, blue]) {
  return RED_FIRST
    ? ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0
    : ((red << 24) | (green << 16) | (blue << 8) | 255) >>> 0;
}

/** Pixels of `ImageData` by class id; what is no class is clear. */
export function colorTable(colors) {
  const table = new Uint32Array(256);
  colors.forEach((color, id) => { table[id] = packed(color); });
  return table;
}

const ROUND = HUES.length * TONES.length;
const inner = Uint32Array.from({ length: ROUND }, (_, place) => packed(objectColor(place + 1)));
const outer = Uint32Array.from({ length: ROUND }, (_, place) => packed(mixed(objectColor(place + 1), [0, EDGE])));

/** The pixel of `ImageData` of an object, or of its outline. */
export function objectPixel(number, isEdge) {
  const place = ((number & (FRESH - 1)) - 1) % ROUND;
  return isEdge ? outer[place] : inner[place];
}
