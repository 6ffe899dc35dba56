// The thread that recognizes, so that the page stays responsive. Each message {id, ask, ...} gets one answer {id, ...}; while it
// listens, it also posts {heard} after each pass. Opened models stay open.

import { joined, Live, RATE } from "./live.js";
import { Recognizer } from "./recognizer.js";
import { Resampler } from "./resample.js";

const MOST = 60; // seconds that may wait to be recognized: then the device is too slow
const KEPT = 60; // seconds of speech that are kept, to be recognized once more by every chosen model

const opened = new Map();
let live = null;

function open(model) {
  if (!opened.has(model.name)) {
    const loading = Recognizer.open(model, (bytes, all) => postMessage({ loading: model.name, bytes, all }));
    loading.catch(() => opened.delete(model.name)); // so that it can be tried again
    opened.set(model.name, loading);
  }
  return opened.get(model.name);
}

const answers = {
  open: ({ model }) => open(model).then(() => ({})),
  recognize: async ({ model, samples }) => (await open(model)).recognize(samples),
  listen: async ({ model, rate }) => {
    const recognizer = await open(model);
    const state = new Live(model.hop, (samples, first) => recognizer.hear(samples, first));
    live = { state, resampler: new Resampler(rate, RATE), spoken: new Float32Array(0), busy: null };
    return {};
  },
  stop: async () => {
    if (!live) throw new Error("Listening has ended already.");
    const ended = live;
    live = null;
    await ended.busy;
    const heard = await pass(ended, true);
    return { heard, samples: ended.spoken };
  },
};

function take(block) {
  if (!live) return;
  live.state.push(live.resampler.push(block));
  if (!live.busy && live.state.due) live.busy = report(live);
}

/** One pass, and what it heard to the page. */
async function report(current) {
  try {
    postMessage({ heard: await pass(current) });
  } catch (error) {
    live = null;
    postMessage({ failed: error.message });
  }
  current.busy = null;
}

async function pass(current, ends = false) {
  if (current.state.seconds > MOST) throw new Error("This device is too slow for this model: choose a smaller one.");
  const started = performance.now();
  const { audio, ...heard } = await current.state.pass(ends);
  const milliseconds = performance.now() - started;
  const isShort = current.spoken && current.spoken.length + audio.length <= KEPT * RATE;
  current.spoken = isShort ? joined(current.spoken, audio) : null;
  return { ...heard, milliseconds };
}

addEventListener("message", async ({ data: { id, ask, samples, ...rest } }) => {
  if (ask === "block") return take(samples);
  try {
    postMessage({ id, ...(await answers[ask]({ samples, ...rest })) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
});
