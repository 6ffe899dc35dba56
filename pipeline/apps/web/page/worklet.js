// The microphone's samples, in blocks of about a tenth of a second, as the browser's audio thread hands them out.

const BLOCK = 4096;

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.filled = 0;
  }

  process([[samples]]) {
    if (!samples) return true; // no microphone is connected yet
    this.block.set(samples, this.filled);
    this.filled += samples.length;
    if (this.filled === BLOCK) {
      this.port.postMessage(this.block, [this.block.buffer]);
      this.block = new Float32Array(BLOCK);
      this.filled = 0;
    }
    return true;
  }
}

registerProcessor("tap", Tap);
