// The labels of the picture on the desk, and their colours on a canvas.

import { colorTable, objectPixel } from "./colors.js";
import { line, polygon, region } from "./raster.js";

export const NONE = 255; // the label of pixels that nobody has labelled
const MOST_PIXELS = 16e6; // of a canvas; some devices allow no more
const MOST_OBJECTS = 32767; // of a picture

export class Labels {
  /**
   * @param {Uint8Array} pixels class ids row by row, 255 for none.
   * @param {?Uint16Array} objects numbers of objects, 0 for none; null: they are not told apart.
   */
  constructor(width, height, pixels, objects = null) {
    Object.assign(this, { width, height, pixels, objects });
    this.step = Math.ceil(Math.sqrt((width * height) / MOST_PIXELS)); // pixels of a canvas pixel
    this.canvas = document.createElement("canvas");
    this.canvas.width = Math.ceil(width / this.step);
    this.canvas.height = Math.ceil(height / this.step);
    this.context = this.canvas.getContext("2d");
    this.colors = new Uint32Array(256);
    if (objects) this.count();
  }

  /** How many pixels each object has, and its class. */
  count() {
    this.areas = new Uint32Array(MOST_OBJECTS + 1);
    this.classOf = new Uint8Array(MOST_OBJECTS + 1);
    for (let at = 0; at < this.pixels.length; at++) {
      this.areas[this.objects[at]]++;
      this.classOf[this.objects[at]] = this.pixels[at];
    }
  }

  /** @returns {{number: number, class: number}[]} the objects that have pixels. */
  list() {
    const found = [];
    for (let number = 1; this.objects && number <= MOST_OBJECTS; number++) {
      if (this.areas[number]) found.push({ number, class: this.classOf[number] });
    }
    return found;
  }

  /** A number that no object has; `skip` of them are left to the server. */
  freeNumber(skip = 0) {
    let number = 1;
    for (let left = skip; this.areas[number] || left-- > 0;) number++;
    return number;
  }

  /** The place of a point [x, y] in the planes; null: it lies outside. */
  place([x, y]) {
    const column = Math.floor(x), row = Math.floor(y);
    const inside = column >= 0 && row >= 0 && column < this.width && row < this.height;
    return inside ? row * this.width + column : null;
  }

  /**
   * Draw a stroke.
   *
   * @returns what it has changed, for `swap`; null: nothing.
   */
  draw(stroke) {
    const covered = this.withItsObject(stroke, this.covered(stroke));
    if (!covered) return null;
    const id = stroke.class ?? NONE, number = stroke.object ?? 0, locked = new Set(stroke.locked ?? []);
    const before = this.cut(covered), wide = covered.x1 - covered.x0;
    let changed = false;
    for (let row = covered.y0; row < covered.y1; row++) {
      const from = row * this.width + covered.x0, place = (row - covered.y0) * wide;
      for (let k = 0; k < wide; k++) {
        if (!covered.mask[place + k]) continue;
        const old = this.pixels[from + k], its = this.objects?.[from + k] ?? 0;
        if ((old !== id || its !== number) && !locked.has(old)) {
          this.set(from + k, id, number);
          changed = true;
        }
      }
    }
    if (!changed) return null;
    this.paint(covered);
    return { x0: covered.x0, y0: covered.y0, x1: covered.x1, y1: covered.y1, ...before };
  }

  set(at, id, number) {
    this.pixels[at] = id;
    if (!this.objects) return;
    this.areas[this.objects[at]]--;
    this.objects[at] = number;
    this.areas[number]++;
    this.classOf[number] = id;
  }

  covered(stroke) {
    const { kind, points, radius } = stroke, { width, height } = this;
    if (kind === "fill") return region(this.codes(), width, height, points[0]);
    if (kind === "polygon") return polygon(points, width, height);
    return line(points, radius, width, height);
  }

  /** One number for class and object of each pixel. */
  codes() {
    if (!this.objects) return this.pixels;
    const codes = new Uint32Array(this.pixels);
    for (let at = 0; at < codes.length; at++) codes[at] += this.objects[at] << 8;
    return codes;
  }

  /** What a stroke covers, with all of its object where that had another class. */
  withItsObject(stroke, covered) {
    const number = stroke.object, { width, height } = this;
    if (!covered || !number || !this.areas[number] || this.classOf[number] === stroke.class) return covered;
    const whole = { x0: 0, y0: 0, x1: width, y1: height, mask: new Uint8Array(width * height) };
    for (let at = 0; at < whole.mask.length; at++) whole.mask[at] = Number(this.objects[at] === number);
    const wide = covered.x1 - covered.x0;
    for (let place = 0; place < covered.mask.length; place++) {
      const row = covered.y0 + Math.floor(place / wide), column = covered.x0 + (place % wide);
      if (covered.mask[place]) whole.mask[row * width + column] = 1;
    }
    return whole;
  }

  /** Put values that were there before back; the patch holds the present ones afterwards. */
  swap(patch) {
    const now = this.cut(patch), wide = patch.x1 - patch.x0;
    for (let row = patch.y0; row < patch.y1; row++) {
      const place = (row - patch.y0) * wide, from = row * this.width + patch.x0;
      for (let k = 0; k < wide; k++) this.set(from + k, patch.values[place + k], patch.numbers?.[place + k] ?? 0);
    }
    Object.assign(patch, now);
    this.paint(patch);
  }

  cut(box) {
    return { values: this.rows(this.pixels, box), numbers: this.objects && this.rows(this.objects, box) };
  }

  rows(plane, { x0, y0, x1, y1 }) {
    const wide = x1 - x0, out = new plane.constructor(wide * (y1 - y0));
    for (let row = y0; row < y1; row++) {
      const from = row * this.width + x0;
      out.set(plane.subarray(from, from + wide), (row - y0) * wide);
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
    const { step, width, height, pixels, objects, colors } = this;
    const rim = objects ? step : 0; // outlines beside it change
    const left = Math.floor(Math.max(0, x0 - rim) / step), right = Math.ceil(Math.min(width, x1 + rim) / step);
    const top = Math.floor(Math.max(0, y0 - rim) / step), bottom = Math.ceil(Math.min(height, y1 + rim) / step);
    const wide = right - left, rows = Math.max(1, Math.floor(1e6 / wide));
    for (let first = top; first < bottom; first += rows) {
      const end = Math.min(bottom, first + rows), image = new ImageData(wide, end - first);
      const out = new Uint32Array(image.data.buffer);
      for (let row = first, place = 0; row < end; row++) {
        const from = Math.min(height - 1, row * step + (step >> 1)) * width;
        for (let column = left; column < right; column++) {
          const at = from + Math.min(width - 1, column * step + (step >> 1));
          out[place++] = objects?.[at] ? this.objectPixelAt(at) : colors[pixels[at]];
        }
      }
      this.context.putImageData(image, left, first);
    }
  }

  objectPixelAt(at) {
    const { objects, width, step } = this, number = objects[at];
    const isEdge = objects[at - step] !== number || objects[at + step] !== number
      || objects[at - step * width] !== number || objects[at + step * width] !== number;
    return objectPixel(number, isEdge);
  }
}
