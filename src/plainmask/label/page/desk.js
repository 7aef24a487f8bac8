// The picture on the desk: its pixels, its labels, what is proposed for it, and what is done to it.
//
// Strokes are drawn here at once and sent after it. What only the server can draw to the last pixel
// is read back from it once nothing is on its way any more.

import { Gone, Outbox, Refused, ask, of, read, send } from "./api.js";
import { FRESH } from "./colors.js";
import { Labels, NONE } from "./labels.js";
import { decode } from "./png.js";
import { drawClasses, drawUnsure } from "./proposal.js";
import { change, classes, entry, listed, say, state, tellsObjects } from "./state.js";

/** What is on the desk: sizes, the picture and halves of it, labels, and proposals to lay over. */
export const drawn = { width: 0, height: 0, levels: [], labels: null, classes: null, unsure: null };
const MOST_KEPT = 96e6; // bytes of what strokes have changed, kept to take them back at once

let show = { all() {}, marks() {}, whole() {} };
let maps = { classes: null, unsure: null }; // as they came, to be coloured again
let turn = 0; // counts the pictures opened: answers for an earlier one are dropped
let stale = false; // whether the server may have other labels than the page
let back = [], forth = []; // patches to undo and redo; null: the server has to be asked
let asking = new AbortController(); // of the proposal that is on its way
let version = 0; // of the proposal on the desk
let made = 0; // counts what was done
let reading = false; // labels are on their way back from the server
let reserved = 0; // numbers that the server may give to objects meanwhile
const MOST_MADE = 257; // objects that it makes at once

export const outbox = new Outbox((unsent) => change({ unsent }), (online) => change({ online }));

/** @param {{all: Function, marks: Function, whole: Function}} how to show what has changed. */
export function showBy(how) { show = how; }

/** Ask the server how the project is. */
export async function reload() {
  const project = await read("api/project");
  change({ project, status: project.status });
  recolor();
}

/** Take the classes as they are now. */
export function setClasses(list) {
  change({ project: { ...state.project, classes: list } });
  const ids = listed().map(({ id }) => id), locked = [...state.locked].filter((id) => ids.includes(id));
  const isGone = state.classId !== null && !ids.includes(state.classId);
  change({ locked: new Set(locked), classId: isGone ? ids[0] ?? null : state.classId });
  recolor();
}

/** Give up a class; what has its labels gets those of another, without which there may be none. */
export async function deleteClass(id, into) {
  const answer = await new Promise((done, failed) => {
    outbox.push(async (key) => done(await send("api/classes/delete", { id, into }, key)), failed);
  });
  remember(null);
  setClasses(answer.classes);
  await readBack();
}

/** Put a picture on the desk. */
export async function open(name) {
  const about = entry(name);
  if (!about) return;
  const mine = ++turn;
  asking.abort();
  change({ picture: name, loading: true, proposed: false, learning: false, object: null, objects: [] });
  const { width, height } = about;
  // The frame before stays in sight until the next one is here, and that is seen as near.
  const follows = state.project.video && drawn.width === width && drawn.height === height;
  const levels = follows ? drawn.levels : [];
  Object.assign(drawn, { width, height, levels, labels: null, classes: null, unsure: null });
  [maps, back, forth, version] = [{ classes: null, unsure: null }, [], [], 0];
  if (!follows) show.whole();
  try {
    await outbox.empty();
    const [levels, labels] = await Promise.all([readLevels(name), readLabels(name)]);
    if (mine !== turn) return;
    Object.assign(drawn, { levels, labels });
    stale = false;
    tellObjects();
    recolor();
    change({ loading: false });
    fetchProposal(name, 0);
  } catch (error) {
    if (mine !== turn) return;
    drawn.levels = [];
    show.all();
    change({ loading: false });
    complain(error);
  }
}

/** The picture, and halves of it for when it is seen small. */
async function readLevels(name) {
  const image = new Image();
  image.src = of(name);
  try {
    await image.decode();
  } catch {
    await ask(of(name)); // says why, where the server knows
    throw new Refused(`${name} cannot be shown by this browser`);
  }
  const levels = [await createImageBitmap(image)];
  while (levels.at(-1).width > 1600) {
    const { width, height } = levels.at(-1);
    const size = { resizeWidth: width >> 1, resizeHeight: Math.max(1, height >> 1), resizeQuality: "medium" };
    levels.push(await createImageBitmap(levels.at(-1), size));
  }
  return levels;
}

async function readLabels(name) {
  const answer = await ask(of(name, "/labels.png"));
  const { width, height, pixels, objects } = await decode(await answer.arrayBuffer());
  return new Labels(width, height, pixels, objects);
}

/** Tell the page which objects have labels. */
function tellObjects() {
  const objects = drawn.labels.list(), there = objects.some(({ number }) => number === state.object);
  change({ objects, object: state.object === "new" || there ? state.object : null });
}

/** A number for a new object. */
export const freeNumber = () => drawn.labels.freeNumber(reserved);

/**
 * The object that is seen at a point: labelled, or else proposed.
 *
 * @returns {?{number: number, class: number}} of one that is only proposed, with the number that it
 *   is to have; null: there is none.
 */
export function seenAt(point) {
  const { labels, width, height } = drawn, at = labels?.place(point) ?? null, map = maps.classes;
  if (at === null || !tellsObjects()) return null;
  if (labels.pixels[at] !== NONE || !map) return found(labels.objects[at], labels.pixels[at]);
  const [x, y] = point;
  const there = Math.floor((y * map.height) / height) * map.width + Math.floor((x * map.width) / width);
  const number = map.objects[there] & (FRESH - 1), isNew = map.objects[there] >= FRESH;
  return found(isNew && labels.areas[number] ? freeNumber() : number, map.pixels[there]);
}

const found = (number, id) => (number ? { number, class: id } : null);

/** By id, with holes where classes were given up. */
function colors() {
  const found = [];
  for (const { id, color } of classes()) found[id] = color;
  return found;
}

function recolor() {
  drawn.labels?.color(colors());
  drawn.classes = maps.classes && drawClasses(maps.classes, colors());
  drawn.unsure = maps.unsure && drawUnsure(maps.unsure);
  show.all();
}

/** Take a proposal of this version or a newer one; the server waits until there is one. */
export async function fetchProposal(name, wanted) {
  if (name !== state.picture || wanted < version) return;
  asking.abort();
  const { signal } = (asking = new AbortController());
  try {
    const classesAnswer = await ask(of(name, `/proposal.png?version=${wanted}`), { signal });
    const found = await decode(await classesAnswer.arrayBuffer());
    if (signal.aborted) return;
    version = Number(classesAnswer.headers.get("x-version") ?? wanted);
    maps = { classes: found, unsure: null };
    drawn.classes = drawClasses(found, colors());
    change({ proposed: true, learning: false });
    show.marks();
    const answer = await ask(of(name, `/uncertainty.png?version=${wanted}`), { signal });
    maps.unsure = await decode(await answer.arrayBuffer());
    if (signal.aborted) return;
    drawn.unsure = drawUnsure(maps.unsure);
    if (state.showUnsure) show.marks();
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Refused && error.status === 503) fetchProposal(name, wanted);
    else if (error instanceof Refused) forgetProposal();
  }
}

/** There is no proposal, or none any more. */
export function forgetProposal() {
  [maps, version] = [{ classes: null, unsure: null }, 0];
  drawn.classes = drawn.unsure = null;
  change({ proposed: false, learning: false });
  show.marks();
}

/** Draw a stroke: {kind, points, class, radius}. */
export function draw(stroke) {
  if (state.readOnly || !drawn.labels) return;
  const picture = state.picture, locked = [...state.locked];
  const whole = { ...stroke, locked: stroke.kind === "accept" ? undefined : locked };
  const patch = drawn.labels.draw(whole);
  if (patch) { show.marks(patch); tellObjects(); }
  remember(patch);
  if (stroke.kind === "polygon") { stale = true; }
  post(async (key) => confirm(picture, await send(of(picture, "/strokes"), whole, key)));
}

/** Make the proposal the labels: {what: "all" | "class" | "region", class, point}. */
export const accept = (what) => byServer("/accept", what);

/** Make objects one, or one two, by a line across them: {do: "merge" | "split", points, radius}. */
export const repair = (how) => byServer("/repair", how);

/** Have the server change labels, which are read back from it. */
function byServer(path, content) {
  if (state.readOnly || !drawn.labels) return;
  const picture = state.picture;
  remember(null);
  stale = true;
  reserved += MOST_MADE;
  post(async (key) => confirm(picture, await send(of(picture, path), content, key)));
}

/** Undo, or redo, the last stroke on any picture. */
export function step(direction) {
  if (state.readOnly) return;
  const [from, to] = direction === "undo" ? [back, forth] : [forth, back];
  const patch = from.pop(), picture = state.picture;
  if (patch) { drawn.labels.swap(patch); show.marks(patch); tellObjects(); }
  if (patch !== undefined) to.push(patch);
  post(async (key) => {
    const answer = await send(`api/${direction}`, {}, key);
    if (answer.classes) { // one came back, or went
      setClasses(answer.classes);
      stale = true;
      return;
    }
    if (!answer.picture) say(`There is nothing to ${direction}.`, 2);
    else confirm(answer.picture, answer);
    if (answer.picture === picture && !patch) stale = true;
    if (patch && answer.picture !== picture) stale = true;
    if (answer.picture && answer.picture !== state.picture) open(answer.picture);
  });
}

function remember(patch) {
  back.push(patch && { ...patch });
  forth = [];
  let bytes = 0;
  for (let k = back.length - 1; k >= 0; k--) {
    bytes += (back[k]?.values.length ?? 0) + (back[k]?.numbers?.byteLength ?? 0);
    if (bytes > MOST_KEPT) { back.splice(0, k + 1, null); break; }
  }
}

function confirm(picture, answer) {
  const about = entry(picture), share = answer.labelled_share;
  if (about && share !== undefined) {
    Object.assign(about, { labelled_share: share, done: share === 1 });
    change({ project: state.project });
  }
  if (picture === state.picture) change({ learning: classes().length > 1 });
}

function post(work) {
  made++;
  outbox.push(async (key) => {
    await work(key);
    if (stale) readBack();
  }, (error) => {
    stale = true;
    complain(error);
    readBack();
  });
}

/** Read the labels from the server once it has all; again, if something is drawn meanwhile. */
export async function readBack() {
  const mine = turn, picture = state.picture;
  if (reading || !picture || !drawn.labels) return;
  reading = true;
  try {
    let labels, seen;
    do {
      await outbox.empty();
      seen = made;
      labels = await readLabels(picture);
    } while (seen !== made);
    if (mine !== turn) return;
    stale = false;
    reserved = 0;
    labels.color(colors());
    drawn.labels = labels;
    tellObjects();
    back = back.map(() => null);
    forth = forth.map(() => null);
    show.marks();
  } catch (error) {
    complain(error);
  } finally {
    reading = false;
  }
}

export function complain(error) {
  if (error instanceof Gone) return; // the page says so already
  if (error.status === 423) change({ readOnly: true });
  if (!(error instanceof Refused)) console.error(error);
  say(error.message, 10);
}
