// What the head proposes, and how unsure it is, as pictures to lay over the photograph.

import { colorTable, objectPixel } from "./colors.js";

const FILL = 0.5; // how strong a proposal's areas are beside its edges
// Dark blue to yellow by way of grey ("cividis"): told apart by people who see colours differently.
const UNSURE = [[0, 34, 78], [65, 77, 107], [124, 123, 120], [188, 175, 111], [255, 234, 70]];

/**
 * Areas in the colour of their class, or object, with a strong line where it ends.
 *
 * @param {{width: number, height: number, pixels: Uint8Array, objects: ?Uint16Array}} map class ids,
 *   and numbers of objects where these are told apart.
 * @param {number[][]} colors [r, g, b] by class id.
 */
export function drawClasses({ width, height, pixels, objects }, colors) {
  const image = new ImageData(width, height), out = new Uint32Array(image.data.buffer);
  const table = colorTable(colors);
  const code = (at) => (objects ? objects[at] * 256 + pixels[at] : pixels[at]);
  for (let row = 0, place = 0; row < height; row++) {
    for (let column = 0; column < width; column++, place++) {
      const own = code(place), number = objects ? objects[place] : 0;
      const ends = (column + 1 < width && code(place + 1) !== own) || (column && code(place - 1) !== own)
        || (row + 1 < height && code(place + width) !== own) || (row && code(place - width) !== own);
      out[place] = number ? objectPixel(number, ends) : table[pixels[place]];
      if (out[place] && !ends) image.data[4 * place + 3] = 255 * FILL;
    }
  }
  return onCanvas(image);
}

/** @param {{width: number, height: number, pixels: Uint8Array}} map 0 sure to 255 undecided. */
export function drawUnsure({ width, height, pixels }) {
  const image = new ImageData(width, height);
  const table = Array.from({ length: 256 }, (_, value) => between(UNSURE, value / 255));
  for (let place = 0; place < pixels.length; place++) {
    image.data.set(table[pixels[place]], 4 * place);
    image.data[4 * place + 3] = 110 + 0.57 * pixels[place]; // the picture shows where it is sure
  }
  return onCanvas(image);
}

function between(stops, share) {
  const at = Math.min(stops.length - 2, Math.floor(share * (stops.length - 1)));
  const rest = share * (stops.length - 1) - at;
  return stops[at].map((value, k) => Math.round(value + rest * (stops[at + 1][k] - value)));
}

function onCanvas(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.width; canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
