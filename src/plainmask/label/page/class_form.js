// The form of a class: its name and colour, and whether it is to go.

import { send } from "./api.js";
import { PALETTE, rgb } from "./colors.js";
import { deleteClass, setClasses } from "./desk.js";
import { change, classes, isBackground, listed, state } from "./state.js";

const find = (id) => document.getElementById(id);
const form = find("class-form"), remove = find("delete"), into = find("into").querySelector("select");
let edited = null; // the id of the class in the form; null: a new one

/** Ask for the name and colour of a class, or whether it is to go; null: a new one. */
export function editClass(id) {
  if (state.readOnly) return;
  const known = classes().find((one) => one.id === id);
  edited = id;
  find("class-title").textContent = known ? "Change class" : "New class";
  form.querySelector("[name=name]").value = known?.name ?? "";
  form.querySelector(".error").textContent = "";
  const used = classes().map(({ color }) => hex(color));
  const free = PALETTE.find((one) => !used.includes(one)) ?? PALETTE[used.length % PALETTE.length];
  const custom = find("colors").querySelector("[type=color]");
  custom.value = known ? hex(known.color) : free;
  showColor();
  offer(false);
  remove.hidden = !known || isBackground(id);
  form.showModal();
  form.querySelector("[name=name]").select();
}

function showColor() {
  const [...all] = find("colors").querySelectorAll("[type=radio]"), { value } = find("colors").lastChild;
  for (const one of all) one.checked = one.value === value;
}

const hex = (color) => `#${color.map((value) => value.toString(16).padStart(2, "0")).join("")}`;

/** Ask for the class that labels are to join, where there are some; else only whether to delete. */
function offer(others) {
  find("into").hidden = !others;
  remove.textContent = others ? "Join and delete" : "Delete class";
  const options = listed().filter(({ id }) => id !== edited);
  into.replaceChildren(...options.map(({ id, name }) => new Option(name, id)));
  if (others) into.focus();
}

async function giveUp() {
  const joins = !find("into").hidden;
  remove.disabled = true;
  try {
    await deleteClass(edited, joins ? Number(into.value) : null);
    form.close();
    find("stage").focus();
  } catch (error) {
    form.querySelector(".error").textContent = error.message;
    if (!joins && error.status === 422 && listed().length > 1) offer(true); // it has labels
  } finally {
    remove.disabled = false;
  }
}

export function startClassForm() {
  const custom = document.createElement("input");
  Object.assign(custom, { type: "color", title: "Another colour" });
  for (const color of PALETTE) {
    const one = document.createElement("input");
    Object.assign(one, { type: "radio", name: "color", value: color, title: color });
    one.style.setProperty("--color", color);
    one.onchange = () => { custom.value = color; };
    find("colors").append(one);
  }
  custom.oninput = showColor;
  find("colors").append(custom);
  remove.onclick = giveUp;
  form.querySelector("[value=cancel]").onclick = () => form.close();
  form.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    const name = form.querySelector("[name=name]").value.trim(), color = custom.value;
    try {
      const answer = await send("api/classes", { ...(edited !== null && { id: edited }), name, color: rgb(color) });
      setClasses(answer.classes);
      if (edited === null) change({ classId: answer.classes.at(-1).id });
      form.close();
      find("stage").focus();
    } catch (error) {
      form.querySelector(".error").textContent = error.message;
    }
  };
}
