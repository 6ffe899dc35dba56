"""Where the errors are: each test set by length, speaker, noise level and, where texts are few, by text; the words that are
taken for others; and the utterances with the most errors.

Decision: bins have fixed edges, the same for every corpus, so that two runs can be compared; groups without utterances are
left out. Every cell has its own interval, which is not corrected for the number of cells: one in twenty is outside by chance.
Below 10 units nothing is resampled and the interval is null, unless there are no errors at all.
"""

from collections import Counter
from typing import NotRequired, TypedDict

import numpy as np

from pipeline.benchmark.timings import REFERENCE
from pipeline.compare.comparison import Row
from pipeline.compare.inputs import Evidence
from pipeline.evaluate import wer
from pipeline.evaluate.scores import Hypothesis
from pipeline.evaluate.wer import align
from pipeline.speech.scoring import Objective, count_errors

SECONDS, DECIBELS = (1, 2, 4, 8, 16), (10, 20, 30, 40)
UNKNOWN = "unknown"
MOST_SPEAKERS = MOST_TEXTS = 50
MOST_CONFUSIONS = 20
MOST_WORST = 20
RESAMPLES, SEED = 2000, 7
SLIP = 3  # letters
KINDS = {"substitute": "replaced", "delete": "lost", "insert": "inserted"}


Rates = dict[str, float | None]  # by variant; None where the references of a group have no word, or units are too few


class Group(TypedDict):
    """A group of utterances, such as "2-4 s", with the error rate of each variant that is the corpus's objective.

    `unit` is what its intervals resample.
    """

    group: str
    utterances: int
    words: int
    unit: str
    wer: NotRequired[Rates]
    wer_low: NotRequired[Rates]
    wer_high: NotRequired[Rates]
    cer: NotRequired[Rates]
    cer_low: NotRequired[Rates]
    cer_high: NotRequired[Rates]


class Confusion(TypedDict):
    """A word and what was recognized instead; `counts` is {variant: how often}."""

    word: str
    recognized: str
    counts: dict[str, int]


class Breakdown(TypedDict):
    """reports/breakdown.json; `sets` is {TEST SET: {FACTOR: groups}}, the factors being length, speaker, noise and text.

    `confusions`: the words of each test set that are most often taken for others; [] where the CER decides.
    """

    confidence: float
    sets: dict[str, dict[str, list[Group]]]
    confusions: dict[str, list[Confusion]]


class Mistake(TypedDict):
    """An utterance of reports/worst.json: its reference, and the texts of the teacher and of one variant.

    An alignment is [[operation, reference word, recognized word], ...]; the operation is equal, substitute, delete or insert,
    and a missing word is "". `duration` is in seconds. `kinds` counts the variant's errors (`kinds_of`). Where the CER decides,
    characters take the place of words.
    """

    id: str
    speaker: str
    set: str
    duration: float
    snr_db: float | None
    reference: str
    variant: str
    teacher: str
    hypothesis: str
    errors: int
    teacher_errors: int
    kinds: dict[str, int]
    alignment: list[list[str]]
    teacher_alignment: list[list[str]]


def breakdown(evidence: Evidence) -> Breakdown:
    """The error rate of every variant by length, speaker, noise and text, and the confused words, for each test set."""
    return {
        "confidence": wer.CONFIDENCE,
        "sets": {test: _by_factor(evidence, test) for test in evidence.test_sets},
        "confusions": {test: _confusions(evidence, test) for test in evidence.test_sets},
    }


def _by_factor(evidence: Evidence, test: str) -> dict[str, list[Group]]:
    rows = {name: score.sets[test].hypotheses for name, score in evidence.scores.items()}
    shared = rows[REFERENCE]  # all variants have the same utterances
    factors = {
        "length": ([_bin(row.duration, SECONDS, "s") for row in shared], [*_names(SECONDS, "s")]),
        "speaker": _speakers(shared),
        "noise": ([_bin(row.snr_db, DECIBELS, "dB") for row in shared], [*_names(DECIBELS, "dB"), UNKNOWN]),
    }
    texts = [row.reference for row in shared]
    if len(set(texts)) <= min(MOST_TEXTS, len(texts) // 2):  # of commands and the like
        factors["text"] = texts, sorted(set(texts))
    return {
        factor: [
            _group(name, np.flatnonzero(np.array(names) == name), rows, evidence.objective)
            for name in order
            if name in set(names)
        ]
        for factor, (names, order) in factors.items()
    }


def _confusions(evidence: Evidence, test: str) -> list[Confusion]:
    if evidence.objective == "cer":
        return []
    counts: dict[tuple[str, str], Counter[str]] = {}
    for name, score in evidence.scores.items():
        for row in score.sets[test].hypotheses:
            for operation, word, other in align(row.reference, row.hypothesis) if row.errors else ():
                if operation == "substitute":
                    counts.setdefault((word, other), Counter())[name] += 1
    most = sorted(counts, key=lambda pair: (-counts[pair].total(), pair))[:MOST_CONFUSIONS]
    return [{"word": word, "recognized": other, "counts": dict(counts[word, other])} for word, other in most]


def worst(rows: list[Row], evidence: Evidence) -> list[Mistake]:
    """At most 20 utterances per test set, beginning with those with the most errors beyond the teacher's.

    Each utterance comes with one variant: the one with the most errors there; if several have as many, the champion, then the
    first of the comparison. Only variants that pass the gate are considered, or all of them where none passes.
    """
    others = [row for row in rows if row.variant != REFERENCE]
    passing = [row for row in others if row.gate.passed]
    names = [row.variant for row in sorted(passing or others, key=lambda row: not row.champion)]
    return [mistake for test in evidence.test_sets for mistake in _worst_of(test, names, evidence)]


def _worst_of(test: str, variants: list[str], evidence: Evidence) -> list[Mistake]:
    by_variant = {variant: evidence.scores[variant].sets[test].hypotheses for variant in variants}
    candidates = []

    def wrong(row: Hypothesis) -> int:
        return row.counts(evidence.objective)[0]

    for at, teacher in enumerate(evidence.scores[REFERENCE].sets[test].hypotheses):
        variant = max(by_variant, key=lambda name: wrong(by_variant[name][at]), default=None)
        if variant and wrong(by_variant[variant][at]):
            candidates.append((variant, by_variant[variant][at], teacher))
    candidates.sort(key=lambda each: (wrong(each[2]) - wrong(each[1]), -wrong(each[1]), each[1].id))
    return [_mistake(test, *candidate, evidence.objective) for candidate in candidates[:MOST_WORST]]


def _group(name: str, at: np.ndarray, rows: dict[str, list[Hypothesis]], objective: Objective) -> Group:
    shared = [rows[REFERENCE][i] for i in at]
    lengths, words = (np.array([row.counts(rate)[1] for row in shared]) for rate in (objective, "wer"))
    unit, units = wer.units(shared)
    group: Group = {
        "group": name,
        "utterances": len(at),
        "words": int(words.sum()),
        "unit": unit,
    }
    values, lows, highs = Rates(), Rates(), Rates()
    intervals: dict[bytes, tuple[float | None, float | None]] = {}  # variants with the same errors share one
    for variant, hypotheses in rows.items():
        errors = np.array([hypotheses[i].counts(objective)[0] for i in at])
        key = errors.tobytes()
        if key not in intervals:
            intervals[key] = None, None
            if lengths.any():
                an_error = wer.size_of_an_error(errors, lengths, words)
                intervals[key] = wer.interval(errors, lengths, units, an_error, RESAMPLES, SEED)
        values[variant] = float(errors.sum() / lengths.sum()) if lengths.any() else None
        lows[variant], highs[variant] = intervals[key]
    if objective == "wer":
        return {**group, "wer": values, "wer_low": lows, "wer_high": highs}
    return {**group, "cer": values, "cer_low": lows, "cer_high": highs}


def rates(group: Group) -> tuple[Rates, Rates, Rates]:
    """The error rates of a group with the ends of their intervals, of the objective that it was made for."""
    if "wer" in group:
        return group["wer"], group["wer_low"], group["wer_high"]
    return group["cer"], group["cer_low"], group["cer_high"]


def _names(edges: tuple[int, ...], unit: str) -> list[str]:
    between = [f"{low}-{high} {unit}" for low, high in zip(edges, edges[1:], strict=False)]
    return [f"under {edges[0]} {unit}", *between, f"{edges[-1]} {unit} and over"]


def _bin(value: float | None, edges: tuple[int, ...], unit: str) -> str:
    """The group of a value; a value on an edge belongs to the group above it."""
    return UNKNOWN if value is None else _names(edges, unit)[int(np.searchsorted(edges, value, side="right"))]


def _speakers(rows: list[Hypothesis]) -> tuple[list[str], list[str]]:
    """The group of each utterance, and the groups in order; beyond 50 speakers, those with the fewest words are one group."""
    words: Counter[str] = Counter()
    for row in rows:
        words[row.speaker] += row.words
    kept = words if len(words) <= MOST_SPEAKERS else dict(words.most_common(MOST_SPEAKERS - 1))
    rest = f"{len(words) - len(kept)} others"
    names = [(row.speaker or UNKNOWN) if row.speaker in kept else rest for row in rows]
    return names, [*dict.fromkeys([*sorted(speaker for speaker in kept if speaker), UNKNOWN, rest])]


def kinds_of(alignment: list[list[str]], objective: Objective) -> dict[str, int]:
    """{"replaced", "lost", "inserted", "slips"}: words recognized as others, missed, added, and misspelled in one letter.

    A word counts as misspelled if the longer of the two has at least SLIP letters; of characters, none does.
    """
    counts = dict.fromkeys(("replaced", "lost", "inserted", "slips"), 0)
    for operation, word, other in alignment:
        if operation != "equal":
            size = 1 if objective == "wer" else max(len(word), len(other))
            counts["slips" if objective == "wer" and is_slip(word, other) else KINDS[operation]] += size
    return counts


def is_slip(word: str, other: str) -> bool:
    """Whether the two differ in one letter only."""
    return bool(word and other) and max(len(word), len(other)) >= SLIP and count_errors(word, other, "cer").errors == 1


def _mistake(test: str, variant: str, row: Hypothesis, teacher: Hypothesis, objective: Objective) -> Mistake:
    alignment = align(row.reference, row.hypothesis, objective)
    return {
        "id": row.id, "speaker": row.speaker, "set": test, "duration": row.duration, "snr_db": row.snr_db,
        "reference": row.reference, "variant": variant, "teacher": teacher.hypothesis, "hypothesis": row.hypothesis,
        "errors": row.counts(objective)[0], "teacher_errors": teacher.counts(objective)[0],
        "kinds": kinds_of(alignment, objective), "alignment": alignment,
        "teacher_alignment": align(row.reference, teacher.hypothesis, objective),
    }  # fmt: skip
