// A microphone's samples, at whatever rate the device has, as 16 kHz. Why not the browser's own resampler: Firefox refuses a
// microphone in an audio context of another rate, and blocks that are resampled one by one have seams. This is a low-pass filter
// (a sinc in a Hann window) that remembers what the last block left over.

const CROSSINGS = 24; // of the sinc, on either side: more is closer to ideal and slower
const KEPT = 0.94; // of the band that the lower rate can hold; sound above it is removed

export class Resampler {
  constructor(from, to) {
    const common = divisor(from, to);
    [this.from, this.to] = [from / common, to / common];
    const cut = (KEPT * Math.min(from, to)) / from;
    this.reach = Math.ceil(CROSSINGS / cut);
    this.kernels = Array.from({ length: this.to }, (_, phase) => kernel(cut, this.reach, phase / this.to));
    this.left = new Float32Array(this.reach); // silence before the start
    this.next = this.reach * this.to; // where in `left` the next sample out is, in parts of a sample: exact, so it never drifts
  }

  /** The samples that this block completes; the last few milliseconds come with the next block. */
  push(block) {
    if (this.from === this.to) return block;
    const input = new Float32Array(this.left.length + block.length);
    input.set(this.left);
    input.set(block, this.left.length);
    const output = [];
    for (; this.next < (input.length - this.reach) * this.to; this.next += this.from) {
      const weights = this.kernels[this.next % this.to];
      const begin = Math.floor(this.next / this.to) - this.reach + 1;
      let sum = 0;
      for (let tap = 0; tap < weights.length; tap++) sum += weights[tap] * input[begin + tap];
      output.push(sum);
    }
    const done = Math.floor(this.next / this.to) - this.reach;
    this.left = input.slice(done);
    this.next -= done * this.to;
    return Float32Array.from(output);
  }
}

function kernel(cut, reach, fraction) {
  return Float32Array.from({ length: 2 * reach }, (_, tap) => {
    const distance = tap - reach + 1 - fraction;
    const window = 0.5 + 0.5 * Math.cos((Math.PI * distance) / reach);
    const phase = Math.PI * cut * distance;
    return cut * window * (phase === 0 ? 1 : Math.sin(phase) / phase);
  });
}

const divisor = (a, b) => (b ? divisor(b, a % b) : a);
