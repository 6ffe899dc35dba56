"""How many words a variant gets wrong, and how sure that is.

Decision: errors are counted by jiwer; what is ours is how sure they are. Utterances of one speaker go wrong together, so
the unit that is resampled is the speaker where there are 20 or more of them, else the recording that utterances were cut
from, where there are as many of those, else the utterance; it is named beside every interval. A resample of "no errors at
all" always has none, so there the rule of three bounds the rate at 3/N words with 95% confidence (Hanley and Lippman-Hand
1983), and not at zero. docs/accuracy.md says how to read all of it.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.evaluate.scores import Hypothesis, SetScore
from pipeline.speech.corpus import Utterance

LEAST_UNITS = 20
CONFIDENCE = 0.95
RISE_RESAMPLES = 10_000  # some 30 variants together ask for each one's 99.8%: the 20 largest of so many
AT_ONCE = 2_000_000  # drawn numbers held in memory


def score(utterances: Sequence[Utterance], hypotheses: Sequence[str], resamples: int = 2000, seed: int = 7) -> SetScore:
    """The score of one set: WER, CER, their counts and intervals, and every hypothesis.

    The text of an utterance, the reference, must not be empty; `hypotheses` are in the order of `utterances`. Without any
    error both intervals are 0 to 3/N words, as wrong characters come by the word. `snr_db` is left to whoever has the audio.
    Raises BigfootError where there is nothing to score.
    """
    import jiwer

    if not utterances or len(utterances) != len(hypotheses):
        raise BigfootError(f"{len(hypotheses)} hypotheses for {len(utterances)} utterances: nothing that can be scored")
    rows, counts, spelled = [], np.zeros(3, dtype=int), []
    for utterance, hypothesis in zip(utterances, hypotheses, strict=True):
        aligned = jiwer.process_words(utterance.text, hypothesis)
        kinds = (aligned.substitutions, aligned.deletions, aligned.insertions)
        counts += kinds
        letters = jiwer.process_characters(utterance.text, hypothesis)
        wrong = letters.substitutions + letters.deletions + letters.insertions
        spelled.append((wrong, letters.hits + letters.substitutions + letters.deletions))
        rows.append(
            Hypothesis(
                id=utterance.id, speaker=utterance.speaker, recording=utterance.recording, duration=utterance.duration,
                reference=utterance.text, hypothesis=hypothesis, errors=sum(kinds),
                words=aligned.hits + aligned.substitutions + aligned.deletions, snr_db=None,
            )
        )  # fmt: skip
    errors, words = (np.array([getattr(row, key) for row in rows]) for key in ("errors", "words"))
    misspelled, characters = np.array(spelled).T
    unit, groups = units(rows)
    low, high = interval(errors, words, groups, resamples, seed)
    spells = interval(misspelled, characters, groups, resamples, seed) if misspelled.any() else (low, high)
    return SetScore(
        utterances=len(rows), words=int(words.sum()), characters=int(characters.sum()),
        wer=float(errors.sum() / words.sum()), cer=float(misspelled.sum() / characters.sum()),
        wer_low=low, wer_high=high, cer_low=spells[0], cer_high=spells[1],
        substitutions=int(counts[0]), deletions=int(counts[1]), insertions=int(counts[2]), unit=unit, hypotheses=rows,
    )  # fmt: skip


def units(rows: Sequence[Hypothesis]) -> tuple[str, np.ndarray]:
    """What is resampled of a score's utterances, and to which of them each belongs: ("speakers", [0, 0, 1, ...]).

    Speakers or recordings where every utterance has a known one: of fewer than 20 too few ways to draw are different.
    """
    for unit, key in (("speakers", "speaker"), ("recordings", "recording")):
        known, groups = np.unique([getattr(row, key) for row in rows], return_inverse=True)
        if len(known) >= LEAST_UNITS and "" not in known:
            return unit, groups
    return "utterances", np.arange(len(rows))


def interval(errors: np.ndarray, words: np.ndarray, groups: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """95% interval of sum(errors) / sum(words), all [utterances]; `groups` says which utterances are drawn together.

    The percentile bootstrap (Efron 1979; of WER: Bisani and Ney 2004).
    """
    if not errors.any():
        return 0.0, min(1.0, 3 / int(words.sum()))
    size = groups.max() + 1
    by_group = np.bincount(groups, errors, size), np.bincount(groups, words, size)
    rng, rates = np.random.default_rng(seed), []
    for count in _parts(resamples, size):
        drawn = rng.integers(0, size, (count, size))
        rates.append(by_group[0][drawn].sum(1) / by_group[1][drawn].sum(1))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(rates), [tail, 1 - tail])
    return float(low), float(high)


def paired_rise(
    reference: SetScore, other: SetScore, confidence: float = CONFIDENCE, resamples: int = RISE_RESAMPLES, seed: int = 7
) -> float:
    """Upper bound of how much the WER of `other` lies above that of `reference`: `paired_rises` of one."""
    return paired_rises(reference, {"other": other}, confidence, resamples, seed)["other"]


def paired_rises(
    reference: SetScore,
    others: Mapping[str, SetScore],
    confidence: float = CONFIDENCE,
    resamples: int = RISE_RESAMPLES,
    seed: int = 7,
) -> dict[str, float]:
    """Upper bounds of how much each WER lies above that of `reference`, which hold all at once with this confidence.

    All are scores of the same utterances, so what is hard for everyone drops out: resampled are the differences, with the
    same weights for every variant. Variants with the same errors on every utterance count once: there are M competitors.

    - One: a Bayesian bootstrap (Rubin 1981) of the units, in which one wrong word more than was seen has
      a weight as well. A bootstrap of a few differing words is too sure of itself; with that word the bound is the exact
      one of a Poisson count (Garwood 1936), and the rule of three where no word differs (in the manner of Gaffke 2005).
      Where units are few and unlike, speakers above all, what stands in for the unseen is as large as they differ.
    - All: each gets the same quantile of its own resamples, the lowest at which all bounds hold in `confidence` of the joint
      resamples (Beran 1988's balanced simultaneous sets; a single-step Westfall and Young 1993). It knows that
      variants go wrong together, so it's sharper than Bonferroni.
    - Never less than the rise that was seen and ln(M / (1 - confidence)) / N words, Bonferroni's rule of three, on top; of a
      variant that does not differ it is exactly that.

    Raises BigfootError where the scores are not of the same utterances.
    """
    if not others:
        return {}
    rises = np.array([_rise(reference, other) for other in others.values()])  # [variants, utterances]
    distinct, which = np.unique(rises, axis=0, return_inverse=True)
    words = np.array([row.words for row in reference.hypotheses])
    seen = distinct.sum(1) / words.sum()
    bounds = seen + np.log(len(distinct) / (1 - confidence)) / words.sum()
    differs = distinct.any(1)
    if differs.any():
        _, groups = units(reference.hypotheses)
        rates = np.sort(drawn := _weighted(distinct, words, groups, resamples, seed), axis=0)
        ranks = np.stack([np.searchsorted(column, one) for column, one in zip(rates.T, drawn.T, strict=True)])
        rank = np.sort(ranks.max(0))[int(np.ceil(confidence * resamples)) - 1]
        bounds[differs] = np.maximum(bounds, rates[rank])[differs]
    return dict(zip(others, bounds[which.ravel()].tolist(), strict=True))


def _rise(reference: SetScore, other: SetScore) -> list[int]:
    """How many words more `other` gets wrong, utterance by utterance."""
    a, b = reference.hypotheses, other.hypotheses
    if [(row.id, row.reference) for row in a] != [(row.id, row.reference) for row in b]:
        raise BigfootError("two scores are not of the same utterances: run `dvc repro` for both variants")
    return [theirs.errors - ours.errors for ours, theirs in zip(a, b, strict=True)]


def _weighted(rises: np.ndarray, words: np.ndarray, groups: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """sum(rises) / sum(words) with exponential weights of the groups and of what was not seen: [resamples, variants]."""
    size = groups.max() + 1
    by_group = np.stack([np.bincount(groups, rise, size) for rise in rises], axis=1)
    words_by_group = np.bincount(groups, words, size)
    spread = (by_group - rises.sum(1) / words.sum() * words_by_group[:, None]).std(0)
    unseen = np.maximum(1.0, spread)
    rng, rates = np.random.default_rng(seed), []
    for count in _parts(resamples, size):
        weights, more = rng.standard_exponential((count, size)), rng.standard_exponential((count, len(rises)))
        rates.append((weights @ by_group + unseen * more) / (weights @ words_by_group)[:, None])
    return np.concatenate(rates)


def _parts(resamples: int, size: int) -> list[int]:
    """So many resamples in parts that fit into memory."""
    part = max(1, AT_ONCE // size)
    return [min(part, resamples - start) for start in range(0, resamples, part)]


def align(reference: str, hypothesis: str) -> list[list[str]]:
    """[[op, reference word, hypothesis word], ...] as jiwer counts them; op: equal, substitute, delete or insert."""
    import jiwer

    found = jiwer.process_words(reference, hypothesis)
    lines = []
    for chunk in found.alignments[0]:
        left = found.references[0][chunk.ref_start_idx : chunk.ref_end_idx]
        right = found.hypotheses[0][chunk.hyp_start_idx : chunk.hyp_end_idx]
        for i in range(max(len(left), len(right))):
            lines.append([chunk.type, left[i] if i < len(left) else "", right[i] if i < len(right) else ""])
    return lines
