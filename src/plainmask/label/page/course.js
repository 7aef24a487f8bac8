// The figure over time as a small chart: all classes together, and each; what lies under the pointer
// is told in words.

import { read } from "./api.js";
import { complain } from "./desk.js";
import { classes, css, state, tellsObjects, watch } from "./state.js";

const WIDE = 240, TALL = 44, EDGE = 2; // of the chart, in its own units
const chart = document.getElementById("course"), told = document.getElementById("course-told");
const percent = (share) => `${Math.round(100 * share)} %`;
let points = []; // {stroke, class_id, right, of_class, together}, in order of strokes
let asked = null; // strokes and figure that the points are of

export function startCourse() {
  watch(["status"], refresh);
  watch(["classId", "project"], show);
  chart.addEventListener("pointermove", ({ clientX }) => {
    const { left, width } = chart.getBoundingClientRect();
    const at = stroke(0) + ((clientX - left) / width) * (stroke(-1) - stroke(0));
    tell(points.reduce((best, one) => (Math.abs(one.stroke - at) < Math.abs(best.stroke - at) ? one : best)));
  });
  chart.addEventListener("pointerleave", () => tell(null));
}

const stroke = (place) => points.at(place).stroke;

async function refresh() {
  const { figure, version } = state.status, wanted = `${figure} ${version}`;
  if (wanted === asked) return;
  asked = wanted;
  try {
    points = figure === null || figure === undefined ? [] : (await read("api/course")).points;
    show();
  } catch (error) {
    complain(error);
  }
}

function show() {
  const there = points.length > 1;
  chart.toggleAttribute("hidden", !there);
  told.hidden = !there;
  if (!there) return;
  const lines = classes().map(({ id, color }) => {
    const line = drawn(points.filter((one) => one.class_id === id), "of_class");
    line.style.stroke = tellsObjects() ? "var(--quiet)" : css(color);
    line.classList.toggle("chosen", id === state.classId);
    return line;
  });
  const rule = document.createElementNS(chart.namespaceURI, "line");
  chart.replaceChildren(...lines, drawn(points, "together"), rule);
  chart.lastChild.previousSibling.classList.add("together");
  const [from, to] = [points[0], points.at(-1)].map(({ together }) => percent(together));
  chart.setAttribute("aria-label", `Predicted before they were learnt, from stroke ${stroke(0)} to ${stroke(-1)}: from ${from} to ${to}`);
  tell(null);
}

function drawn(some, key) {
  const line = document.createElementNS(chart.namespaceURI, "polyline");
  line.setAttribute("points", some.map((one) => `${across(one)},${up(one[key])}`).join(" "));
  return line;
}

const across = (one) => (WIDE * (one.stroke - stroke(0))) / (stroke(-1) - stroke(0));
const up = (share) => EDGE + (TALL - 2 * EDGE) * (1 - share);

/** Say what a point is; null: what the chart is. */
function tell(one) {
  const rule = chart.querySelector("line");
  rule.style.display = one ? "" : "none";
  if (one) for (const [key, value] of Object.entries({ x1: across(one), x2: across(one), y1: 0, y2: TALL })) rule.setAttribute(key, value);
  const name = one && classes().find(({ id }) => id === one.class_id)?.name;
  told.textContent = one
    ? `Stroke ${one.stroke}, ${name}: ${percent(one.right)}; all: ${percent(one.together)}`
    : `Strokes ${stroke(0)} to ${stroke(-1)}, as they were predicted`;
}
