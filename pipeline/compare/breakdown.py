"""Where the errors are: each test set by length, speaker and noise level, and the utterances recognized worst.

Decision: bins have fixed edges, the same for every corpus, so that two runs can be laid side by side; groups without
utterances are left out. Every cell has its own interval, which isn't corrected for how many cells there are: of twenty
one is outside by chance. Below 10 units nothing is resampled and the interval is null, unless nothing at all is wrong.
"""

from collections import Counter

import numpy as np

from pipeline.benchmark.timings import REFERENCE
from pipeline.compare.comparison import Row
from pipeline.compare.inputs import Evidence
from pipeline.evaluate import wer
from pipeline.evaluate.scores import Hypothesis
from pipeline.evaluate.wer import align

SECONDS, DECIBELS = (1, 2, 4, 8, 16), (10, 20, 30, 40)
UNKNOWN = "unknown"
MOST_SPEAKERS = 50
MOST_WORST = 20
LEAST_UNITS = 10
RESAMPLES, SEED = 2000, 7


def breakdown(evidence: Evidence) -> dict:
    """reports/breakdown.json: {confidence, sets: {TEST SET: {length, speaker, noise: [group, ...]}}}, the headline's set first.

    A group: {group: "2-4 s", utterances, words, unit, wer: {VARIANT: fraction}, wer_low: {...}, wer_high: {...}}.
    """
    return {"confidence": wer.CONFIDENCE, "sets": {test: _by_factor(evidence, test) for test in evidence.test_sets}}


def _by_factor(evidence: Evidence, test: str) -> dict[str, list[dict]]:
    rows = {name: score.sets[test].hypotheses for name, score in evidence.scores.items()}
    shared = rows[REFERENCE]  # whose audio and texts are everyone's
    by = {
        "length": ([_bin(row.duration, SECONDS, "s") for row in shared], [*_names(SECONDS, "s")]),
        "speaker": _speakers(shared),
        "noise": ([_bin(row.snr_db, DECIBELS, "dB") for row in shared], [*_names(DECIBELS, "dB"), UNKNOWN]),
    }
    return {
        what: [_group(name, np.flatnonzero(np.array(names) == name), rows) for name in order if name in set(names)]
        for what, (names, order) in by.items()
    }


def worst(rows: list[Row], evidence: Evidence) -> list[dict]:
    """reports/worst.json: at most 20 utterances of each test set, those that lose most against the teacher first.

    An utterance is shown with one variant, the one that loses most there; of several alike the champion, then the order of
    the comparison. Variants that pass the gate are asked, all of them where none does. An alignment is [[equal, substitute,
    delete or insert, the reference's word, the hypothesis's word], ...], "" where there is none.
    """
    asked = [row for row in rows if row.variant != REFERENCE and row.gate.passed]
    asked = sorted(asked or [row for row in rows if row.variant != REFERENCE], key=lambda row: not row.champion)
    names = [row.variant for row in asked]
    return [shown for test in evidence.test_sets for shown in _worst_of(test, names, evidence)]


def _worst_of(test: str, variants: list[str], evidence: Evidence) -> list[dict]:
    by_variant = {variant: evidence.scores[variant].sets[test].hypotheses for variant in variants}
    candidates = []
    for at, teacher in enumerate(evidence.scores[REFERENCE].sets[test].hypotheses):
        variant = max(by_variant, key=lambda name: by_variant[name][at].errors, default=None)
        if variant and by_variant[variant][at].errors:
            candidates.append((variant, by_variant[variant][at], teacher))
    candidates.sort(key=lambda one: (one[2].errors - one[1].errors, -one[1].errors, one[1].id))
    return [_shown(test, *one) for one in candidates[:MOST_WORST]]


def _group(name: str, at: np.ndarray, rows: dict[str, list[Hypothesis]]) -> dict:
    shared = [rows[REFERENCE][i] for i in at]
    words = np.array([row.words for row in shared])
    unit, units = wer.units(shared)
    group = {
        "group": name,
        "utterances": len(at),
        "words": int(words.sum()),
        "unit": unit,
        "wer": {},
        "wer_low": {},
        "wer_high": {},
    }
    known = {}  # variants with the same errors have the same interval
    for variant, hypotheses in rows.items():
        errors = np.array([hypotheses[i].errors for i in at])
        key = errors.tobytes()
        if key not in known:
            is_known = not errors.any() or len(set(units.tolist())) >= LEAST_UNITS
            known[key] = wer.interval(errors, words, units, RESAMPLES, SEED) if is_known else (None, None)
        group["wer"][variant] = float(errors.sum() / words.sum())
        group["wer_low"][variant], group["wer_high"][variant] = known[key]
    return group


def _names(edges: tuple[int, ...], unit: str) -> list[str]:
    between = [f"{low}-{high} {unit}" for low, high in zip(edges, edges[1:], strict=False)]
    return [f"under {edges[0]} {unit}", *between, f"{edges[-1]} {unit} and over"]


def _bin(value: float | None, edges: tuple[int, ...], unit: str) -> str:
    """The group of a value; a value on an edge belongs to the group above it."""
    return UNKNOWN if value is None else _names(edges, unit)[int(np.searchsorted(edges, value, side="right"))]


def _speakers(rows: list[Hypothesis]) -> tuple[list[str], list[str]]:
    """Each utterance's group and the groups in order; beyond 50 speakers those with the fewest words are one group."""
    words = Counter()
    for row in rows:
        words[row.speaker] += row.words
    kept = words if len(words) <= MOST_SPEAKERS else dict(words.most_common(MOST_SPEAKERS - 1))
    rest = f"{len(words) - len(kept)} others"
    names = [(row.speaker or UNKNOWN) if row.speaker in kept else rest for row in rows]
    return names, [*dict.fromkeys([*sorted(speaker for speaker in kept if speaker), UNKNOWN, rest])]


def _shown(test: str, variant: str, row: Hypothesis, teacher: Hypothesis) -> dict:
    return {
        "id": row.id, "speaker": row.speaker, "set": test, "duration": row.duration, "snr_db": row.snr_db,
        "reference": row.reference, "variant": variant, "teacher": teacher.hypothesis, "hypothesis": row.hypothesis,
        "errors": row.errors, "teacher_errors": teacher.errors, "alignment": align(row.reference, row.hypothesis),
        "teacher_alignment": align(row.reference, teacher.hypothesis),
    }  # fmt: skip
