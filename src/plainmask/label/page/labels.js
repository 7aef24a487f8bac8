// The labels of the picture on the desk, and their colours on a canvas.

import { line, polygon, region } from "./raster.js";

export const NONE = 255; // the label of pixels that nobody has labelled
const MOST_PIXELS = 16e6; // of a canvas; some devices allow no more

export class Labels {
  /** @param {Uint8Array} pixels class ids row by row, 255 for none. */
  constructor(width, height, pixels) {
    this.width = width; this.height = height; this.pixels = pixels;
    this.step = Math.ceil(Math.sqrt((width * height) / MOST_PIXELS)); // pixels of a canvas pixel
    this.canvas = document.createElement("canvas");
    this.canvas.width = Math.ceil(width / this.step);
    this.canvas.height = Math.ceil(height / this.step);
    this.context = this.canvas.getContext("2d");
    this.colors = new Uint32Array(256);
  }

  at([x, y]) {
    const column = Math.floor(x), row = Math.floor(y);
    const inside = column >= 0 && row >= 0 && column < this.width && row < this.height;
    return inside ? this.pixels[row * this.width + column] : NONE;
  }

  /**
   * Draw a stroke.
   *
   * @returns what it has changed, for `swap`; null: nothing.
   */
  draw(stroke) {
    const covered = this.covered(stroke);
    if (!covered) return null;
    const id = stroke.class ?? NONE, locked = new Set(stroke.locked ?? []);
    const before = this.cut(covered), wide = covered.x1 - covered.x0;
    let changed = false;
    for (let row = covered.y0; row < covered.y1; row++) {
      const from = row * this.width + covered.x0, place = (row - covered.y0) * wide;
      for (let k = 0; k < wide; k++) {
        if (!covered.mask[place + k]) continue;
        const old = this.pixels[from + k];
        if (old !== id && !locked.has(old)) { this.pixels[from + k] = id; changed = true; }
      }
    }
    if (!changed) return null;
    this.paint(covered);
    return { x0: covered.x0, y0: covered.y0, x1: covered.x1, y1: covered.y1, values: before };
  }

  covered(stroke) {
    const { kind, points, radius } = stroke, { width, height } = this;
    if (kind === "fill") return region(this.pixels, width, height, points[0]);
    if (kind === "polygon") return polygon(points, width, height);
    return line(points, radius, width, height);
  }

  /** Put values that were there before back; the patch holds the present ones afterwards. */
  swap(patch) {
    const now = this.cut(patch), wide = patch.x1 - patch.x0;
    for (let row = patch.y0; row < patch.y1; row++) {
      const place = (row - patch.y0) * wide;
      this.pixels.set(patch.values.subarray(place, place + wide), row * this.width + patch.x0);
    }
    patch.values = now;
    this.paint(patch);
  }

  cut({ x0, y0, x1, y1 }) {
    const out = new Uint8Array((x1 - x0) * (y1 - y0)), wide = x1 - x0;
    for (let row = y0; row < y1; row++) {
      const from = row * this.width + x0;
      out.set(this.pixels.subarray(from, from + wide), (row - y0) * wide);
    }
    return out;
  }

  /** Take the colours of the classes, [r, g, b] by id, and paint everything. */
  color(colors) {
    this.colors = colorTable(colors);
    this.paint({ x0: 0, y0: 0, x1: this.width, y1: this.height });
  }

  /** Bring the canvas up to date in a box of the picture, some rows at a time. */
  paint({ x0, y0, x1, y1 }) {
    const { step, width, height, pixels, colors } = this;
    const left = Math.floor(x0 / step), right = Math.ceil(x1 / step), wide = right - left;
    const bottom = Math.ceil(y1 / step), rows = Math.max(1, Math.floor(1e6 / wide));
    for (let top = Math.floor(y0 / step); top < bottom; top += rows) {
      const end = Math.min(bottom, top + rows), image = new ImageData(wide, end - top);
      const out = new Uint32Array(image.data.buffer);
      for (let row = top, place = 0; row < end; row++) {
        const from = Math.min(height - 1, row * step + (step >> 1)) * width;
        for (let column = left; column < right; column++) {
          out[place++] = colors[pixels[from + Math.min(width - 1, column * step + (step >> 1))]];
        }
      }
      this.context.putImageData(image, left, top);
    }
  }
}

const RED_FIRST = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** Pixels of `ImageData` by class id; what is no class is clear. */
export function colorTable(colors) {
  const table = new Uint32Array(256);
  colors.forEach(([red, green, blue], id) => {
    table[id] = RED_FIRST
      ? ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0
      : ((red << 24) | (green << 16) | (blue << 8) | 255) >>> 0;
  });
  return table;
}
