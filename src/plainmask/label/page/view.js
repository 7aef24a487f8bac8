// The desk as it is seen: three sheets over each other, moved and zoomed together.
// The picture lies below, marks (labels, proposal) above it, ink (the stroke in hand) on top.

import { drawn } from "./desk.js";
import { change, css, state } from "./state.js";

const stage = document.getElementById("stage");
const names = ["picture", "marks", "ink"];
const [picture, marks, ink] = names.map((name) => document.getElementById(name).getContext("2d"));
const LARGEST = 40; // screen pixels of a picture's pixel
const MARGIN = 20; // screen pixels around a picture that fits

export const view = { x: 0, y: 0, scale: 1, width: 0, height: 0, dense: 1 };
let stroke = null; // the stroke in hand: {points, radius, color, done}
let asked = false; // whether a drawing of everything is on its way

/** From the stage's coordinates to the picture's, in sixteenths of a pixel. */
export const toPicture = (x, y) =>
  [(x - view.x) / view.scale, (y - view.y) / view.scale].map((value) => Math.round(16 * value) / 16);
export const toStage = ([x, y]) => [x * view.scale + view.x, y * view.scale + view.y];

export function resize() {
  const { width, height } = stage.getBoundingClientRect();
  const before = [view.width, view.height], whole = isWhole();
  Object.assign(view, { width, height, dense: Math.min(2, devicePixelRatio) });
  for (const { canvas } of [picture, marks, ink]) {
    canvas.width = Math.round(width * view.dense);
    canvas.height = Math.round(height * view.dense);
  }
  if (whole) fit();
  else move((width - before[0]) / 2, (height - before[1]) / 2);
}

/** The room that the tools leave: they stand to the left, or lie below. */
function room() {
  const { offsetWidth: wide, offsetHeight: tall, offsetLeft: edge } = document.getElementById("tools");
  const left = tall > wide ? edge + wide : 0, below = tall > wide ? 0 : tall + 12;
  return { left, width: view.width - left - 2 * MARGIN, height: view.height - below - 2 * MARGIN };
}

function fitting() {
  const { width, height } = room();
  return Math.max(0.001, Math.min(width / drawn.width, height / drawn.height, LARGEST));
}

const isWhole = () => !drawn.width || Math.abs(view.scale / fitting() - 1) < 0.01;

/** Show the whole picture. */
export function fit() {
  if (!drawn.width || !view.width) return;
  const { left, width, height } = room();
  view.scale = fitting();
  view.x = left + MARGIN + (width - drawn.width * view.scale) / 2;
  view.y = MARGIN + (height - drawn.height * view.scale) / 2;
  redraw();
}

/** Zoom, with a point of the stage staying where it is. */
export function zoom(factor, x = view.width / 2, y = view.height / 2) {
  if (!drawn.width) return;
  const scale = Math.min(LARGEST, Math.max(Math.min(fitting(), 1) / 4, view.scale * factor));
  view.x = x - (x - view.x) * (scale / view.scale);
  view.y = y - (y - view.y) * (scale / view.scale);
  view.scale = scale;
  move(0, 0);
}

/** Move the picture; some of it always stays in sight. */
export function move(dx, dy) {
  const seen = (at, size, room) => Math.min(room - 48, Math.max(48 - size, at));
  view.x = seen(view.x + dx, drawn.width * view.scale, view.width);
  view.y = seen(view.y + dy, drawn.height * view.scale, view.height);
  redraw();
}

/** Draw everything again, once before the next frame. */
export function redraw() {
  change({ zoom: view.scale });
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    drawPicture();
    drawMarks();
    drawInk();
    stage.dispatchEvent(new Event("moved"));
  });
}

function onSheet(sheet) {
  const { dense, scale, x, y } = view;
  sheet.setTransform(dense * scale, 0, 0, dense * scale, dense * x, dense * y);
  sheet.imageSmoothingEnabled = scale * dense < 4; // nearer, one sees the pixels
}

function clear(sheet) {
  sheet.setTransform(1, 0, 0, 1, 0, 0);
  sheet.clearRect(0, 0, sheet.canvas.width, sheet.canvas.height);
}

function drawPicture() {
  clear(picture);
  if (!drawn.levels.length) return;
  onSheet(picture);
  const wanted = drawn.width * view.scale * view.dense;
  const level = drawn.levels.findLast((one) => one.width >= wanted) ?? drawn.levels[0];
  picture.drawImage(level, 0, 0, drawn.width, drawn.height);
}

/** Draw labels, proposal and what is unsure, within a box of the picture if there is one. */
export function drawMarks(box = null) {
  marks.save();
  if (box) {
    const [left, top] = toStage([box.x0, box.y0]), [right, bottom] = toStage([box.x1, box.y1]);
    const edges = [left - 2, top - 2, right + 2, bottom + 2].map((value) => Math.round(value * view.dense));
    marks.setTransform(1, 0, 0, 1, 0, 0);
    marks.beginPath();
    marks.rect(edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1]);
    marks.clip();
  }
  clear(marks);
  const { labels, classes, unsure, width, height } = drawn;
  onSheet(marks);
  const lay = (sheet, alpha, how = "source-over") => {
    marks.globalAlpha = alpha;
    marks.globalCompositeOperation = how;
    marks.drawImage(sheet, 0, 0, width, height);
  };
  const below = state.showUnsure ? unsure : state.showProposal ? classes : null;
  if (below) lay(below, state.opacity);
  if (labels && state.showLabels) {
    const { step } = labels, size = [labels.canvas.width * step, labels.canvas.height * step];
    if (below) lay(labels.canvas, 1, "destination-out");
    marks.globalCompositeOperation = "source-over";
    marks.globalAlpha = state.opacity;
    marks.drawImage(labels.canvas, 0, 0, ...size);
  }
  marks.restore();
}

/** Begin the stroke in hand; without a colour it takes labels away. A line labels nothing itself. */
export function beginInk(radius, color, isLine = false) {
  stroke = { points: [], radius, color: color ? css(color) : "#808080", done: 0 };
  ink.canvas.style.opacity = isLine ? 1 : state.opacity;
  ink.canvas.classList.toggle("line", isLine);
}

/** Draw on to more points, [x, y] of the picture. */
export function continueInk(points) {
  stroke.points.push(...points);
  inkTo(stroke.points.length);
}

export function endInk() {
  stroke = null;
  clear(ink);
}

export const inkPoints = () => stroke?.points ?? [];

function drawInk() {
  clear(ink);
  if (!stroke) return;
  stroke.done = 0;
  inkTo(stroke.points.length);
}

function inkTo(end) {
  const { points, radius, color, done } = stroke;
  if (end === done) return;
  ink.save();
  onSheet(ink);
  ink.beginPath();
  ink.rect(0, 0, drawn.width, drawn.height);
  ink.clip();
  ink.strokeStyle = color;
  ink.lineWidth = 2 * radius;
  ink.lineCap = ink.lineJoin = "round";
  ink.beginPath();
  ink.moveTo(...points[Math.max(0, done - 1)]);
  for (const point of points.slice(done)) ink.lineTo(...point);
  ink.stroke();
  ink.restore();
  stroke.done = end;
}
