// Mouse, pen and fingers on the stage: which of them draw, and which move the picture.

import { objectColor } from "./colors.js";
import { drawn } from "./desk.js";
import * as tools from "./tools.js";
import { classes, css, isBackground, state, tellsObjects, watch } from "./state.js";
import { move, toPicture, view, zoom } from "./view.js";

const stage = document.getElementById("stage"), ring = document.getElementById("ring");
const fingers = new Map(); // id -> [x, y] of those that are down
let drawing = null; // the pointer that draws
let panning = null; // {id, x, y} of the pointer that moves the picture
let pinching = false;
let penSeen = false; // from then on, fingers move the picture: a hand rests on it
let space = false;
let at = null; // where the pointer is, on the stage

const place = (event) => {
  const { left, top } = stage.getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
};

/** Where the pointer is in the picture; the middle of the stage where it is elsewhere. */
export const pointed = () => toPicture(...(at ?? [view.width / 2, view.height / 2]));

export function holdSpace(held) {
  space = held;
  stage.classList.toggle("grab", held);
}

function down(event) {
  if (event.target.closest("button, input, a, form")) return;
  stage.focus({ preventScroll: true });
  const [x, y] = (at = place(event));
  penSeen ||= event.pointerType === "pen";
  if (event.pointerType === "touch") fingers.set(event.pointerId, [x, y]);
  stage.setPointerCapture(event.pointerId);
  if (fingers.size === 2) {
    tools.cancel();
    drawing = panning = null;
    pinching = true;
  } else if (fingers.size < 2) {
    const moves = event.button === 1 || space || (penSeen && event.pointerType === "touch");
    if (moves) panning = { id: event.pointerId, x, y };
    else if (event.altKey) tools.pick(toPicture(x, y));
    else if (event.button === 0 || event.button === 5) begin(event, x, y);
  }
  if (event.button === 1) event.preventDefault(); // else the browser scrolls by itself
}

function begin(event, x, y) {
  drawing = event.pointerId;
  tools.press(toPicture(x, y), { straight: event.shiftKey, erase: event.button === 5 });
}

function moved(event) {
  const [x, y] = (at = place(event));
  showRing();
  if (pinching && fingers.has(event.pointerId)) pinch(event.pointerId, x, y);
  else if (panning?.id === event.pointerId) {
    move(x - panning.x, y - panning.y);
    Object.assign(panning, { x, y });
  } else if (drawing === event.pointerId || drawing === null) {
    // A pen tells more points than frames are shown.
    const events = event.getCoalescedEvents?.() ?? [];
    tools.drag((events.length ? events : [event]).map((one) => toPicture(...place(one))));
  }
}

function pinch(id, x, y) {
  const [first, second] = [...fingers.keys()];
  const middle = () => [0, 1].map((k) => (fingers.get(first)[k] + fingers.get(second)[k]) / 2);
  const apart = () => Math.hypot(...[0, 1].map((k) => fingers.get(first)[k] - fingers.get(second)[k]));
  const [fromX, fromY] = middle(), before = apart();
  fingers.set(id, [x, y]);
  const [toX, toY] = middle();
  move(toX - fromX, toY - fromY);
  if (before > 0) zoom(apart() / before, toX, toY);
}

function up(event) {
  fingers.delete(event.pointerId);
  if (fingers.size < 2) pinching = false;
  if (panning?.id === event.pointerId) panning = null;
  if (drawing !== event.pointerId) return;
  drawing = null;
  if (event.type === "pointercancel") tools.cancel();
  else tools.release();
}

function wheel(event) {
  event.preventDefault();
  const [x, y] = place(event), lines = event.deltaMode === 1 ? 16 : 1;
  if (event.shiftKey) move(-(event.deltaX || event.deltaY) * lines, 0);
  else zoom(Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 100 : 400)), x, y);
}

/** The ring that shows how large the brush is. */
function showRing() {
  const brush = (state.tool === "brush" || state.tool === "erase") && at && !space;
  ring.hidden = !brush;
  if (!brush) return;
  const wide = Math.max(3, 2 * state.radius * view.scale);
  ring.style.width = ring.style.height = `${wide}px`;
  ring.style.transform = `translate(${at[0] - wide / 2}px, ${at[1] - wide / 2}px)`;
  showObject();
}

/** Say in the ring which object a stroke would be of; while it is drawn, that stands. */
function showObject() {
  if (tools.isDown()) return;
  const chosen = classes().find(({ id }) => id === state.classId);
  const says = tellsObjects() && state.tool === "brush" && drawn.labels && chosen;
  const { object } = says ? tools.labelFor(toPicture(...at)) : {};
  const isThere = state.objects.some(({ number }) => number === object);
  const name = isThere ? `${chosen.name} ${object}` : `new ${chosen?.name}`;
  ring.dataset.object = !says ? "" : isBackground(chosen.id) ? chosen.name : name;
  ring.style.borderColor = says ? css(object ? objectColor(object) : chosen.color) : "";
}

/** Move the pen by keys; (dx, dy) in screen pixels. */
export function nudge(dx, dy) {
  const [x, y] = at ?? [view.width / 2, view.height / 2];
  at = [Math.min(view.width, Math.max(0, x + dx)), Math.min(view.height, Math.max(0, y + dy))];
  showRing();
  tools.drag([toPicture(...at)]);
  stage.classList.add("keys");
  document.getElementById("cross").style.transform = `translate(${at[0]}px, ${at[1]}px)`;
}

export function start() {
  stage.addEventListener("pointerdown", down);
  stage.addEventListener("pointermove", (event) => { stage.classList.remove("keys"); moved(event); });
  stage.addEventListener("pointerup", up);
  stage.addEventListener("pointercancel", up);
  stage.addEventListener("pointerleave", () => { if (drawing === null) { at = null; showRing(); } });
  stage.addEventListener("dblclick", () => { if (state.tool === "polygon") tools.close(); });
  stage.addEventListener("wheel", wheel, { passive: false });
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("moved", () => { showRing(); tools.showShape(); });
  watch(["tool", "radius", "classId", "object", "objects"], showRing);
  watch(["picture"], tools.cancel);
  watch(["tool"], () => { stage.dataset.tool = state.tool; });
}
