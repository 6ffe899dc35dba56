"""Checks that a score belongs to a comparison: to this variant, to this corpus, and to the text of each utterance.

Decision: a comparison of files that do not belong together looks like any other, so each utterance of a score is compared
with the corpus's manifest, id by id and text by text, and its figures are counted again. Texts that were shifted by one or two
utterances before they entered the corpus are the same in both; they show where the teacher recognizes a neighbor's text.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.common.files import forced
from pipeline.evaluate.scores import Hypothesis, Score
from pipeline.speech.scoring import OBJECTIVES, UNITS, Objective, count_errors
from pipeline.speech.shards import Utterance

LOST = 0.5  # share of wrong words above which an utterance is compared with its neighbors' texts
NEAR, FAR = (-2, -1, 1, 2), range(3, 23)  # places by which texts may be shifted, and by which they are not
CHANCE = 0.001  # of calling a set shifted that is not


def check(score: Score, path: Path, variant: str, slug: str, sets: Mapping[str, Sequence[Utterance]]) -> None:
    """Raise BigfootError unless the score in `path` belongs to `variant` and to these sets: {set: its utterances}."""
    again = f"run `dvc repro evaluate@{slug}`"
    if score.variant != variant:
        raise BigfootError(f"{path} is of {score.variant}, not of {variant}: {forced(again)}")
    if score.first_test not in sets or set(score.sets) != set(sets):
        raise BigfootError(f"{path} is of another corpus (sets {', '.join(score.sets)}, not {', '.join(sets)}): {again}")
    for name, scored in score.sets.items():
        where = f"{path}, {name}"
        _check_utterances(where, scored.hypotheses, sets[name], again)
        for objective in OBJECTIVES:
            errors, length = map(sum, zip(*(row.counts(objective) for row in scored.hypotheses), strict=True))
            rate, stated = getattr(scored, objective), getattr(scored, UNITS[objective])
            if (stated, scored.utterances) != (length, len(sets[name])) or abs(rate * length - errors) > 1e-6:
                edited = f"its {objective.upper()} is not that of its utterances, so the file was edited"
                raise BigfootError(f"{where}: {edited}: {forced(again)}")


def _check_utterances(where: str, rows: Sequence[Hypothesis], utterances: Sequence[Utterance], again: str) -> None:
    """Raise BigfootError unless the rows are these utterances, each once, in order, with their own texts."""
    ids, wanted = [row.id for row in rows], [utterance.id for utterance in utterances]
    wanted_counts, known = Counter(wanted), set(ids)
    twice = [name for name, count in Counter(ids).items() if count > 1 and wanted_counts[name] == 1]
    missing, strange = [name for name in wanted if name not in known], [name for name in ids if name not in wanted_counts]
    for what, names in (("has twice", twice), ("lacks", missing), ("has, unlike the corpus,", strange)):
        if names:
            count = f"{len(names)} utterances" if len(names) > 1 else "one utterance"
            raise BigfootError(f"{where} {what} {count}, such as {names[0]}, so it belongs to another corpus: {again}")
    if ids != wanted:
        raise BigfootError(f"{where} has its utterances in another order than the corpus: {forced(again)}")
    others = [utterance.id for row, utterance in zip(rows, utterances, strict=True) if row.reference != utterance.text]
    if others:
        raise BigfootError(
            f"{where}: {len(others)} of {len(rows)} references are not the corpus's texts, such as {others[0]}'s: they are "
            f"shifted, or of another version of the corpus: {again}"
        )


def refuse_shifted(where: str, rows: Sequence[Hypothesis], objective: Objective = "wer") -> None:
    """Raise BigfootError where utterances are recognized as the text of a neighbor instead of their own.

    This looks at the utterances with more than half of their words wrong (or characters, where these decide), where they are
    at least 3 and a tenth of all: in any part of a set of 6 or more, the texts may be shifted by one or two, or exchanged. With
    the texts of such neighbors, at most half as many may be wrong.
    """
    counts = [row.counts(objective) for row in rows]
    lost = [at for at, (errors, length) in enumerate(counts) if length and errors > LOST * length]
    if len(lost) < max(3, len(rows) / 10):
        return
    wrong = sum(counts[at][0] for at in lost)
    near = {step: _fitting(rows, lost, step, objective) for step in NEAR}

    def with_texts_of(steps: Iterable[int]) -> int:
        return sum(min([near[step][at] for step in steps if at in near[step]], default=counts[at][0]) for at in lost)

    if with_texts_of(NEAR) > wrong / 2:  # nothing is shifted, so what fits by chance need not be known
        return
    far = [step for step in FAR if step < len(rows) - max(NEAR)]
    by_chance = (1 + sum(len(_fitting(rows, lost, step, objective)) for step in far)) / (1 + len(far) * len(lost))
    steps = [step for step in NEAR if _is_beyond_chance(len(near[step]), len(lost), by_chance)]
    shifted = with_texts_of(steps)
    if shifted <= wrong / 2 and _are_in_a_row(rows, {at for step in steps for at in near[step]}, steps):
        raise BigfootError(
            f"{where}: {len(lost)} of {len(rows)} utterances are recognized as the text of a neighbor "
            f"({shifted} {UNITS[objective]} wrong), not as their own ({wrong} wrong): the corpus's texts are shifted, "
            "mend its source"
        )


def _fitting(rows: Sequence[Hypothesis], lost: Sequence[int], step: int, objective: Objective) -> dict[int, int]:
    """{utterance: errors} of those lost ones that fit the text so many places further on; the first follows the last.

    A text of which more than half is wrong too doesn't fit, or else next to nothing recognized would fit any short text.
    """
    count = cache(count_errors)  # a few commands are the same few pairs again and again
    counted = {at: count(_reference(rows, at + step), rows[at].hypothesis, objective) for at in lost}
    return {at: found.errors for at, found in counted.items() if found.errors <= LOST * found.length}


def _is_beyond_chance(fitting: int, lost: int, by_chance: float) -> bool:
    """Whether more of the lost utterances fit than by chance, as texts of a few words (commands) do."""
    from scipy.stats import binom

    return bool(binom.sf(fitting - 1, lost, by_chance) < CHANCE / len(NEAR))


def _are_in_a_row(rows: Sequence[Hypothesis], fitting: Collection[int], steps: Sequence[int]) -> bool:
    """Whether most utterances that fit are followed by another, of those that can be told from their neighbors.

    A teacher that takes two for three in a list of numbers writes the next text each time too, but what follows is right.
    """
    told_apart = [at for at, row in enumerate(rows) if any(row.reference != _reference(rows, at + step) for step in steps)]
    return sum(at in fitting and after in fitting for at, after in pairwise(told_apart)) > len(fitting) / 2


def _reference(rows: Sequence[Hypothesis], at: int) -> str:
    return rows[at % len(rows)].reference
