"""How many words a variant gets wrong, and how sure that is.

Decision: errors are counted by jiwer; what is ours is how sure they are. Utterances of one speaker go wrong together, so
the unit that is resampled is the speaker where there are 20 or more of them, else the utterance; it is named beside every
interval. A resample of "no errors at all" always has none, so there the rule of three bounds the rate at 3/N words with
95% confidence (Hanley and Lippman-Hand 1983), and not at zero.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.errors import BigfootError

LEAST_SPEAKERS = 20
CONFIDENCE = 0.95


def score(utterances: Sequence, hypotheses: Sequence[str], resamples: int = 2000, seed: int = 7) -> dict:
    """The score of one test set: WER, CER, their counts, the interval of the WER and every hypothesis.

    `utterances` have id, speaker, duration and text, the reference, which must not be empty; `hypotheses` are in the same
    order. WER and CER are fractions. wer_low and wer_high are the ends of the 95% interval; without any error they are 0
    and 3/N words. Raises BigfootError where there is nothing to score.
    """
    import jiwer

    if not utterances or len(utterances) != len(hypotheses):
        raise BigfootError(f"{len(hypotheses)} hypotheses for {len(utterances)} utterances: nothing that can be scored")
    rows, counts = [], np.zeros(3, dtype=int)
    for utterance, hypothesis in zip(utterances, hypotheses, strict=True):
        words = jiwer.process_words(utterance.text, hypothesis)
        kinds = (words.substitutions, words.deletions, words.insertions)
        counts += kinds
        rows.append(
            {
                "id": utterance.id, "speaker": utterance.speaker, "duration": utterance.duration,
                "reference": utterance.text, "hypothesis": hypothesis, "errors": sum(kinds),
                "words": words.hits + words.substitutions + words.deletions,
            }
        )  # fmt: skip
    references = [utterance.text for utterance in utterances]
    characters = jiwer.process_characters(references, list(hypotheses))
    errors, words = (np.array([row[key] for row in rows]) for key in ("errors", "words"))
    unit, groups = units([row["speaker"] for row in rows])
    low, high = interval(errors, words, groups, resamples, seed)
    return {
        "utterances": len(rows), "words": int(words.sum()),
        "characters": characters.hits + characters.substitutions + characters.deletions,
        "wer": float(errors.sum() / words.sum()), "cer": characters.cer, "wer_low": low, "wer_high": high,
        "substitutions": int(counts[0]), "deletions": int(counts[1]), "insertions": int(counts[2]), "unit": unit,
        "hypotheses": rows,
    }  # fmt: skip


def units(speakers: Sequence[str]) -> tuple[str, np.ndarray]:
    """What is resampled, and to which of them each utterance belongs: ("speakers", [0, 0, 1, ...])."""
    known, groups = np.unique(list(speakers), return_inverse=True)
    if len(known) >= LEAST_SPEAKERS and "" not in known:
        return "speakers", groups
    return "utterances", np.arange(len(speakers))


def interval(errors: np.ndarray, words: np.ndarray, groups: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """95% interval of sum(errors) / sum(words), all [utterances]; `groups` says which utterances are drawn together."""
    if not errors.any():
        return 0.0, min(1.0, 3 / int(words.sum()))
    rates = _resampled(errors, words, groups, resamples, seed)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(rates, [tail, 1 - tail])
    return float(low), float(high)


def paired_rise(reference: dict, other: dict, confidence: float = CONFIDENCE, resamples: int = 2000, seed: int = 7) -> float:
    """Upper bound of how much the WER of `other` lies above that of `reference`, two scores of the same utterances.

    One-sided, by resampling the differences utterance by utterance (or speaker by speaker): both hear the same audio, so
    what is hard for both drops out. A bootstrap of a few differing words is too sure of itself, and of none at all it is
    certain; so the bound is never less than the rise that was seen and ln(1 / (1 - confidence)) / N words, the rule of
    three, on top. Raises BigfootError where the two are not of the same utterances.
    """
    a, b = reference["hypotheses"], other["hypotheses"]
    if [(row["id"], row["reference"]) for row in a] != [(row["id"], row["reference"]) for row in b]:
        raise BigfootError("two scores are not of the same utterances: run `dvc repro` for both variants")
    rise = np.array([row["errors"] for row in b]) - np.array([row["errors"] for row in a])
    words = np.array([row["words"] for row in a])
    least = float((rise.sum() - np.log(1 - confidence)) / words.sum())
    _, groups = units([row["speaker"] for row in a])
    return max(least, float(np.quantile(_resampled(rise, words, groups, resamples, seed), confidence)))


def _resampled(counts: np.ndarray, words: np.ndarray, groups: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """sum(counts) / sum(words) of so many samples of the groups, drawn with replacement: [resamples]."""
    size = groups.max() + 1
    by_group = np.bincount(groups, counts, size), np.bincount(groups, words, size)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, size, (resamples, size))
    return by_group[0][drawn].sum(1) / by_group[1][drawn].sum(1)
