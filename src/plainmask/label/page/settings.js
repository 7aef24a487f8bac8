// How the page was left, which this browser keeps for each project: tool, brush, class, views, locks.

import { change, entry, listed, state, tellsObjects, watch } from "./state.js";

const BRUSH = 1 / 80; // radius of the first brush, as a share of the picture's longer side
const isShown = (value) => typeof value === "boolean";
const isThere = (id) => listed().some((one) => one.id === id);
const TOOLS = ["brush", "erase", "fill", "polygon", "take"], OF_OBJECTS = ["merge", "split"];
const KEPT = { // by entry of the state: what it may be
  tool: (value) => TOOLS.includes(value) || (tellsObjects() && OF_OBJECTS.includes(value)),
  classId: isThere,
  opacity: (value) => value >= 0.1 && value <= 1,
  showLabels: isShown, showProposal: isShown, showUnsure: isShown,
};
let brush = BRUSH;

const long = ({ width, height }) => Math.max(width, height);
const place = () => `plainmask label ${state.project.place}`;

/** Take the settings of the project as they were left, and keep them from now on. */
export function restore() {
  const found = read();
  change({ classId: listed()[0]?.id ?? null });
  for (const [key, fits] of Object.entries(KEPT)) if (fits(found[key])) change({ [key]: found[key] });
  if (Array.isArray(found.locked)) change({ locked: new Set(found.locked.filter(isThere)) });
  if (found.brush > 0 && found.brush < 1) brush = found.brush;
  watch([...Object.keys(KEPT), "locked", "radius"], keep);
}

/** The radius of the brush in a picture: as large beside it as beside the one before. */
export function radiusIn(name) {
  return Math.max(0.5, Math.round(2 * brush * long(entry(name))) / 2);
}

function read() {
  try {
    return JSON.parse(localStorage.getItem(place())) ?? {};
  } catch {
    return {}; // another program's, or this browser keeps nothing
  }
}

function keep() {
  if (state.picture) brush = state.radius / long(entry(state.picture));
  const now = Object.fromEntries(Object.keys(KEPT).map((key) => [key, state[key]]));
  try {
    localStorage.setItem(place(), JSON.stringify({ ...now, locked: [...state.locked], brush }));
  } catch {
    // It is full, or keeps nothing: the page works without.
  }
}
