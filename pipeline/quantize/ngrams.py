"""Estimates an n-gram language model of texts and writes it as an ARPA file: interpolated modified Kneser-Ney smoothing.

The method is that of Chen and Goodman (1999) as KenLM's lmplz has it (Heafield et al. 2013): a shorter n-gram counts the
different words before it, three discounts for counts of 1, 2 and more are computed for each length, and what they take is given
to the next shorter n-gram, in the end to all words alike, <unk> among them, so that a word that was never seen is unlikely and
not impossible. Our own, since lmplz is in no wheel and kaldingram 0.1.2 has no <unk>.

Counts are held in memory: some 300 bytes per different n-gram.
"""

import gzip
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

Ngram = tuple[str, ...]
BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99.0  # log10 of the probability of BEGIN, which is never predicted
FALLBACK = (0.5, 1.0, 1.5)  # discounts of texts too small to compute them, as lmplz's


@dataclass(frozen=True)
class NgramModel:
    """`probabilities[n - 1]` of the n-grams that were kept, {words: P(last word | the words before)}; `backoffs` of contexts:
    {words: the factor of the shorter n-gram's probability}, 1 where a context is not there."""

    probabilities: list[dict[Ngram, float]]
    backoffs: dict[Ngram, float]

    @property
    def words(self) -> set[str]:
        """Those that it knows."""
        return {word for (word,) in self.probabilities[0]} - {BEGIN, END, UNKNOWN}

    def probability(self, word: str, context: Ngram) -> float:
        """P(word | context); a word that it doesn't know is UNKNOWN."""
        if (word,) not in self.probabilities[0]:
            word = UNKNOWN
        context, factor = context[max(0, len(context) - len(self.probabilities) + 1) :], 1.0
        while (found := self.probabilities[len(context)].get((*context, word))) is None:
            factor, context = factor * self.backoffs.get(context, 1.0), context[1:]
        return factor * found

    def perplexity(self, texts: Iterable[str]) -> tuple[float, float]:
        """(perplexity per word, ends of texts included, without unknown words; the share of unknown words) of texts."""
        logs, predicted, unknown, words = 0.0, 0, 0, 0
        for text in texts:
            context: Ngram = (BEGIN,)
            for word in (*text.split(), END):
                words += word != END
                is_known = (word,) in self.probabilities[0]
                if is_known:
                    logs, predicted = logs + math.log(self.probability(word, context)), predicted + 1
                else:
                    unknown += 1
                context = (*context, word if is_known else UNKNOWN)
        return math.exp(-logs / max(1, predicted)), unknown / max(1, words)

    def write(self, path: Path) -> None:
        """Write an ARPA file, compressed where its name ends in .gz; the same model gives the same bytes."""
        lines = ["\\data\\"]
        lines += [f"ngram {n}={len(grams)}" for n, grams in enumerate(self.probabilities, 1)]
        for n, grams in enumerate(self.probabilities, 1):
            lines += ["", f"\\{n}-grams:"]
            lines += [self._line(gram, grams[gram], is_longest=n == len(self.probabilities)) for gram in sorted(grams)]
        content = "\n".join([*lines, "", "\\end\\", ""]).encode()
        path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)

    def _line(self, gram: Ngram, probability: float, is_longest: bool) -> str:
        log = math.log10(probability) if probability else NEVER
        backoff = "" if is_longest else f"\t{math.log10(self.backoffs.get(gram, 1.0)):.6f}"
        return f"{log:.6f}\t{' '.join(gram)}{backoff}"


def estimate(texts: Iterable[str], order: int, least_count: int = 1) -> NgramModel:
    """The model of n-grams of up to `order` words; of two words and more, only those that occur `least_count` times."""
    raw = _counts(texts, order)
    vocabulary = {gram[0] for gram in raw[0]} - {BEGIN} | {UNKNOWN, END}
    shorter: dict[Ngram, float] = {(): 1 / len(vocabulary)}  # what single words are interpolated with
    probabilities: list[dict[Ngram, float]] = []
    backoffs: dict[Ngram, float] = {}
    for n in range(1, order + 1):
        counts = _adjusted(raw, n)
        discounts = _discounts(counts)
        totals: Counter[Ngram] = Counter()
        taken: dict[Ngram, float] = {}
        kept: dict[Ngram, float] = {}  # counts after discounts
        for gram, count in counts.items():
            is_kept = n == 1 or raw[n - 1][gram] >= least_count
            discount = discounts[min(count, 3) - 1] if is_kept else count
            context = gram[:-1]
            totals[context] += count
            taken[context] = taken.get(context, 0.0) + discount
            if is_kept:
                kept[gram] = count - discount
        factors = {context: taken[context] / total for context, total in totals.items()}
        found = {
            gram: count / totals[gram[:-1]] + factors[gram[:-1]] * shorter[gram[1:] if n > 1 else ()]
            for gram, count in kept.items()
        }
        if n == 1:
            found |= {(UNKNOWN,): factors[()] * shorter[()]}
        probabilities.append(found)
        backoffs |= {context: factor for context, factor in factors.items() if context}
        shorter = found
    probabilities[0][(BEGIN,)] = 0.0
    return NgramModel(probabilities, backoffs)


def _counts(texts: Iterable[str], order: int) -> list[Counter[Ngram]]:
    """How often each n-gram of 1, 2 ... `order` words occurs; BEGIN and END are words too."""
    counts: list[Counter[Ngram]] = [Counter() for _ in range(order)]
    for text in texts:
        words: Sequence[str] = (BEGIN, *text.split(), END)
        for n, of_length in enumerate(counts, 1):
            of_length.update(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
    return counts


def _adjusted(raw: list[Counter[Ngram]], n: int) -> Counter[Ngram]:
    """Counts of n-grams: of the longest, and of those that begin a text, how often they occur; of others, after how many
    different words."""
    if n == len(raw):
        counts = Counter(raw[n - 1])
    else:
        counts = Counter(gram[1:] for gram in raw[n])
        counts.update({gram: count for gram, count in raw[n - 1].items() if gram[0] == BEGIN})
    counts.pop((BEGIN,), None)
    return counts


def _discounts(counts: Counter[Ngram]) -> tuple[float, ...]:
    """What is taken from counts of 1, of 2, and of 3 and more."""
    having = Counter(counts.values())
    if not all(having[count] for count in (1, 2, 3)):
        return FALLBACK
    share = having[1] / (having[1] + 2 * having[2])
    discounts = tuple(count - (count + 1) * share * having[count + 1] / having[count] for count in (1, 2, 3))
    return discounts if all(0 < discount < count for count, discount in enumerate(discounts, 1)) else FALLBACK
