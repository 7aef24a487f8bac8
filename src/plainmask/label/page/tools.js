// What the tools do with a pointer, a pen or the keys: brush, eraser, fill, polygon, accept, and of
// objects merge and split.
// Points are [x, y] in pixels of the picture.

import { objectColor } from "./colors.js";
import { accept, draw, drawn, freeNumber, repair, seenAt } from "./desk.js";
import { NONE } from "./labels.js";
import { thinned } from "./raster.js";
import { change, classes, isBackground, listed, say, state, tellsObjects } from "./state.js";
import { beginInk, continueInk, endInk, inkPoints, toStage, view } from "./view.js";

const LINES = ["merge", "split"]; // tools that draw a line
const LINE = 2, WHITE = [255, 255, 255]; // screen pixels of half its width, and its colour
const DRAWING = ["brush", "fill", "polygon"]; // tools that label
const CLOSE = 10; // screen pixels from the first corner within which a click closes a polygon
const shape = document.getElementById("shape");
let corners = [], hover = null; // of the polygon in hand
let last = null; // where the last stroke ended, for straight lines
let hand = null; // {kind, radius, its} while a stroke is in hand; see labelFor

const chosen = () => classes().find(({ id }) => id === state.classId);

/** Whether the tool in hand may draw now; says why not. */
function ready(tool) {
  if (state.readOnly) say("This tab only shows: another one writes.");
  else if (DRAWING.includes(tool) && !chosen()) say("Add a class first (C).");
  else if (tool === "take" && !state.proposed) say("There is no proposal yet.");
  else if (drawn.labels) return true;
  return false;
}

/**
 * What a stroke that begins at a point labels: the chosen class, and the object that was chosen, or a
 * new one; else the one that it begins on, if that is of this class. A fill keeps the object, whatever
 * its class was.
 *
 * @returns {{class: number, object?: number}}
 */
export function labelFor(point) {
  const its = { class: state.classId };
  if (!tellsObjects()) return its;
  if (isBackground(state.classId)) return { ...its, object: 0 };
  if (typeof state.object === "number") return { ...its, object: state.object };
  const found = state.object === "new" ? null : seenAt(point);
  const goesOn = found && (state.tool === "fill" || found.class === state.classId);
  return { ...its, object: goesOn ? found.number : freeNumber() };
}

/**
 * The pointer goes down.
 *
 * @param {{straight?: boolean, erase?: boolean}} how a straight line from the last stroke's end;
 *   erase, whatever the tool is.
 */
export function press(point, how = {}) {
  const tool = how.erase ? "erase" : state.tool;
  if (!ready(tool)) return;
  if (tool === "fill") label({ kind: "fill", points: [point], ...labelFor(point) });
  else if (tool === "take") accept({ what: "region", point });
  else if (tool === "polygon") addCorner(point);
  else {
    const from = how.straight && last ? last : point, isLine = LINES.includes(tool);
    const its = tool === "brush" ? labelFor(from) : null, radius = isLine ? LINE / view.scale : state.radius;
    hand = { kind: tool, radius, its };
    beginInk(radius, isLine ? WHITE : its && colorOf(its), isLine);
    continueInk(from === point ? [point] : [from, point]);
  }
}

/** The pointer goes on to more points. */
export function drag(points) {
  if (hand) continueInk(points);
  else if (corners.length) { hover = points.at(-1); showShape(); }
}

/** The pointer goes up. */
export function release() {
  if (!hand) return;
  const { kind, its, radius } = hand, points = thinned(inkPoints(), radius);
  last = points.at(-1);
  hand = null;
  if (LINES.includes(kind)) repair({ do: kind, points, radius });
  else label({ kind, points, radius, ...its });
  endInk();
}

function label(stroke) {
  draw(stroke);
  if (state.object === "new" && stroke.object) change({ object: null }); // it was for one stroke
}

/** The colour of what a stroke labels. */
const colorOf = ({ object }) => (object ? objectColor(object) : chosen().color);

/** Drop what is in hand. @returns whether there was something. */
export function cancel() {
  const had = Boolean(hand || corners.length);
  if (hand) endInk();
  hand = null;
  corners = [];
  showShape();
  return had;
}

export const isDown = () => Boolean(hand);

/** Take the class of the labels under a point. */
export function pick(point) {
  const id = drawn.labels?.pixels[drawn.labels.place(point)] ?? NONE;
  const found = seenAt(point);
  const brush = DRAWING.includes(state.tool) ? {} : { tool: "brush" };
  if (found && state.objects.some(({ number }) => number === found.number)) {
    change({ classId: found.class, object: found.number, ...brush });
  } else if (id !== NONE) change({ classId: id, object: null, ...brush });
}

export function choose(tool) {
  cancel();
  change({ tool });
}

function addCorner(point) {
  const [x, y] = toStage(point), first = corners.length ? toStage(corners[0]) : null;
  if (first && corners.length > 2 && Math.hypot(x - first[0], y - first[1]) < CLOSE) { close(); return; }
  corners.push(point);
  hover = null;
  showShape();
}

/** Close the polygon in hand. */
export function close() {
  if (!corners.length) return;
  const points = corners.filter((point, k) => !k || String(point) !== String(corners[k - 1]));
  if (points.length < 3) { say("A polygon has three corners or more."); return; }
  corners = [];
  showShape();
  label({ kind: "polygon", points, ...labelFor(points[0]) });
}

/** Show the polygon in hand where it lies now. */
export function showShape() {
  const points = [...corners, ...(hover && corners.length ? [hover] : [])].map(toStage);
  const color = chosen()?.color;
  shape.setAttribute("viewBox", `0 0 ${Math.max(1, view.width)} ${Math.max(1, view.height)}`);
  shape.style.setProperty("--color", color ? `rgb(${color.join(" ")})` : "currentColor");
  for (const one of shape.querySelectorAll("polygon")) {
    one.setAttribute("points", points.map((point) => point.join()).join(" "));
  }
  const dots = corners.map((corner) => {
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    const [x, y] = toStage(corner);
    for (const [key, value] of Object.entries({ cx: x, cy: y, r: 4 })) dot.setAttribute(key, value);
    return dot;
  });
  shape.querySelector("g").replaceChildren(...dots);
}

/** Let the next stroke begin an object, whatever it begins on. */
export function beginObject() {
  if (!tellsObjects()) return;
  const id = isBackground(state.classId) ? listed().find(({ id }) => !isBackground(id))?.id ?? null : state.classId;
  change({ object: "new", classId: id, ...(!DRAWING.includes(state.tool) && { tool: "brush" }) });
}

/** Make the brush one step larger or smaller. */
export function resizeBrush(steps) {
  const most = Math.max(drawn.width, drawn.height, 64) / 2;
  const by = Math.max(0.5, state.radius * 0.2) * steps, halves = Math.round(2 * (state.radius + by));
  change({ radius: Math.min(most, Math.max(0.5, halves / 2)) });
}
