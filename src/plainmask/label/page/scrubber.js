// The frames of a video: a slider over them, marks where they have labels, and play. Stepping from
// picture to picture is the same for pictures that are none of a video.

import { pictures, state, watch } from "./state.js";

const find = (id) => document.getElementById(id);
const slider = find("frame"), marks = find("frame-marks"), told = find("frame-told"), button = find("play");
const PACE = 250; // milliseconds for which a frame is shown at least while they play
const PATIENCE = 4000; // and at most for which its proposal is waited for

let open = null; // opens a picture
let target = null; // the place of the picture that is to be opened
let opening = false;
let playing = 0; // counts up; 0: not
let turns = 0;

export const isVideo = () => Boolean(state.project?.video);

/** @param {(name: string) => Promise} go opens a picture. */
export function start(go) {
  open = go;
  slider.oninput = () => { stop(); seek(Number(slider.value)); };
  button.onclick = togglePlay;
  find("stage").addEventListener("pointerdown", stop);
  addEventListener("keydown", ({ key, target: where }) => { if (key.toLowerCase() !== "v" && where !== button) stop(); });
  watch(["project"], showVideo);
  watch(["picture", "project"], showPlace);
}

const place = () => (opening ? target : pictures().findIndex(({ name }) => name === state.picture));

/** Go so many pictures on, or back. */
export const step = (by) => seek(place() + by);

/** Go to a place among the pictures; of several that are asked for quickly, to the last. */
export async function seek(to) {
  target = Math.max(0, Math.min(pictures().length - 1, to));
  if (opening) { showPlace(); return; }
  opening = true;
  try {
    for (let opened = null; opened !== target;) {
      opened = target;
      if (pictures()[opened].name !== state.picture) await open(pictures()[opened].name);
    }
  } finally {
    opening = false;
  }
}

/** Show frame after frame, each with its proposal, until something else is done. */
export async function togglePlay() {
  if (playing || !isVideo()) { stop(); return; }
  const mine = (playing = ++turns), last = pictures().length - 1;
  showPlaying();
  if (place() === last) await seek(0);
  while (playing === mine && place() < last) {
    const began = performance.now(), spent = () => performance.now() - began;
    await seek(place() + 1);
    const waits = () => state.status.shown_by && !state.proposed && spent() < PATIENCE;
    do await new Promise((go) => setTimeout(go, 20)); while (playing === mine && (spent() < PACE || waits()));
  }
  if (playing === mine) stop();
}

function stop() {
  playing = 0;
  showPlaying();
}

function showPlaying() {
  button.setAttribute("aria-label", playing ? "Stop" : "Play");
  button.title = `${playing ? "Stop" : "Play through the proposals"} (V)`;
  button.querySelector("use").setAttribute("href", playing ? "#i-stop" : "#i-play");
}

/** Lay out the page for a video, and mark the frames that have labels. */
function showVideo() {
  document.body.toggleAttribute("data-video", isVideo());
  if (!isVideo()) return;
  find("next").textContent = "Next frame";
  find("next").title = "The frame that teaches most (N)";
  const last = pictures().length - 1;
  slider.max = last;
  const labelled = pictures().flatMap(({ labelled_share: share, done }, at) => (share ? [{ done, at }] : []));
  marks.replaceChildren(...labelled.map(({ done, at }) => {
    const mark = document.createElement("i");
    mark.className = done ? "done" : "";
    mark.style.left = `${(100 * at) / Math.max(1, last)}%`;
    return mark;
  }));
}

function showPlace() {
  const at = pictures()[place()], { seconds } = state.project?.video ?? {};
  if (!at || !seconds) return;
  slider.value = place();
  const time = seconds[at.name] ?? 0, minutes = Math.floor(time / 60);
  const text = `Frame ${parseInt(at.name, 10)} · ${minutes}:${(time % 60).toFixed(2).padStart(5, "0")}`;
  told.textContent = text;
  slider.setAttribute("aria-valuetext", `${text}${at.labelled_share ? ", has labels" : ""}`);
}
