// The page: a picture is chosen, segmented and drawn.

import { open, segment } from "./plainmask.js";

const RUNTIME = "./node_modules/onnxruntime-web/dist";
const OPACITY = 0.45; // of colours over the picture, as the Python package draws them
const HEAD = new URLSearchParams(location.search).get("head") ?? "exported/scenes.onnx";

const [input, said, canvas, legend] = ["picture", "said", "canvas", "legend"].map((id) =>
  document.getElementById(id));

/** The last result, {labels, times, size}, for who asks (the test does). */
export const shown = { result: null };

/** onnxruntime-web for what this browser has: WebGPU, else WebAssembly. */
async function runtime() {
  const device = (await navigator.gpu?.requestAdapter()) ? "webgpu" : "wasm";
  try {
    return { device, ort: await import(`${RUNTIME}/ort.${device}.bundle.min.mjs`) };
  } catch (error) {
    throw new Error("onnxruntime-web is not there; run: npm install", { cause: error });
  }
}

/** The pixels of an image file as they are stored, turned as its EXIF says. */
async function read(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" }).catch((error) => {
    throw new Error(`${file.name} is no picture that this browser reads`, { cause: error });
  });
  const { width, height } = Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return { rgba: context.getImageData(0, 0, width, height), size: [height, width] };
}

function withoutAlpha({ data }) {
  const rgb = new Uint8ClampedArray((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    for (let c = 0; c < 3; c++) rgb[to++] = data[from + c];
  }
  return rgb;
}

function draw(rgba, labels, classes) {
  const { data, width } = rgba;
  labels.forEach((label, at) => {
    const right = (at + 1) % width ? labels[at + 1] : label, below = labels[at + width] ?? label;
    const border = label !== right || label !== below;
    for (let c = 0; c < 3; c++) {
      const color = classes[label].color[c], value = data[4 * at + c];
      data[4 * at + c] = border ? (color + 255) / 2 : value + OPACITY * (color - value);
    }
  });
  canvas.getContext("2d").putImageData(rgba, 0, 0);
}

function explain(labels, classes) {
  const counts = new Array(classes.length).fill(0);
  for (const label of labels) counts[label]++;
  const found = classes.map((each, at) => ({ ...each, share: counts[at] / labels.length }));
  const entries = found.filter(({ share }) => share > 0).sort((a, b) => b.share - a.share);
  legend.replaceChildren(...entries.map(({ name, color, share }) => {
    const entry = document.createElement("li");
    entry.style.setProperty("--color", `rgb(${color})`);
    const percent = share < 0.001 ? "< 0.1" : (100 * share).toFixed(share < 0.01 ? 1 : 0);
    entry.textContent = `${name} ${percent} %`;
    return entry;
  }));
}

/** Say what is being done, then how it went; whether it went well. */
async function say(before, work) {
  said.className = "";
  said.textContent = before;
  await new Promise((done) => setTimeout(done, 30)); // so that the words are seen
  try {
    said.textContent = await work();
    return true;
  } catch (error) {
    console.warn(error);
    said.className = "error";
    said.textContent = error.message;
    return false;
  }
}

async function look(file) {
  const { rgba, size } = await read(file);
  const { labels, times } = await segment(head, withoutAlpha(rgba), size);
  draw(rgba, labels, head.config.vocabulary.classes);
  explain(labels, head.config.vocabulary.classes);
  shown.result = { labels, times, size };
  const steps = Object.entries(times).map(([name, time]) => `${name} ${Math.round(time)}`);
  const total = Object.values(times).reduce((sum, time) => sum + time, 0);
  return `${size[1]} x ${size[0]}: ${Math.round(total)} ms (${steps.join(", ")}), ${head.device}`;
}

input.addEventListener("change", async () => {
  const [file] = input.files;
  if (!file) return;
  input.disabled = true;
  shown.result = null;
  legend.replaceChildren();
  await say(`Looking at ${file.name} …`, () => look(file));
  input.disabled = false;
});

let head = null;
const opened = await say(`Opening ${HEAD} …`, async () => {
  const { device, ort } = await runtime();
  head = await open(ort, HEAD, { executionProviders: [device] });
  head.device = device === "wasm" ? `WebAssembly, threads: ${ort.env.wasm.numThreads}` : "WebGPU";
  return `${head.config.name} is open. Choose a picture.`;
});
input.disabled = !opened;
