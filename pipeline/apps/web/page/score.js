// Recognized words against the words that were typed: which are wrong, missing or too many, and the error rate. The count is the
// least that explains the difference, as `bigfoot evaluate` counts.

// What a corpus's text loses without parting words: apostrophes, accents, tatweel, and format characters but two that part words.
const UNSEEN = /['\p{M}\u0640]|(?![\u200B\u200C])\p{Cf}/u;

/** Typed text as the model would write it: its case, accents with or apart from their letters, no character that it can't write. */
export function asWritten(typed, tokens, language) {
  const alphabet = new Set(tokens.join(""));
  const upper = [...alphabet].some((one) => one !== one.toLowerCase());
  const lower = [...alphabet].some((one) => one !== one.toUpperCase());
  const capitals = () => typed.replaceAll("ß", "ẞ").toLocaleUpperCase(language);
  const cased = upper === lower ? typed : upper ? capitals() : typed.toLocaleLowerCase(language);
  const whole = [...alphabet].some((one) => one.normalize("NFD") !== one);
  const parts = /[\p{M}\u1100-\u11FF]/u.test(tokens.join("")); // accents, and what Hangul's syllables are made of
  const plain = cased.normalize(parts && !whole ? "NFD" : "NFC").replaceAll("’", "'");
  const written = [...plain].map((one) => (alphabet.has(one) ? one : UNSEEN.test(one) ? "" : " "));
  const words = written.join("").split(/\s+/);
  return words.map((word) => word.replace(/^'+|'+$/g, "")).filter(Boolean); // quotes; apostrophes are inside words
}

/** Whether digits were typed that the model can't write. */
export function lacksDigits(typed, tokens) {
  const alphabet = new Set(tokens.join(""));
  return [...typed].some((one) => /\p{Nd}/u.test(one) && !alphabet.has(one));
}

/** [[kind, missed, extra], ...] in order; kind is equal, substitute, delete or insert, "" stands for no word. */
export function align(reference, hypothesis) {
  const costs = reference.map(() => new Uint32Array(hypothesis.length + 1)).concat([new Uint32Array(hypothesis.length + 1)]);
  for (let row = reference.length; row >= 0; row--) {
    for (let column = hypothesis.length; column >= 0; column--) {
      if (row === reference.length) costs[row][column] = hypothesis.length - column;
      else if (column === hypothesis.length) costs[row][column] = reference.length - row;
      else if (reference[row] === hypothesis[column]) costs[row][column] = costs[row + 1][column + 1];
      else costs[row][column] = 1 + Math.min(costs[row + 1][column + 1], costs[row + 1][column], costs[row][column + 1]);
    }
  }
  const steps = [];
  let [row, column] = [0, 0];
  while (row < reference.length || column < hypothesis.length) {
    const cost = costs[row][column];
    const both = row < reference.length && column < hypothesis.length;
    if (both && reference[row] === hypothesis[column]) steps.push(["equal", reference[row++], hypothesis[column++]]);
    else if (both && cost === 1 + costs[row + 1][column + 1]) {
      steps.push(["substitute", reference[row++], hypothesis[column++]]);
    } else if (row < reference.length && cost === 1 + costs[row + 1][column]) steps.push(["delete", reference[row++], ""]);
    else steps.push(["insert", "", hypothesis[column++]]);
  }
  return steps;
}

/** How many steps are errors. */
export const errors = (steps) => steps.filter(([kind]) => kind !== "equal").length;
