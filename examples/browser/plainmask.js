// A semantic head that `plainmask export` wrote, run by onnxruntime-web.
// Letters: Q queries, C classes without "nothing", mh mw size of the mask logits.

import { between, cut, plan, resize } from "./geometry.js";
import { metadata } from "./metadata.js";

/**
 * Open an exported head, and the encoder.onnx beside it.
 * @param ort onnxruntime-web.
 * @param address of the head's file.
 * @param options of the sessions, such as {executionProviders: ["wasm"]}.
 * @returns what `segment` takes; `config` says the head's name and classes.
 */
export async function open(ort, address, options) {
  const beside = new URL("encoder.onnx", new URL(address, location.href)).href;
  const [head, encoder] = await Promise.all([fetched(address), fetched(beside)]);
  check(head, encoder);
  const [config] = head.about.heads;
  return {
    ort, config, statistics: encoder.about.encoder,
    encoder: await ort.InferenceSession.create(encoder.bytes, options),
    decoder: await ort.InferenceSession.create(head.bytes, options),
  };
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) {
    throw new Error(
      `${address} is not there (${answer.status}); write it with: plainmask export NAME --out FOLDER`,
    );
  }
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const text = metadata(bytes).get("plainmask");
  if (text === undefined) throw new Error(`${address} is no export of plainmask`);
  return { address, bytes, about: JSON.parse(text) };
}

function check(head, encoder) {
  for (const [file, kind] of [[head, "head"], [encoder, "encoder"]]) {
    const { format_version: version, kind: found } = file.about;
    if (version !== 1) throw new Error(`${file.address} is of format ${version}, this page reads 1`);
    if (found !== kind) throw new Error(`${file.address} is of the kind "${found}", not "${kind}"`);
  }
  const [{ name, task, decoder }] = head.about.heads;
  if (head.about.fingerprint !== encoder.about.fingerprint) {
    throw new Error(
      `the head ${name} was exported with another encoder (${head.about.encoder_name}) than ` +
      `${encoder.address} (${encoder.about.encoder_name}); keep the files of an export together`,
    );
  }
  if (task !== "semantic" || decoder.propagation !== "none") {
    const kind = decoder.propagation === "none" ? task : `video ${task}`;
    throw new Error(`${name} is a head for ${kind} segmentation; this page does semantic, of images`);
  }
}

/**
 * Give each pixel of a picture a class.
 * @param opened see `open`.
 * @param pixels RGB bytes, row after row.
 * @param size [height, width].
 * @returns {labels, times}: a class (Int16) for each pixel, and the milliseconds of each step.
 */
export async function segment({ ort, config, statistics, encoder, decoder }, pixels, size) {
  const classes = config.vocabulary.classes.length;
  const clock = stopwatch();
  const geometry = plan(size, config.input, statistics.patch_size);
  const content = resize(pixels, size, geometry.content);
  const canvas = blank(geometry.content, classes);
  clock.lap("resize");
  for (const place of geometry.windows) {
    const { data, dims } = cut(content, geometry, place, statistics);
    clock.lap("resize");
    const input = { pixels: new ort.Tensor("float32", data, dims) };
    const features = await encoder.run(input, decoder.inputNames);
    clock.lap("encoder");
    const found = await decoder.run(features, ["mask_logits", "class_logits"]);
    clock.lap("head");
    checkFinite(found);
    addScores(canvas, geometry, place, found);
    clock.lap("map");
  }
  const labels = largest(canvas, geometry);
  clock.lap("map");
  return { labels, times: clock.times };
}

function stopwatch() {
  const times = {};
  let last = performance.now();
  return {
    times,
    lap(name) {
      const now = performance.now();
      times[name] = (times[name] ?? 0) + now - last;
      last = now;
    },
  };
}

function checkFinite(found) {
  if (!Object.values(found).every(({ data }) => data.every(Number.isFinite))) {
    throw new Error("the network returned NaN or infinity; try another browser, or one without WebGPU");
  }
}

/** Scores (height, width, C) of a resized picture, and how many windows have added to each pixel. */
function blank([height, width], classes) {
  const scores = new Float32Array(height * width * classes);
  return { scores, counts: new Uint8Array(height * width), classes };
}

/** Add one window: the sum over queries of mask probability times class probability. */
function addScores({ scores, counts, classes }, { content, model }, [top, left], found) {
  const { data: masks, dims: [, queries, mh, mw] } = found.mask_logits;
  const probs = softmax(found.class_logits.data, classes + 1);
  const rows = between(mh, model[0]).slice(0, content[0] - top);
  const columns = between(mw, model[1]).slice(0, content[1] - left);
  rows.forEach((row, y) => {
    const first = (top + y) * content[1] + left;
    for (let x = 0; x < columns.length; x++) counts[first + x]++;
    for (let q = 0; q < queries; q++) {
      const [above, below] = [row.low, row.high].map((line) => (q * mh + line) * mw);
      const value = (x) => masks[above + x] + row.share * (masks[below + x] - masks[above + x]);
      for (let x = 0; x < columns.length; x++) {
        const { low, high, share } = columns[x], before = value(low);
        const mask = 1 / (1 + Math.exp(-before - share * (value(high) - before)));
        const at = (first + x) * classes, of = q * (classes + 1);
        for (let c = 0; c < classes; c++) scores[at + c] += mask * probs[of + c];
      }
    }
  });
}

/** Rows of logits, each `length` long, as probabilities. */
function softmax(logits, length) {
  const probs = new Float32Array(logits.length);
  for (let start = 0; start < logits.length; start += length) {
    const row = logits.subarray(start, start + length), top = Math.max(...row);
    const raised = row.map((value) => Math.exp(value - top));
    const total = raised.reduce((sum, value) => sum + value, 0);
    probs.set(raised.map((value) => value / total), start);
  }
  return probs;
}

/** The class with the largest score, at each pixel of the picture. */
function largest({ scores, counts, classes }, { image: [height, width], content: [tall, wide] }) {
  for (let at = 0; at < scores.length; at++) scores[at] /= counts[Math.floor(at / classes)];
  const labels = new Int16Array(height * width), line = new Float32Array(wide * classes);
  const columns = between(wide, width);
  between(tall, height).forEach((row, y) => {
    const [above, below] = [row.low, row.high].map((each) => each * line.length);
    for (let at = 0; at < line.length; at++) {
      line[at] = scores[above + at] + row.share * (scores[below + at] - scores[above + at]);
    }
    columns.forEach(({ low, high, share }, x) => {
      let best = -1;
      for (let c = 0; c < classes; c++) {
        const before = line[low * classes + c];
        const score = before + share * (line[high * classes + c] - before);
        if (score > best) [best, labels[y * width + x]] = [score, c];
      }
    });
  });
  return labels;
}
