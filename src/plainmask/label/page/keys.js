// Everything by keys.

import { accept, step } from "./desk.js";
import { BACKGROUND, change, listed, state, tellsObjects } from "./state.js";
import { holdSpace, nudge, pointed } from "./pointer.js";
import * as scrubber from "./scrubber.js";
import * as tools from "./tools.js";
import { fit, zoom } from "./view.js";

const STEP = 4, LEAP = 32; // screen pixels that an arrow key moves the pen by; with Shift

const OBJECTS = ["Objects", [
  ["O", "New object"], ["M", "Merge objects by a line"],
  ["S", "Split an object by a line"], ["I / Alt click", "Go on with an object"],
  ["X", "Background"],
]];

const FRAMES = ["Frames", [
  ["PgUp PgDn", "Frame before, after"], ["Home End", "First, last frame"],
  ["V", "Play through the proposals, or stop"],
]];

/** The table that `?` shows: groups of [keys, what they do]. */
export const shortcuts = () => {
  const more = [...(tellsObjects() ? [OBJECTS] : []), ...(scrubber.isVideo() ? [FRAMES] : [])];
  return SHORTCUTS.toSpliced(2, 0, ...more);
};

const SHORTCUTS = [
  ["Tools", [
    ["B", "Brush"], ["E", "Eraser"], ["F", "Fill"], ["G", "Polygon"], ["A", "Accept a region"],
    ["[ ] / , .", "Smaller, larger brush"], ["Shift click", "Straight line"],
    ["Alt click / I", "Take the class pointed at"],
  ]],
  ["Classes", [
    ["1 – 9", "Choose a class"], ["C", "New class"], ["R", "Change or delete the class"],
    ["K", "Lock the labels of the class"],
  ]],
  ["Pen by keys", [
    ["Arrows", "Move (Shift: faster)"], ["Enter", "Pen down or up, corner, fill"],
    ["Shift Enter", "Close the polygon"],
  ]],
  ["Work", [
    ["Ctrl Z", "Undo"], ["Ctrl Shift Z", "Redo"],
    ["Shift A", "Accept the whole picture"], ["Shift C", "Accept the class"],
    ["N", "Next picture to label"], ["PgUp PgDn", "Picture before, after"],
    ["Esc", "Drop what is in hand"],
  ]],
  ["View", [
    ["L", "Labels"], ["P", "Proposal"], ["U", "Uncertainty"], ["Wheel / + −", "Zoom"], ["0", "Whole picture"],
    ["Space drag", "Move the picture"], ["?", "These keys"],
  ]],
];

/** @param {Object<string, Function>} others what others do: `editClass` takes an id, or null for a new one. */
export function start({ next, help, editClass }) {
  const plain = {
    b: () => tools.choose("brush"), e: () => tools.choose("erase"), f: () => tools.choose("fill"),
    g: () => tools.choose("polygon"), a: () => tools.choose("take"), i: () => tools.pick(pointed()),
    "[": () => tools.resizeBrush(-1), "]": () => tools.resizeBrush(1),
    ",": () => tools.resizeBrush(-1), ".": () => tools.resizeBrush(1),
    c: () => editClass(null), r: () => state.classId !== null && editClass(state.classId), k: () => toggleLock(), n: next,
    l: toggle("showLabels"), p: toggle("showProposal"), u: toggle("showUnsure"),
    A: () => accept({ what: "all" }), C: () => accept({ what: "class", class: state.classId }),
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fit, "?": help,
    PageUp: () => scrubber.step(-1), PageDown: () => scrubber.step(1), Escape: drop,
  };
  const ofObjects = {
    o: tools.beginObject, m: () => tools.choose("merge"), s: () => tools.choose("split"),
    x: () => chooseClass(BACKGROUND),
  };
  const ofVideos = {
    Home: () => scrubber.seek(0), End: () => scrubber.seek(Infinity), v: scrubber.togglePlay,
  };
  const keyed = (key) => plain[key] ?? (tellsObjects() ? ofObjects[key] : null)
    ?? (scrubber.isVideo() ? ofVideos[key] : null);
  addEventListener("keydown", (event) => {
    if (event.key === "Tab") document.body.classList.add("tabbing");
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const writes = event.getModifierState("AltGraph"); // some keyboards have [ and ] behind it
    if ((event.ctrlKey || event.metaKey) && !writes) { withControl(event); return; }
    if (event.altKey && !writes) return;
    const onStage = event.target === document.body || event.target.id === "stage";
    if (onStage && byPen(event)) { event.preventDefault(); return; }
    const work = /^[1-9]$/.test(event.key)
      ? () => chooseClass(listed()[event.key - 1]?.id)
      : keyed(named(event));
    if (!work || (event.target.type === "range" && ["Home", "End"].includes(event.key))) return;
    event.preventDefault();
    work();
  });
  addEventListener("keyup", (event) => { if (event.key === " ") holdSpace(false); });
  addEventListener("pointerdown", () => document.body.classList.remove("tabbing"));
  addEventListener("blur", () => holdSpace(false));
}

/** The key, whether caps lock is on or not. */
function named({ key, shiftKey }) {
  return /^[a-z]$/i.test(key) ? (shiftKey ? key.toUpperCase() : key.toLowerCase()) : key;
}

const isTyping = (element) => element.matches?.("input:not([type=range], [type=checkbox]), textarea, select");
const toggle = (key) => () => change({ [key]: !state[key] });

function withControl(event) {
  const key = event.key.toLowerCase();
  if (key !== "z" && key !== "y") return;
  event.preventDefault();
  step(key === "y" || event.shiftKey ? "redo" : "undo");
}

function byPen(event) {
  const far = event.shiftKey ? LEAP : STEP;
  const ways = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
  if (event.key === " ") holdSpace(true);
  else if (event.key === "Enter") {
    if (event.shiftKey) tools.close();
    else if (tools.isDown()) tools.release();
    else if (!event.repeat) tools.press(pointed());
  } else if (ways[event.key]) nudge(...ways[event.key]);
  else return false;
  return true;
}

/** Drop what is in hand, or else what was chosen of objects. */
function drop() {
  if (!tools.cancel()) change({ object: null });
}

/** Let strokes be of a class, and of whatever object they begin on. */
export function chooseClass(id) {
  if (id === undefined) return;
  const labels = ["brush", "fill", "polygon"].includes(state.tool);
  change({ classId: id, object: null, ...(!labels && { tool: "brush" }) });
}

/** Lock or unlock the labels of the chosen class, or of another. */
export function toggleLock(id = state.classId) {
  if (id === null) return;
  const locked = new Set(state.locked);
  if (!locked.delete(id)) locked.add(id);
  change({ locked });
}
