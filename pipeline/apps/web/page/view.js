// What is seen: every change of the document is made here.

import { align, asWritten, errors, lacksDigits } from "./score.js";

const UNSURE = 0.9; // of a word's confidence, below which it is marked; how often such words are wrong is in docs/web.md

const element = (id) => document.getElementById(id);

/** A new element with text or children. */
function made(tag, content = "", settings = {}) {
  const node = Object.assign(document.createElement(tag), settings);
  node.append(...[content].flat());
  return node;
}

export const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
const percent = (fraction) => (100 * fraction).toFixed(1);

/** Models, examples and explanations of this page; `use` is called with an example that is clicked. */
export function show(built, use) {
  const rate = built.objective.toUpperCase();
  const units = built.objective === "cer" ? "characters" : "words";
  element("models").append(...built.models.map((model, index) => choice(model, index === 0, rate)));
  element("synthetic").hidden = !built.synthetic;
  element("examples").hidden = !built.examples.length;
  element("example-list").append(
    ...built.examples.map((one) => {
      const button = made("button", `${one.text} (${one.seconds.toFixed(1)} s)`, { className: "example", lang: built.language });
      button.addEventListener("click", () => use(one));
      return made("li", button);
    }),
  );
  element("rate-name").textContent = rate;
  element("rate-meaning").textContent =
    `Wrong, missing and extra ${units} per 100 ${units} of the text. Beside a model: on the test set “${built.test}” ` +
    `(${built.test_words.toLocaleString("en")} words) of the corpus ${built.corpus}, with its 95% interval, measured by bigfoot evaluate. ` +
    "Beside a recording: against the text that you typed.";
  element("runtime-size").textContent = megabytes(built.runtime_bytes);
  element("text").lang = built.language;
  element("said").lang = built.language;
}

function choice(model, isFirst, rate) {
  const box = made("input", "", { type: "checkbox", value: model.name, checked: isFirst, name: "model" });
  const interval = model.low === null ? "" : ` [${percent(model.low)}, ${percent(model.high)}]`;
  const figures = model.rate === null ? "not evaluated" : `${percent(model.rate)}% ${rate}${interval}`;
  const title = made("b", model.name);
  if (model.champion) title.append(" ", made("span", "champion", { className: "champion" }));
  const about = made("span", `${megabytes(model.bytes)} MB · ${figures}`, { className: "less" });
  return made("li", made("label", [box, made("span", [title, about])]));
}

export const isChosen = (name) => document.querySelector(`input[name=model][value="${CSS.escape(name)}"]`).checked;

export function status(text) {
  element("status").textContent = text;
}

export function offline(text) {
  element("offline").textContent = text;
}

export function failed(text) {
  status("");
  element("message").textContent = text;
  element("message").hidden = !text;
}

/** What can be pressed: nothing while the page is at work, only Stop while it listens. */
export function free(isFree, isListening = false) {
  element("listen").disabled = !isFree && !isListening;
  element("listen").textContent = isListening ? "Stop" : "Start listening";
  element("listen").classList.toggle("on", isListening);
  for (const one of document.querySelectorAll("#file, .example, input[name=model]")) one.disabled = !isFree;
  element("text").dataset.hint = isListening ? "Speak now." : "Press Start listening and speak, or open a recording.";
}

/** An empty page for new speech. */
export function listens(model) {
  element("final").replaceChildren();
  element("partial").replaceChildren();
  element("speed").textContent = "";
  element("live").hidden = false;
  element("recording").hidden = true;
  status(`${model.name} is listening`);
}

export function heard({ final, partial, seconds, milliseconds }) {
  if (final.length) element("final").append(...marked(final), " ");
  element("partial").replaceChildren(...marked(partial));
  if (seconds) element("speed").textContent = `The last ${seconds.toFixed(1)} s took ${speed(milliseconds, seconds)}`;
}

/** A recording to play; `text`: what is said in it, if known. `isLive`: it was just spoken, and its text stands above. */
export function opened(title, audio, text, isLive) {
  URL.revokeObjectURL(element("player").src);
  element("player").src = URL.createObjectURL(audio);
  element("recording-title").textContent = title;
  element("said").value = text;
  element("answers").replaceChildren();
  element("live").hidden = !isLive;
  element("recording").hidden = false;
}

/** A card for each model's answer to the recording. */
export function answers(all, built) {
  element("answers").replaceChildren(...all.map((answer) => card(answer, built)));
}

function card({ model, words, milliseconds, seconds }, { objective, language }) {
  const figures = [speed(milliseconds, seconds)];
  const split = (list) => (objective === "cer" ? [...list.join(" ")] : list);
  const typed = element("said").value;
  const reference = split(asWritten(typed, model.tokens, language));
  let text = words.length ? marked(words) : [made("i", "no words")];
  if (lacksDigits(typed, model.tokens)) {
    figures.unshift("no errors counted: write the numbers as words, this model writes no digits");
  } else if (reference.length) {
    const steps = align(reference, split(words.map((word) => word.text)));
    const wrong = errors(steps);
    const units = objective === "cer" ? "characters" : "words";
    figures.unshift(`${percent(wrong / reference.length)}% ${objective.toUpperCase()} (${wrong} of ${reference.length} ${units})`);
    text = steps.flatMap((step) => [...corrected(step), objective === "cer" ? "" : " "]);
  }
  const list = made("ul", figures.map((figure) => made("li", figure)));
  return made("section", [made("h3", model.name), made("p", text, { className: "words", dir: "auto", lang: language }), list]);
}

const speed = (milliseconds, seconds) =>
  `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms · RTFx ${((1000 * seconds) / milliseconds).toFixed(0)}`;

function marked(words) {
  return words.flatMap(({ text, confidence }, index) => {
    const word = confidence < UNSURE ? made("span", text, { className: "unsure", title: `confidence ${confidence.toFixed(2)}` }) : text;
    return index ? [" ", word] : [word];
  });
}

/** A missed word is struck out, a wrong or extra one underlined. */
function corrected([kind, missed, extra]) {
  if (kind === "equal") return [missed];
  const parts = [];
  if (missed) parts.push(made("del", missed));
  if (missed && extra) parts.push(" ");
  if (extra) parts.push(made("ins", extra));
  return parts;
}
