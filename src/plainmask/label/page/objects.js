// The list of the objects of the picture: how many, of which class, and with which one strokes go on.

import { objectColor } from "./colors.js";
import { change, classes, css, state, tellsObjects, watch } from "./state.js";
import { beginObject } from "./tools.js";

const list = document.getElementById("objects"), begin = document.getElementById("new-object");

export function startObjects() {
  watch(["project"], () => { document.body.dataset.task = tellsObjects() ? "instance" : "semantic"; });
  watch(["objects", "object", "project"], show);
  watch(["readOnly"], () => { begin.disabled = state.readOnly; });
  begin.onclick = beginObject;
}

function show() {
  const focused = document.activeElement?.dataset?.object;
  document.getElementById("count").textContent = state.objects.length || "";
  list.replaceChildren(...state.objects.map(row));
  begin.setAttribute("aria-pressed", state.object === "new");
  if (focused) list.querySelector(`[data-object="${focused}"]`)?.focus();
  if (typeof state.object === "number") list.querySelector("[aria-pressed=true]")?.scrollIntoView({ block: "nearest" });
}

/** An object in the list: pressed, strokes go on with it until another class or object is chosen. */
function row({ number, class: id }) {
  const item = document.createElement("li"), pick = document.createElement("button");
  const swatch = document.createElement("i"), isChosen = state.object === number;
  swatch.style.background = css(objectColor(number));
  const name = classes().find((one) => one.id === id)?.name ?? "";
  pick.append(swatch, `${name} ${number}`);
  pick.dataset.object = number;
  pick.title = "Strokes go on with this object";
  pick.setAttribute("aria-pressed", isChosen);
  pick.onclick = () => change(isChosen ? { object: null } : { object: number, classId: id });
  item.append(pick);
  return item;
}
