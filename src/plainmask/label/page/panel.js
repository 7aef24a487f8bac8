// The bar above and the panel to the right: what can be pressed, and what is told.

import { send } from "./api.js";
import { editClass, startClassForm } from "./class_form.js";
import { startCourse } from "./course.js";
import { accept, complain, step } from "./desk.js";
import { chooseClass, toggleLock } from "./keys.js";
import { startObjects } from "./objects.js";
import { change, classes, css, entry, isBackground, listed, pictures, state, tellsObjects, watch } from "./state.js";
import { choose } from "./tools.js";
import { fit, zoom } from "./view.js";

const find = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(100 * share)} %`;

/** @param {{next: Function, help: Function}} what others do. */
export function start({ next, help }) {
  startBar(help);
  startTools();
  startShow();
  startClassForm();
  startObjects();
  startCourse();
  watch(["project", "classId", "locked", "status", "readOnly"], showClasses);
  watch(["status", "proposed", "learning", "readOnly", "classId", "project"], showProposal);
  watch(["status"], showDecoder);
  watch(["job", "status", "readOnly"], showJob);
  watch(["online", "readOnly", "unsent", "said", "loading", "learning"], showMessages);
  find("add").onclick = () => editClass(null);
  find("accept-all").onclick = () => accept({ what: "all" });
  find("accept-class").onclick = () => accept({ what: "class", class: state.classId });
  find("next").onclick = next;
  find("rest").onclick = () => {
    change({ job: { state: "running", done: 0, total: pictures().length } }); // events go on from here
    send("api/label-rest").catch((error) => { change({ job: null }); complain(error); });
  };
  find("fold").onclick = find("now").onclick = () => unfold(!document.body.classList.contains("unfolded"));
}

/** In a small window: show the panel over the picture, or put it away. */
function unfold(open) {
  document.body.classList.toggle("unfolded", open);
  find("fold").setAttribute("aria-expanded", open);
}

function startBar(help) {
  find("undo").onclick = () => step("undo");
  find("redo").onclick = () => step("redo");
  find("out").onclick = () => zoom(0.8);
  find("in").onclick = () => zoom(1.25);
  find("fit").onclick = fit;
  find("keys").onclick = help;
  watch(["readOnly"], () => { find("undo").disabled = find("redo").disabled = state.readOnly; });
  watch(["zoom"], () => { find("fit").textContent = percent(state.zoom); });
  watch(["picture", "project"], () => {
    const about = entry(state.picture), names = pictures().map(({ name }) => name);
    find("name").textContent = state.picture ?? "";
    const place = about && `${names.indexOf(state.picture) + 1} of ${names.length}`;
    find("place").textContent = about ? `${place} · ${about.width} × ${about.height}` : "";
    document.title = state.picture ? `${state.picture} · plainmask` : "plainmask label";
  });
}

function startTools() {
  const buttons = [...find("tools").querySelectorAll("[data-tool]")];
  for (const button of buttons) button.onclick = () => choose(button.dataset.tool);
  watch(["tool"], () => {
    for (const one of buttons) one.setAttribute("aria-pressed", one.dataset.tool === state.tool);
  });
  const slider = find("radius"), sides = () => pictures().flatMap(({ width, height }) => [width, height]);
  const most = () => sides().reduce((a, b) => Math.max(a, b), 16) / 4;
  // Even steps of the slider multiply the radius.
  slider.oninput = () => change({ radius: Math.round(2 * 0.5 * (most() / 0.5) ** (slider.value / 100)) / 2 });
  watch(["radius", "project"], () => {
    slider.value = (100 * Math.log(state.radius / 0.5)) / Math.log(most() / 0.5);
    find("radius-told").textContent = `${2 * state.radius} px`;
  });
}

function startShow() {
  for (const box of document.querySelectorAll("[data-show]")) {
    box.onchange = () => change({ [box.dataset.show]: box.checked });
    watch([box.dataset.show], () => { box.checked = state[box.dataset.show]; });
  }
  find("opacity").oninput = () => change({ opacity: find("opacity").value / 100 });
  watch(["opacity"], () => {
    find("opacity").value = Math.round(100 * state.opacity);
    find("opacity-told").textContent = percent(state.opacity);
  });
}

function showClasses() {
  const focused = document.activeElement?.closest?.("#classes li")?.dataset.id;
  const rows = listed().map(({ id, name, color }, place) => {
    const row = document.createElement("li"), figure = state.status.per_class?.[id];
    row.dataset.id = id;
    row.className = id === state.classId ? "chosen" : "";
    const pick = button("choose", "", () => { chooseClass(id); unfold(false); });
    pick.setAttribute("aria-pressed", id === state.classId);
    const swatch = document.createElement("i"), told = document.createElement("span");
    swatch.style.background = css(color);
    told.textContent = figure === undefined ? "" : percent(figure);
    told.title = "Of your newest strokes of this class, so much was predicted right";
    pick.append(swatch, Object.assign(document.createElement("b"), { textContent: name }), told);
    const key = isBackground(id) ? "X" : place < 9 ? place + 1 : "";
    if (key) pick.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    const isLocked = state.locked.has(id);
    const locks = `Lock ${name}: its labels stay as they are`;
    const lock = button("small", locks, () => toggleLock(id), isLocked ? "lock" : "open");
    lock.setAttribute("aria-pressed", isLocked);
    row.append(pick, button("small", `Change ${name}`, () => editClass(id), "edit"), lock);
    return row;
  });
  find("classes").replaceChildren(...rows);
  if (focused !== undefined) find("classes").querySelector(`[data-id="${focused}"] .choose`)?.focus();
  find("add").disabled = state.readOnly;
  const chosen = classes().find(({ id }) => id === state.classId);
  find("now").querySelector("i").style.background = chosen ? css(chosen.color) : "none";
  find("now").setAttribute("aria-label", `Class: ${chosen?.name ?? "none"}`);
}

function button(className, label, work, icon = null) {
  const made = Object.assign(document.createElement("button"), { className, onclick: work, title: label });
  if (label) made.setAttribute("aria-label", label);
  if (icon) made.innerHTML = `<svg><use href="#i-${icon}"/></svg>`;
  return made;
}

function showProposal() {
  const { figure, shown_by: by } = state.status, told = find("figure");
  const chosen = classes().find(({ id }) => id === state.classId);
  const begin = tellsObjects() ? "Mark an object, and a little of the background" : "Mark a little of two classes";
  if (!by) told.textContent = `${begin}; a proposal for the rest follows at once.`;
  else if (figure === null || figure === undefined) told.textContent = "It learns from every stroke.";
  else {
    const number = Object.assign(document.createElement("strong"), { textContent: percent(figure) });
    const head = by === "linear" ? "linear head" : "mask decoder";
    told.replaceChildren(number, `of your newest strokes were predicted (${head})`);
  }
  find("accept-all").disabled = !state.proposed || state.readOnly;
  find("accept-class").disabled = !state.proposed || state.readOnly || !chosen;
}

/** How far the decoder is that learns behind the linear head. */
function showDecoder() {
  const { decoder, shown_by: by } = state.status, bar = find("decoder").querySelector("progress");
  const told = decoder && by ? aboutDecoder(decoder, by) : "";
  find("decoder").hidden = !told;
  find("decoder").querySelector("p").textContent = told;
  bar.hidden = !decoder?.total;
  if (decoder) Object.assign(bar, { max: Math.max(1, decoder.total), value: decoder.done });
}

function aboutDecoder({ state: now, due, objects, strokes, problem, done, total, borrowed }, by) {
  if (problem) return problem;
  if (now === "prepares") return `A decoder is about to learn from ${total} pictures`;
  if (now === "learns") return `A decoder learns when you pause: ${done} of ${total} steps`;
  const after = `after ${due} strokes${objects ? `, and ${objects} objects at least` : ""}`;
  if (now === "waits") return `A decoder that knows whole objects learns ${after}`;
  if (now !== "ready") return "";
  if (borrowed) {
    const next = due ? `; a decoder learns from these ${after}` : "";
    if (by === "decoder") return `Shown are the objects that ${borrowed} finds${next}`;
    return `Shown is the linear head until ${borrowed} finds your objects better${next}`;
  }
  const knows = strokes ? `the decoder, which learnt from ${strokes} strokes` : "the decoder";
  if (by === "decoder") return `Shown is ${knows}${due ? `; it learns again ${after}` : ""}`;
  return `Shown is the linear head until ${knows}, predicts your strokes better`;
}

function showJob() {
  const job = state.job ?? state.status.job;
  find("rest").disabled = state.readOnly || !state.status.shown_by || job?.state === "running";
  find("job").hidden = !job;
  if (!job) return;
  const bar = find("job").querySelector("progress"), lines = [];
  bar.max = Math.max(1, job.total);
  bar.value = job.done;
  bar.hidden = job.state !== "running";
  const use = job.head
    ? `the head that labelled them is ${job.head}`
    : `train on them: plainmask train own-instance data.root=${job.folder}`;
  const done = `${job.total} pictures are in ${job.folder}; ${use}`;
  lines.push(job.state === "running" ? `${job.done} of ${job.total} pictures` : done);
  lines.push(...job.problems ?? []);
  find("job").querySelector("p").textContent = lines.join("\n");
}

function showMessages() {
  const banner = find("banner"), [text, take] = banner.children;
  const waits = state.unsent === 1 ? "One stroke waits" : `${state.unsent} strokes wait`;
  const kept = state.unsent ? ` ${waits} here: keep this tab open.` : "";
  const gone = `The server does not answer; this page tries again.${kept}`;
  banner.hidden = state.online && !state.readOnly;
  text.textContent = state.online ? "Another tab writes in this project; this one only shows it." : gone;
  take.hidden = !state.online;
  find("said").hidden = !state.said;
  find("said").textContent = state.said;
  find("busy").hidden = !(state.loading || state.learning);
  const saved = state.unsent ? "Saving…" : "Saved";
  find("saved").textContent = !state.online ? "Not connected" : state.readOnly ? "Read only" : saved;
}
