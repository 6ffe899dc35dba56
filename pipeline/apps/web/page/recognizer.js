// An exported model, opened with ONNX Runtime Web: 16 kHz samples in, words out, as Recognizer gives them. The graph normalizes
// its input. One thread: more need two headers that a plain file server doesn't send, and a small model hardly gains by them.

import { windows, words } from "./decode.js";
import { RATE } from "./live.js";
import * as ort from "./runtime/ort.mjs";

const SLOW = 1000; // ms: a pass that takes longer is timed once, others three times

export class Recognizer {
  /** @param progress (bytes so far, bytes in all) while runtime and model are fetched */
  static async open(model, progress) {
    if (!ort.env.wasm.wasmBinary) {
      const packed = await fetched("runtime/ort.wasm.gzip");
      ort.env.wasm.wasmBinary = await new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
      ort.env.wasm.numThreads = 1;
    }
    const bytes = await downloaded(await fetched(model.file), model.bytes, progress);
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    const recognizer = new Recognizer(model, session);
    await recognizer.logits(new Float32Array(RATE)); // the first pass is slower than all others
    return recognizer;
  }

  constructor(model, session) {
    this.model = model;
    this.session = session;
  }

  async logits(samples) {
    const input = new ort.Tensor("float32", samples, [1, samples.length]);
    const { logits } = await this.session.run({ input_values: input });
    return logits;
  }

  /** The words of one pass over these samples, from frame `first` on. */
  async hear(samples, first = 0) {
    const logits = await this.logits(samples);
    return { frames: logits.dims[1], words: words(logits, this.model.tokens, this.model.blank, first) };
  }

  /** The words of a recording of any length, and the milliseconds that they took. */
  async recognize(samples) {
    let [found, took] = await timed(() => this.whole(samples));
    if (took <= SLOW) {
      const times = [];
      for (let round = 0; round < 3; round++) times.push((await timed(() => this.whole(samples)))[1]);
      took = times.sort((a, b) => a - b)[1];
    }
    return { words: found, milliseconds: took, seconds: samples.length / RATE };
  }

  /** In windows whose frames meet without a missing or a doubled one; their logits are joined before they are read. */
  async whole(samples) {
    if (!samples.length) return [];
    const { hop, field, tokens, blank } = this.model;
    const all = windows(samples.length, hop, field);
    if (all.length === 1) return (await this.hear(samples)).words;
    const frames = all.reduce((sum, [, , , kept]) => sum + kept, 0);
    const data = new Float32Array(frames * tokens.length);
    let read = 0;
    for (const [begin, end, skipped, kept] of all) {
      const logits = await this.logits(samples.slice(begin, end));
      data.set(logits.data.subarray(skipped * tokens.length, (skipped + kept) * tokens.length), read);
      read += kept * tokens.length;
    }
    return words({ data, dims: [1, frames, tokens.length] }, tokens, blank);
  }
}

async function timed(work) {
  const started = performance.now();
  const result = await work();
  return [result, performance.now() - started];
}

async function fetched(file) {
  let response;
  try {
    response = await fetch(new URL(file, import.meta.url));
  } catch {
    throw new Error(`${file} can't be fetched: is the network away? A model that was used once works without it.`);
  }
  if (!response.ok) throw new Error(`${file} can't be fetched: the server answers ${response.status}. Build the page again.`);
  return response;
}

async function downloaded(response, size, progress) {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const reader = response.body.getReader(); ; progress(at, size)) {
    const { done, value } = await reader.read();
    if (done) break;
    if (at + value.length > size) throw new Error(`${response.url} is longer than it was built: reload the page.`);
    bytes.set(value, at);
    at += value.length;
  }
  if (at < size) throw new Error(`${response.url} is cut off: reload the page.`);
  return bytes;
}
