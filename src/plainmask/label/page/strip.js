// The pictures, each with how much of it is labelled.

import { of } from "./api.js";
import { isVideo } from "./scrubber.js";
import { pictures, state, watch } from "./state.js";

const strip = document.getElementById("strip");
const buttons = new Map(); // by picture

/** @param {(name: string) => void} go opens a picture. */
export function start(go) {
  watch(["project"], () => {
    if (isVideo()) return; // there is a scrubber instead
    const names = pictures().map(({ name }) => name);
    if (names.join("/") !== [...buttons.keys()].join("/")) build(names, go);
    for (const about of pictures()) showShare(buttons.get(about.name), about);
  });
  watch(["picture", "project"], () => {
    for (const [name, button] of buttons) {
      if (name !== state.picture) button.removeAttribute("aria-current");
      else if (!button.hasAttribute("aria-current")) {
        button.setAttribute("aria-current", "true");
        button.scrollIntoView({ block: "nearest", inline: "nearest" });
      }
    }
  });
  strip.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const all = [...buttons.values()], at = all.indexOf(document.activeElement);
    if (!by || at < 0) return;
    event.preventDefault();
    all[at + by]?.focus();
  });
}

function build(names, go) {
  buttons.clear();
  for (const name of names) {
    const button = document.createElement("button"), image = new Image();
    image.loading = "lazy";
    image.alt = "";
    image.draggable = false;
    image.src = of(name, "/thumb");
    const label = Object.assign(document.createElement("span"), { className: "label", textContent: name });
    const share = Object.assign(document.createElement("span"), { className: "share" });
    button.append(image, share, label);
    button.title = name;
    button.onclick = () => go(name);
    buttons.set(name, button);
  }
  strip.replaceChildren(...buttons.values());
}

function showShare(button, { name, labelled_share: part, done }) {
  const share = button.querySelector(".share"), percent = Math.max(1, Math.floor(100 * part));
  if (button.dataset.part === String(part)) return;
  button.dataset.part = String(part);
  share.hidden = !part;
  button.classList.toggle("done", done);
  share.innerHTML = done ? '<svg><use href="#i-done"/></svg>' : `${percent}%`;
  button.setAttribute("aria-label", `${name}, ${part ? `${percent} % labelled` : "not labelled"}`);
}
