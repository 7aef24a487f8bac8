// What the page knows. Parts of the page watch the entries that they show.

const watchers = [];
const changed = new Set();
let waiting = false;

export const state = {
  project: null, // as the server tells it
  picture: null, // the name of the one on the desk
  status: {}, // of the learning
  job: null, // the labelling of the rest
  tool: "brush",
  classId: null,
  object: null, // of the next strokes: its number, or "new"; null: whatever they begin on
  objects: [], // those of the picture that have labels: {number, class}
  radius: 12, // of the brush, in pixels of the picture
  locked: new Set(), // ids of classes whose labels stay
  opacity: 0.65,
  showLabels: true,
  showProposal: true,
  showUnsure: false,
  proposed: false, // there is a proposal for the picture
  learning: false, // a proposal is on its way
  loading: false, // the picture is on its way
  readOnly: false, // another tab writes
  online: true,
  unsent: 0, // strokes that the server has not confirmed
  zoom: 1,
  said: "", // the last message
};

/** Set entries, and show them. */
export function change(entries) {
  for (const [key, value] of Object.entries(entries)) {
    if (state[key] === value && typeof value !== "object") continue;
    state[key] = value;
    changed.add(key);
  }
  if (changed.size && !waiting) {
    waiting = true;
    queueMicrotask(show);
  }
}

/** Call `render` when one of these entries changes, and once now. */
export function watch(keys, render) {
  watchers.push({ keys, render });
  render();
}

function show() {
  waiting = false;
  const now = new Set(changed);
  changed.clear();
  for (const { keys, render } of watchers) if (keys.some((key) => now.has(key))) render();
}

let silence = 0;

/** Tell the person one line. */
export function say(message, seconds = 6) {
  change({ said: message });
  clearTimeout(silence);
  silence = setTimeout(() => change({ said: "" }), 1000 * seconds);
}

export const BACKGROUND = 0; // the class of all that is no object, where these are told apart
export const tellsObjects = () => state.project?.task === "instance";
/** The classes as they are listed; the background, which is none, last. */
export function listed() {
  const [first, ...rest] = classes();
  return tellsObjects() && first ? [...rest, first] : classes();
}
export const isBackground = (id) => tellsObjects() && id === BACKGROUND;
export const classes = () => state.project?.classes ?? [];
export const pictures = () => state.project?.pictures ?? [];
export const entry = (name) => pictures().find((picture) => picture.name === name);
export const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
