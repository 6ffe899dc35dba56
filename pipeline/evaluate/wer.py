"""The errors of a variant, and the intervals of its error rates, WER and CER.

Decision: jiwer counts the errors; the intervals are computed here. Errors of one speaker's utterances are correlated, so the
speaker is resampled where there are 20 or more, else the recording that utterances were cut from, where there are 20 or more,
else the utterance; the unit is named beside every interval. Resamples of few errors are too sure that there are few, and of
none that there is none, so each upper end has room for one more error than was observed, and without any it is the rule of
three (Hanley and Lippman-Hand 1983). An error is what goes wrong at once: the words of one utterance, mostly several.
docs/accuracy.md explains how to read the intervals.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.evaluate.scores import Hypothesis, SetScore
from pipeline.speech.scoring import OBJECTIVES, Objective, count_errors
from pipeline.speech.shards import Utterance

LEAST_UNITS = 20
LEAST_WITH_WORDS = 10  # units: resamples of fewer are too much alike, and the sum of their weights comes near to 0
SUPPOSED = 3.0  # words that are wrong in an utterance that has any, where nothing is known of it
CONFIDENCE = 0.95
RISE_RESAMPLES = 10_000  # 30 variants together need the 99.8% quantile of each: the 20 largest resamples
AT_ONCE = 2_000_000  # random numbers in memory


def score(utterances: Sequence[Utterance], hypotheses: Sequence[str], resamples: int = 2000, seed: int = 7) -> SetScore:
    """The score of one set: WER, CER, their counts and intervals, and every hypothesis.

    The text of an utterance is its reference; where it is empty, every recognized word is inserted. `hypotheses` are in the
    order of `utterances`. `snr_db` is None: the audio is not known here. Raises BigfootError where there is nothing to score,
    or no word in any reference.
    """
    if not utterances or len(utterances) != len(hypotheses):
        raise BigfootError(f"{len(hypotheses)} hypotheses for {len(utterances)} utterances: nothing can be scored")
    if not any(utterance.text for utterance in utterances):
        raise BigfootError(f"none of {len(utterances)} references has a word: no error rate can be computed")
    rows, kinds = [], []
    for utterance, hypothesis in zip(utterances, hypotheses, strict=True):
        by_word, by_character = (count_errors(utterance.text, hypothesis, objective) for objective in OBJECTIVES)
        kinds.append(by_word[:3])
        rows.append(
            Hypothesis(
                id=utterance.id, speaker=utterance.speaker, recording=utterance.recording, duration=utterance.duration,
                reference=utterance.text, hypothesis=hypothesis, errors=by_word.errors, words=by_word.length,
                character_errors=by_character.errors, characters=by_character.length, snr_db=None,
            )
        )  # fmt: skip
    (errors, words), (misspelled, characters) = (_counts(rows, objective) for objective in OBJECTIVES)
    substitutions, deletions, insertions = np.array(kinds).sum(0).tolist()
    unit, groups = units(rows)
    low, high = interval(errors, words, groups, size_of_an_error(errors, words, words), resamples, seed)
    cer_low, cer_high = interval(
        misspelled, characters, groups, size_of_an_error(misspelled, characters, words), resamples, seed
    )
    return SetScore(
        utterances=len(rows), words=int(words.sum()), characters=int(characters.sum()),
        wer=float(errors.sum() / words.sum()), cer=float(misspelled.sum() / characters.sum()),
        wer_low=low, wer_high=high, cer_low=cer_low, cer_high=cer_high,
        substitutions=substitutions, deletions=deletions, insertions=insertions, unit=unit, hypotheses=rows,
    )  # fmt: skip


def _counts(rows: Sequence[Hypothesis], objective: Objective) -> tuple[np.ndarray, np.ndarray]:
    """Errors and lengths of the references, both [utterances]."""
    errors, lengths = np.array([row.counts(objective) for row in rows]).T
    return errors, lengths


def units(rows: Sequence[Hypothesis]) -> tuple[str, np.ndarray]:
    """The unit that is resampled, and the number of each utterance's unit: ("speakers", [0, 0, 1, ...]).

    Speakers or recordings are the unit where every utterance has a known one and there are at least 20: resamples of fewer are
    too much alike.
    """
    for unit, key in (("speakers", "speaker"), ("recordings", "recording")):
        known, groups = np.unique([getattr(row, key) for row in rows], return_inverse=True)
        if len(known) >= LEAST_UNITS and "" not in known:
            return unit, groups
    return "utterances", np.arange(len(rows))


def interval(
    errors: np.ndarray, words: np.ndarray, groups: np.ndarray, an_error: float, resamples: int, seed: int
) -> tuple[float, float] | tuple[None, None]:
    """95% interval of sum(errors) / sum(words), all [utterances]; `groups` numbers the unit of each utterance.

    The percentile bootstrap (Efron 1979; of WER: Bisani and Ney 2004). Resamples without a word have no rate and are left out.
    Its upper end is too low where errors are few, so it is that of a Bayesian bootstrap with one error more, `an_error` words,
    where that is higher. Fewer than LEAST_WITH_WORDS units with words have no interval, unless nothing is wrong.
    """
    if not errors.any():
        return 0.0, min(1.0, 3 * an_error / int(words.sum()))
    size = groups.max() + 1
    by_group = np.bincount(groups, errors, size), np.bincount(groups, words, size)
    if np.count_nonzero(by_group[1]) < LEAST_WITH_WORDS:
        return None, None
    rng, rates = np.random.default_rng(seed), []
    for count in _parts(resamples, size):
        drawn = rng.integers(0, size, (count, size))
        wrong, all_words = (counts[drawn].sum(1) for counts in by_group)
        rates.append(wrong[all_words > 0] / all_words[all_words > 0])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(rates), [tail, 1 - tail])
    one_more = _weighted(by_group[0][:, None], by_group[1], np.array([an_error]), resamples, seed)
    return float(low), float(max(high, np.quantile(one_more, 1 - tail)))


def paired_rise(
    reference: SetScore,
    other: SetScore,
    confidence: float = CONFIDENCE,
    resamples: int = RISE_RESAMPLES,
    seed: int = 7,
    objective: Objective = "wer",
) -> float:
    """Upper bound of the rise of the error rate of `other` over that of `reference`: `paired_rises` of a single variant."""
    return paired_rises(reference, {"other": other}, confidence, resamples, seed, objective)["other"]


def paired_interval(first: SetScore, other: SetScore, objective: Objective = "wer") -> tuple[float, float]:
    """95% interval of the error rate of `other` minus that of `first` on the same utterances.

    Both ends are bounds as `paired_rise` gives them, each of which holds with half the doubt.
    """
    sure = (1 + CONFIDENCE) / 2
    return -paired_rise(other, first, sure, objective=objective), paired_rise(first, other, sure, objective=objective)


def paired_rises(
    reference: SetScore,
    others: Mapping[str, SetScore],
    confidence: float = CONFIDENCE,
    resamples: int = RISE_RESAMPLES,
    seed: int = 7,
    objective: Objective = "wer",
) -> dict[str, float]:
    """Upper bounds of the rise of each error rate over that of `reference`, which hold together with this confidence.

    All scores are of the same utterances, so utterances that are hard for every variant cancel out: the differences are
    resampled, with the same weights for every variant. Variants with the same errors on every utterance count as one; M is
    the number of different ones.

    - One variant: a Bayesian bootstrap (Rubin 1981) of the units, in which one more error than was observed has a weight
      too. Without it the bound would be too low where few utterances differ; with it, it is the exact bound of a Poisson
      count (Garwood 1936), and the rule of three where none differs (similar to Gaffke 2005). The error is as large as
      `size_of_an_error` of both variants; where speakers or recordings are the units, at least as large as the largest that
      one of them has above its share.
    - All variants: each gets the same quantile of its own resamples, the lowest at which all bounds hold in `confidence` of
      the joint resamples (balanced simultaneous sets, Beran 1988; a single-step method of Westfall and Young 1993). It uses
      the correlation between variants, so it is sharper than Bonferroni.
    - A bound is never less than the observed rise plus ln(M / (1 - confidence)) errors, Bonferroni's rule of three; for a
      variant that does not differ from the reference it is exactly that.

    Raises BigfootError where the scores are not of the same utterances.
    """
    if not others:
        return {}
    rises = np.array([_rise(reference, other, objective) for other in others.values()])  # [variants, utterances]
    distinct, which = np.unique(rises, axis=0, return_inverse=True)
    errors, words = _counts(reference.hypotheses, objective)
    _, in_words = _counts(reference.hypotheses, "wer")
    one = np.array([size_of_an_error(np.concatenate([errors, errors + rise]), words, in_words) for rise in distinct])
    observed = distinct.sum(1) / words.sum()
    bounds = observed + one * np.log(len(distinct) / (1 - confidence)) / words.sum()
    differs = distinct.any(1)
    if differs.any():
        _, groups = units(reference.hypotheses)
        size = groups.max() + 1
        by_group = np.stack([np.bincount(groups, rise, size) for rise in distinct], axis=1)
        words_by_group = np.bincount(groups, words, size)
        above = (by_group - observed * words_by_group[:, None]).max(0) if size < len(words) else 0.0
        drawn = _weighted(by_group, words_by_group, np.maximum(one, above), resamples, seed)
        together = _joint_bounds(drawn, confidence)
        bounds[differs] = np.maximum(bounds, together)[differs]
    return dict(zip(others, bounds[which.ravel()].tolist(), strict=True))


def _joint_bounds(drawn: np.ndarray, confidence: float) -> np.ndarray:
    """The lowest common quantile of all variants, [variants], that holds for all in `confidence` of [resamples, variants]."""
    ordered = np.sort(drawn, axis=0)
    ranks = np.stack([np.searchsorted(column, rates) for column, rates in zip(ordered.T, drawn.T, strict=True)])
    highest = np.sort(ranks.max(0))  # of each resample, the rank of the variant that needs the highest quantile
    return ordered[highest[int(np.ceil(confidence * len(drawn))) - 1]]


def size_of_an_error(errors: np.ndarray, lengths: np.ndarray, words: np.ndarray) -> float:
    """Wrong words (or characters) per utterance that has any, with one more utterance that has SUPPOSED wrong words.

    `errors`: of any number of scores, `lengths`: of the references in the same unit, `words`: of the references in words.
    Wrong words come several per utterance, and wrong characters in words. Where few or no errors are known, their mean alone
    would be too sure; no utterance is supposed to have more wrong words than utterances have.
    """
    supposed = min(SUPPOSED, words.sum() / np.count_nonzero(words)) * lengths.sum() / words.sum()
    return float((errors.sum() + supposed) / (np.count_nonzero(errors) + 1))


def _rise(reference: SetScore, other: SetScore, objective: Objective) -> list[int]:
    """How many more words (or characters) `other` gets wrong, for each utterance."""
    a, b = reference.hypotheses, other.hypotheses
    if [(row.id, row.reference) for row in a] != [(row.id, row.reference) for row in b]:
        raise BigfootError("two scores are not of the same utterances: run `dvc repro` for both variants")
    return [theirs.counts(objective)[0] - ours.counts(objective)[0] for ours, theirs in zip(a, b, strict=True)]


def _weighted(rises: np.ndarray, words: np.ndarray, unobserved: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """sum(rises) / sum(words) with exponential weights of the units and of an unobserved error: [resamples, variants].

    `rises` [units, variants], `words` [units]; `unobserved`: the size of that error, [variants].
    """
    rng, rates = np.random.default_rng(seed), []
    for count in _parts(resamples, len(words)):
        weights, extra = rng.standard_exponential((count, len(words))), rng.standard_exponential((count, len(unobserved)))
        rates.append((weights @ rises + unobserved * extra) / (weights @ words)[:, None])
    return np.concatenate(rates)


def _parts(resamples: int, size: int) -> list[int]:
    """The resamples, divided into parts that fit into memory."""
    part = max(1, AT_ONCE // size)
    return [min(part, resamples - start) for start in range(0, resamples, part)]


def align(reference: str, hypothesis: str, objective: Objective = "wer") -> list[list[str]]:
    """[[operation, reference word, hypothesis word], ...] as jiwer counts; operation: equal, substitute, delete or insert.

    For the CER, runs of characters instead of words.
    """
    import jiwer

    aligned = (jiwer.process_words if objective == "wer" else jiwer.process_characters)(reference, hypothesis)
    lines = []
    for chunk in aligned.alignments[0]:
        left = aligned.references[0][chunk.ref_start_idx : chunk.ref_end_idx]
        right = aligned.hypotheses[0][chunk.hyp_start_idx : chunk.hyp_end_idx]
        if objective == "cer":
            lines.append([chunk.type, "".join(left), "".join(right)])
            continue
        for i in range(max(len(left), len(right))):
            lines.append([chunk.type, left[i] if i < len(left) else "", right[i] if i < len(right) else ""])
    return lines
