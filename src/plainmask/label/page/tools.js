// What the tools do with a pointer, a pen or the keys: brush, eraser, fill, polygon, accept.
// Points are [x, y] in pixels of the picture.

import { accept, draw, drawn } from "./desk.js";
import { thinned } from "./raster.js";
import { change, classes, say, state } from "./state.js";
import { NONE } from "./labels.js";
import { beginInk, continueInk, endInk, inkPoints, toStage, view } from "./view.js";

export const TOOLS = ["brush", "erase", "fill", "polygon", "take"];
const CLOSE = 10; // screen pixels from the first corner within which a click closes a polygon
const shape = document.getElementById("shape");
let corners = [], hover = null; // of the polygon in hand
let last = null; // where the last stroke ended, for straight lines
let hand = null; // "brush" or "erase" while a stroke is in hand

const chosen = () => classes().find(({ id }) => id === state.classId);

/** Whether the tool in hand may draw now; says why not. */
function ready(tool) {
  if (state.readOnly) say("This tab only shows: another one writes.");
  else if (tool !== "erase" && tool !== "take" && !chosen()) say("Add a class first (C).");
  else if (tool === "take" && !state.proposed) say("There is no proposal yet.");
  else if (drawn.labels) return true;
  return false;
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
  if (tool === "fill") draw({ kind: "fill", class: state.classId, points: [point] });
  else if (tool === "take") accept({ what: "region", point });
  else if (tool === "polygon") addCorner(point);
  else {
    hand = tool;
    beginInk(state.radius, tool === "erase" ? null : chosen().color);
    continueInk(how.straight && last ? [last, point] : [point]);
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
  const kind = hand, points = thinned(inkPoints(), state.radius);
  last = points.at(-1);
  hand = null;
  draw({ kind, points, radius: state.radius, ...(kind === "brush" && { class: state.classId }) });
  endInk();
}

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
  const id = drawn.labels?.at(point) ?? NONE;
  const draws = ["brush", "fill", "polygon"].includes(state.tool);
  if (id !== NONE) change({ classId: id, ...(!draws && { tool: "brush" }) });
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
  draw({ kind: "polygon", class: state.classId, points });
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

/** Make the brush one step larger or smaller. */
export function resizeBrush(steps) {
  const most = Math.max(drawn.width, drawn.height, 64) / 2;
  const by = Math.max(0.5, state.radius * 0.2) * steps, halves = Math.round(2 * (state.radius + by));
  change({ radius: Math.min(most, Math.max(0.5, halves / 2)) });
}
