// Samples -> windows, and logits -> words, by greedy CTC decoding. Words and confidences equal those of `bigfoot transcribe`
// (pipeline/apps/transcription/words.py): a token's confidence is the highest probability among its frames, a word's the mean
// over its tokens.

import { RATE } from "./live.js";

const WINDOW = 30; // seconds in one pass, of which the context on either side is not read
const CONTEXT = 2;

/**
 * The windows of a recording of so many samples, as Recognizer has them; their frames meet without a missing or a doubled one.
 * @param field how many samples a frame is made of, the next one `hop` later
 * @returns [[first sample, end, frames to skip, frames to keep]]
 */
export function windows(samples, hop, field) {
  const frames = Math.max(1, 1 + Math.floor((samples - field) / hop));
  if (samples <= WINDOW * RATE) return [[0, samples, 0, frames]];
  const context = Math.floor((CONTEXT * RATE) / hop);
  const most = 1 + Math.floor((WINDOW * RATE - field) / hop) - 2 * context;
  const kept = Math.ceil(frames / Math.ceil(frames / most));
  const found = [];
  for (let start = 0; start < frames; start += kept) {
    const stop = Math.min(start + kept, frames);
    const [first, last] = [Math.max(0, start - context), Math.min(stop + context, frames)];
    found.push([first * hop, (last - 1) * hop + field, start - first, stop - start]);
  }
  return found;
}

/**
 * The words in the frames from `first` on.
 * @param logits {data: Float32Array, dims: [1, frames, tokens]}
 * @param tokens what each token writes: "" for nothing, " " between words
 * @returns [{text, confidence, first, last}], `first` and `last` being frames
 */
export function words({ data, dims }, tokens, blank, first = 0) {
  const [frames, size] = dims.slice(-2);
  const found = [];
  let word = null;
  let previous = first > 0 ? likeliest(data.subarray((first - 1) * size, first * size)).token : -1;
  for (let frame = first; frame < frames; frame++) {
    const scores = data.subarray(frame * size, (frame + 1) * size);
    const { token, probability } = likeliest(scores);
    const text = token === blank ? "" : tokens[token];
    if (text && !text.trim()) {
      word = null;
    } else if (text && (word || token !== previous)) {
      if (!word) found.push((word = { texts: [], confidences: [], first: frame }));
      if (token === previous) {
        word.confidences.push(Math.max(word.confidences.pop(), probability));
      } else {
        word.texts.push(text);
        word.confidences.push(probability);
      }
      word.last = frame;
    }
    previous = token;
  }
  return found.map(({ texts, confidences, first, last }) => ({
    text: texts.join(""),
    confidence: confidences.reduce((sum, one) => sum + one) / confidences.length,
    first,
    last,
  }));
}

function likeliest(scores) {
  let token = 0;
  for (let index = 1; index < scores.length; index++) if (scores[index] > scores[token]) token = index;
  let sum = 0;
  for (const score of scores) sum += Math.exp(score - scores[token]);
  return { token, probability: 1 / sum };
}
