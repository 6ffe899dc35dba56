// Speech as it comes: a window of audio that grows while somebody speaks, is recognized again and again, and is cut where its words
// are final. So the work of a pass and the memory are bounded, however long one speaks.
//
//   silence  | LEAD  speech ...  TAIL | PAUSE     a pause makes all words final; silence is not recognized: a window of nothing
//            [ recognized             ]           but noise, which a model normalizes to the loudness of speech, has words
//   [ context | speech without a pause  ... ]     after LONGEST, words are final up to a gap between two of them; what is before
//                                                 it stays as context, as in Recognizer's windows

export const RATE = 16000;
const EVERY = 0.5; // seconds of new audio between two passes
const PAUSE = 0.8; // seconds of silence that end an utterance
const LEAD = 0.1; // seconds before speech that belong to it: a soft first consonant; more silence costs some models words
const TAIL = 0.1;
const LONGEST = 20; // seconds of audio that are not final
const UNSURE = 2; // seconds at the end of such a window whose words may still change
const CONTEXT = 2;

const PART = RATE / 50; // samples whose level is taken: 20 ms
const QUIET = 0.002; // root mean square, of full scale: below it nobody speaks
const ABOVE = 3; // times the level of the room: speech
const RISE = 1.01; // of the room's level in each part, until a quieter one is heard

export class Live {
  /** @param hop samples from one frame to the next; `hear`: (samples, first frame) -> {frames, words}, see decode.js */
  constructor(hop, hear) {
    this.hop = hop;
    this.hear = hear;
    this.room = QUIET; // level of what is not speech
    this.start(new Float32Array(0));
  }

  start(audio, context = 0) {
    this.audio = audio;
    this.context = context; // frames of `audio` that are already read
    this.measured = 0; // samples whose level is known
    this.spoken = 0; // where the last sound of speech ended, in samples
    this.fresh = 0; // samples since the last pass
    this.listen();
  }

  push(samples) {
    this.audio = joined(this.audio, samples);
    this.fresh += samples.length;
    this.listen();
    const silence = this.spoken ? 0 : Math.max(0, this.audio.length - PART - LEAD * RATE);
    this.audio = this.audio.slice(silence);
    this.measured -= silence;
  }

  /** Find out where speech is in the samples that are new. */
  listen() {
    for (; this.measured + PART <= this.audio.length; this.measured += PART) {
      const part = this.audio.subarray(this.measured, this.measured + PART);
      const level = Math.sqrt(part.reduce((sum, one) => sum + one * one, 0) / PART);
      this.room = Math.max(QUIET / ABOVE, Math.min(level, this.room * RISE));
      if (level > ABOVE * this.room) this.spoken = this.measured + PART;
    }
  }

  get seconds() {
    return this.audio.length / RATE;
  }

  get due() {
    return this.spoken > 0 && (this.fresh >= EVERY * RATE || this.paused);
  }

  get paused() {
    return this.audio.length - this.spoken >= PAUSE * RATE;
  }

  /**
   * One pass: {final, partial, audio, seconds}: words, the samples of the final ones, and how much the model heard.
   * @param ends nothing will follow, so that all words are final
   */
  async pass(ends = false) {
    if (!this.spoken) return { final: [], partial: [], audio: new Float32Array(0), seconds: 0 };
    const ending = ends || this.paused;
    const end = Math.min(this.audio.length, this.spoken + TAIL * RATE);
    this.fresh = 0;
    const { frames, words } = await this.hear(this.audio.slice(0, end), this.context); // more audio may come meanwhile
    const read = this.context * this.hop;
    const cut = ending ? frames : frames * this.hop - read < LONGEST * RATE ? this.context : this.gap(frames, words);
    const audio = this.audio.slice(read, ending ? end : cut * this.hop);
    if (ending) this.start(this.audio.slice(end));
    else if (cut > this.context) {
      const context = Math.min(cut, Math.floor((CONTEXT * RATE) / this.hop));
      this.start(this.audio.slice((cut - context) * this.hop), context);
    }
    const [final, partial] = [words.filter((word) => word.last < cut), words.filter((word) => word.last >= cut)];
    return { final, partial, audio, seconds: end / RATE };
  }

  /** The frame between the last two words that won't change; where there are none, the last frame that won't. */
  gap(frames, words) {
    const sure = frames - Math.round((UNSURE * RATE) / this.hop);
    const before = words.findLast((word) => word.last < sure);
    const next = words.find((word) => word.last >= sure);
    if (before && next) return Math.ceil((before.last + next.first) / 2);
    return next && next.first < sure ? frames : sure;
  }
}

export function joined(first, second) {
  const all = new Float32Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
