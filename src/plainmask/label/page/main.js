// Starts the page, and follows what the server tells.

import { claim, leave, listen, read } from "./api.js";
import { editClass } from "./class_form.js";
import {
  complain, drawn, fetchProposal, forgetProposal, open, outbox, readBack, reload, setClasses, showBy,
} from "./desk.js";
import * as keys from "./keys.js";
import * as panel from "./panel.js";
import * as pointer from "./pointer.js";
import * as scrubber from "./scrubber.js";
import { radiusIn, restore } from "./settings.js";
import { change, classes, entry, listed, pictures, say, state, tellsObjects, watch } from "./state.js";
import * as strip from "./strip.js";
import { isDown, release } from "./tools.js";
import { drawMarks, fit, redraw, resize } from "./view.js";

const LOOK = 4000; // milliseconds between looks at which tab writes
const help = document.getElementById("help"), stage = document.getElementById("stage");

async function begin() {
  showBy({ all: redraw, marks: drawMarks, whole: fit });
  const others = { next, help: showHelp, editClass };
  keys.start(others);
  panel.start(others);
  strip.start(go);
  scrubber.start(go);
  pointer.start();
  document.addEventListener("click", ({ detail, target }) => {
    // Pressed by pointer: keys go on to the picture, and Space does not press it again.
    const pressed = "#bar button, nav button, #tools button, #panel button, [type=checkbox]";
    if (detail && target.closest(pressed)) stage.focus();
  });
  new ResizeObserver(resize).observe(stage);
  watch(["opacity", "showLabels", "showProposal", "showUnsure"], redraw);
  await connect();
  listen(take, online);
  setInterval(look, LOOK);
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => { if (event.persisted) look(); });
  addEventListener("beforeunload", (event) => { if (outbox.waiting.length) event.preventDefault(); });
  document.querySelector("#banner button").onclick = () => write(true);
}

/** Ask for the project until it comes, and open a picture. */
async function connect() {
  try {
    await reload();
    await write(false);
  } catch (error) {
    change({ online: false });
    complain(error);
    await new Promise((go) => setTimeout(go, 1500));
    return connect();
  }
  change({ online: true });
  restore();
  const wanted = decodeURIComponent(location.hash.slice(1));
  const first = entry(wanted) ? wanted : pictures().find(({ done }) => !done)?.name ?? pictures()[0]?.name;
  if (first) await go(first);
  if (classes().length <= Number(tellsObjects())) editClass(null);
}

/** Be the tab that writes, if no other is; with `take`, even then. */
async function write(take) {
  const wasReadOnly = state.readOnly, mine = await claim(take);
  change({ readOnly: !mine });
  if (mine && wasReadOnly) { await reload(); readBack(); }
}

function look() {
  if (!document.hidden && state.online) write(false).catch(() => {});
}

let missing = false; // events may have been missed

async function online(there) {
  const missed = missing;
  missing = !there;
  change({ online: there });
  if (!there || !missed) return;
  try {
    await write(false);
    await outbox.empty();
    await reload();
    readBack();
    fetchProposal(state.picture, 0);
  } catch (error) {
    complain(error);
  }
}

let noting = 0; // of the picture in the address

/** Open a picture. A stroke in hand is finished on its own. */
function go(name) {
  if (isDown()) release();
  change({ radius: radiusIn(name) });
  clearTimeout(noting); // browsers allow it a few times a second
  const note = () => history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  noting = setTimeout(note, scrubber.isVideo() ? 300 : 0);
  return open(name);
}

async function next() {
  try {
    await outbox.empty();
    const { picture } = await read("api/next");
    if (picture) go(picture);
    else say("All other pictures have labels already.");
  } catch (error) {
    complain(error);
  }
}

function take(event) {
  if (event.type === "proposal") fetchProposal(event.picture, event.version);
  else if (event.type === "status") {
    if (state.readOnly) reload().then(readBack, complain); // the tab that writes drew something
    change({ status: event, job: event.job ?? state.job });
    if (!event.shown_by && drawn.labels) forgetProposal();
  } else if (event.type === "job") change({ job: event });
  else if (event.type === "classes") setClasses(event.classes);
  else if (event.type === "problem") say(event.message, 12);
}

function showHelp() {
  const groups = keys.shortcuts().map(([title, rows]) => {
    const section = document.createElement("section"), list = document.createElement("dl");
    for (const [pressed, does] of rows) {
      const term = document.createElement("dt"), told = document.createElement("dd");
      told.textContent = does;
      for (const key of pressed.split(" ")) {
        const cap = Object.assign(document.createElement("kbd"), { textContent: key });
        term.append(key === "/" ? "or" : cap, " ");
      }
      list.append(told, term);
    }
    section.append(Object.assign(document.createElement("h3"), { textContent: title }), list);
    return section;
  });
  help.querySelector("div").replaceChildren(...groups);
  help.showModal();
}

begin();
