// Where samples come from: a file that the browser decodes, or the microphone.

import { RATE } from "./live.js";

const MOST_MB = 100;
const MOST_MINUTES = 20; // the browser holds a whole file in memory, decoded
const UNKNOWN_SIZE = 0x70000000; // from here on, a WAV's header says that its writer didn't know
const LEAST_MIX = 0.02; // of the energy of independent channels' mix, as in pipeline/speech/level.py

/** A file (Blob) -> float32 [samples] at 16 kHz, the mean of its channels. Raises Error with a text for people. */
export async function decoded(file) {
  const name = file.name ?? "The recording";
  if (file.size > MOST_MB * 1e6) throw new Error(`${name} is larger than ${MOST_MB} MB: use bigfoot transcribe for it.`);
  const minutes = (await secondsOf(file)) / 60;
  if (minutes > MOST_MINUTES) throw new Error(`${name} is longer than ${MOST_MINUTES} minutes: use bigfoot transcribe for it.`);
  const bytes = await file.arrayBuffer();
  if (isCut(new DataView(bytes))) throw new Error(`${name} is cut off: shorter than its header states.`);
  let audio;
  try {
    audio = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes);
  } catch {
    throw new Error(`${name} can't be decoded by this browser: give a WAV, MP3, M4A, FLAC, Ogg or WebM file with sound.`);
  }
  const samples = audio.getChannelData(0).slice();
  let energy = energyOf(samples);
  for (let channel = 1; channel < audio.numberOfChannels; channel++) {
    const other = audio.getChannelData(channel);
    energy += energyOf(other);
    for (let at = 0; at < samples.length; at++) samples[at] += other[at];
  }
  if (!Number.isFinite(energy)) throw new Error(`${name} has samples that are not numbers: it is damaged.`);
  if (energyOf(samples) < LEAST_MIX * energy) {
    throw new Error(`${name} has channels of opposite phase, which leave nothing in their mix: give one of them.`);
  }
  return audio.numberOfChannels > 1 ? samples.map((one) => one / audio.numberOfChannels) : samples;
}

const energyOf = (samples) => samples.reduce((sum, one) => sum + one * one, 0);

/** Whether a WAV ends before its samples do; false for other files, which the browser decodes as far as they go. */
export function isCut(view) {
  const name = (at) => String.fromCharCode(...[0, 1, 2, 3].map((letter) => view.getUint8(at + letter)));
  if (view.byteLength < 12 || name(0) !== "RIFF") return false;
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    if (name(at) === "data") return size < UNKNOWN_SIZE && at + 8 + size > view.byteLength;
    at += 8 + size + (size % 2);
  }
  return false;
}

/** A file's length by its header; 0 where that says nothing. */
function secondsOf(file) {
  return new Promise((resolve) => {
    const player = document.createElement("audio");
    const address = URL.createObjectURL(file);
    const answer = () => {
      URL.revokeObjectURL(address);
      resolve(Number.isFinite(player.duration) ? player.duration : 0);
    };
    player.onloadedmetadata = player.onerror = answer;
    player.preload = "metadata";
    player.src = address;
  });
}

/** Opens the microphone: `take` gets its blocks, `lost` is called if it goes away. Returns {rate, stop}. Raises as `decoded` does. */
export async function microphone(take, lost) {
  if (!navigator.mediaDevices) throw new Error("The microphone needs https, or a page from this machine (localhost).");
  const plain = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
  } catch (error) {
    throw new Error(REFUSED[error.name] ?? `The microphone can't be opened (${error.message}).`);
  }
  stream.getAudioTracks()[0].addEventListener("ended", lost);
  const context = new AudioContext();
  await context.resume(); // Safari starts it suspended
  await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
  const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
  tap.port.onmessage = ({ data }) => take(data);
  context.createMediaStreamSource(stream).connect(tap);
  const stop = async () => {
    for (const track of stream.getTracks()) track.stop();
    await context.close();
  };
  return { rate: context.sampleRate, stop };
}

const REFUSED = {
  NotAllowedError: "The microphone is not allowed: allow it for this page in the browser's settings, or open a file.",
  NotFoundError: "There is no microphone here: plug one in, or open a file.",
  NotReadableError: "The microphone is in use by another program: close that, or open a file.",
};

/** Samples as a WAV file, which a player can play. */
export function wave(samples) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // one channel
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((one, index) => view.setInt16(44 + 2 * index, Math.max(-1, Math.min(1, one)) * 32767, true));
  return new Blob([view], { type: "audio/wav" });
}
