// The page: it joins buttons, audio, worker and text. What it knows of its models stands in models.json, which the build wrote.

import { decoded, microphone, wave } from "./audio.js";
import { stored, SAID } from "./offline.js";
import * as view from "./view.js";

const built = await (await fetch("models.json")).json();
view.offline(SAID.waiting);
const isStored = await stored(); // before the rest, so that each file is fetched once, by the service worker
view.offline(SAID[isStored]);

const worker = new Worker("worker.js", { type: "module" });
const waiting = new Map(); // questions to the worker, by number
let source = null; // the microphone, while it listens
let samples = null; // of the recording that is shown
let answers = []; // to it, of the models that were asked
let asked = 0;

function ask(question, content = {}) {
  const id = ++asked;
  worker.postMessage({ id, ask: question, ...content });
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

worker.addEventListener("message", ({ data: { id, error, loading, bytes, all, heard, failed, ...answer } }) => {
  if (loading) view.status(`Loading ${loading}: ${view.megabytes(bytes)} of ${view.megabytes(all)} MB`);
  else if (failed) doing(() => fail(failed));
  else if (!id) view.heard(heard);
  else {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve({ heard, ...answer });
  }
});
worker.addEventListener("error", () => view.failed("This browser can't run the recognizer: use one of 2023 or newer."));

/** The models that are chosen, in the page's order. */
function chosen() {
  const models = built.models.filter(({ name }) => view.isChosen(name));
  if (!models.length) throw new Error("Choose a model below.");
  return models;
}

/** The recording's text by each chosen model, one after the other; one that has answered isn't asked again. */
async function recognize() {
  const [models, before] = [chosen(), answers];
  answers = [];
  for (const model of models) {
    view.status(`${model.name} is at work`);
    const answer = before.find((one) => one.model === model) ?? { model, ...(await ask("recognize", { model, samples })) };
    answers.push(answer);
    view.answers(answers, built);
  }
  view.status("");
}

/** A recording to recognize in place of the one before. */
async function take(waveform, title, audio, text, isLive) {
  samples = waveform;
  answers = [];
  view.opened(title, audio, text, isLive);
  await recognize();
}

async function open(file, text = "") {
  chosen();
  const waveform = await decoded(file);
  if (!waveform.length) throw new Error(`${file.name} has no sound.`);
  await take(waveform, file.name, file, text, false);
}

async function openExample({ file, text }) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file} can't be fetched: the server answers ${response.status}.`);
  await open(new File([await response.blob()], "Example"), text);
}

async function listen() {
  const [model] = chosen();
  view.status("Waiting for the microphone");
  const opened = await microphone((block) => worker.postMessage({ ask: "block", samples: block }), () => doing(lost));
  try {
    await ask("listen", { model, rate: opened.rate });
  } catch (error) {
    await opened.stop();
    throw error;
  }
  source = opened;
  samples = null;
  view.listens(model);
}

async function close() {
  const opened = source;
  source = null;
  await opened?.stop(); // none where Stop was pressed meanwhile
}

async function fail(reason) {
  await close();
  throw new Error(reason);
}

async function stop() {
  await close();
  const spoken = await ask("stop");
  view.heard(spoken.heard);
  view.status("");
  if (!spoken.samples?.length) return; // longer than is kept
  await take(spoken.samples, "What you said", wave(spoken.samples), "", true);
}

async function lost() {
  await stop();
  throw new Error("The microphone went away: is it unplugged?");
}

/** One thing at a time; what goes wrong is said in one line. */
async function doing(work) {
  const focused = document.activeElement;
  view.failed("");
  view.free(false);
  try {
    await work();
  } catch (error) {
    view.failed(error.message);
  }
  view.free(source === null, source !== null);
  if (document.activeElement === document.body) focused.focus(); // what is disabled loses the focus
}

const pressed = (id, kind, react) => document.getElementById(id).addEventListener(kind, react);
pressed("listen", "click", () => doing(source ? stop : listen));
pressed("said", "input", () => view.answers(answers, built));
pressed("models", "change", () => samples && doing(recognize));
pressed("file", "change", ({ target }) => {
  const [file] = target.files;
  target.value = ""; // so that the same file can be opened again
  if (file) doing(() => open(file));
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dragging"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const [file] = event.dataTransfer.files;
  if (file && !document.getElementById("listen").disabled && !source) doing(() => open(file));
});

/** The first model, so that Start answers at once. */
async function begin() {
  await ask("open", { model: built.models[0] });
  view.status("");
}

view.show(built, (example) => doing(() => openExample(example)));
doing(begin);
