"""The answers of a comparison, defined here alone: which variants a person may choose, and what each costs and gains.

Decision: one champion hides a choice, so there are up to six answers, each the best of those within the budget (teacher.fp32
and peers aside) for one purpose of PURPOSES. A variant that is best for several purposes is one answer. Answers are ordered by
their errors on gate; each is measured against teacher.fp32 and against the one before it that gains most, which is the price
of going further. Errors are those of the first test set, which chose none of them. reports/answers.json holds all of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.benchmark.timings import REFERENCE
from pipeline.compare.comparison import Row, champion_of, untrained
from pipeline.compare.inputs import Evidence
from pipeline.compare.rows import best_of, gain_to_choose, within_budget
from pipeline.evaluate import wer
from pipeline.speech.corpus import GATE
from pipeline.speech.scoring import UNITS

NEAREST = "nearest"
AS_SMALL = 0.99  # two exports of one shape differ by some bytes
PURPOSES = {
    "no measurable rise on gate": "as the champion, of those whose paired 95% interval of the rise includes 0, or less",
    "fewer errors on gate": "as the champion, of those with fewer errors on gate than it",
    "champion": "the largest gain by gate.prefer: speed, size, or the smaller; of gains alike, the largest product of both",
    "smallest": "the fewest megabytes; of those within a hundredth of them, the fewest errors on gate",
    "fastest": "the shortest time for the same utterances",
    "cheapest": "the least energy per hour of audio where a meter measured it for all of them, else the shortest time",
    NEAREST: "none keeps the budget: the least too large or slow; of those that fit, the lowest bound of the rise on gate",
}


@dataclass(frozen=True)
class Difference:
    """A variant against another one, `other`.

    `wrong` and `other_wrong` are errors in the `length` units (words or characters) of the test set; `rise` is the error rate
    minus the other's, a fraction, with its paired 95% interval. `smaller` and `faster` are ratios; the interval of `faster`
    is None where the two were not timed against each other: the intervals of their speedups then tell whether the difference is
    measurable.
    """

    other: str
    test: str
    unit: str
    length: int
    wrong: int
    other_wrong: int
    rise: float
    rise_low: float
    rise_high: float
    disk_mb: float
    other_disk_mb: float
    smaller: float
    latency_p50_ms: float
    other_latency_p50_ms: float
    faster: float
    faster_low: float | None
    faster_high: float | None
    is_faster_measurable: bool

    @property
    def is_rise_measurable(self) -> bool:
        """Whether the interval leaves no doubt that the error rates differ."""
        return not self.rise_low <= 0 <= self.rise_high


@dataclass(frozen=True)
class Answer:
    """A variant with what it is best for; `passed`: whether it keeps the budget.

    `against`: teacher.fp32 and, except for the first answer, that of the answers before it which gains most.
    """

    variant: str
    best_for: Sequence[str]
    passed: bool
    against: Sequence[Difference]


def answers(rows: Sequence[Row], evidence: Evidence, prefer: str) -> list[Answer]:
    """The answers in the order of their errors on gate; [] for UNTRAINED models, and where there is none but the teacher."""
    if untrained(rows):
        return []
    reference, objective = evidence.scores[REFERENCE].sets[GATE], evidence.objective
    no_rise = {
        row.variant
        for row in within_budget(rows)
        if wer.paired_interval(reference, evidence.scores[row.variant].sets[GATE], objective)[0] <= 0
    }
    chosen = choose(rows, no_rise, prefer)
    by_name = {row.variant: row for row in rows}
    found: list[Answer] = []
    for name, purposes in chosen.items():
        before = max(found, key=lambda answer: gain_to_choose(by_name[answer.variant], prefer) or 0.0, default=None)
        others = [REFERENCE, *([before.variant] if before else [])]
        against = [_difference(by_name[name], by_name[other], evidence) for other in others]
        found.append(Answer(name, purposes, by_name[name].gate.passed is True, against))
    return found


def nearest(rows: Sequence[Row]) -> Row | None:
    """The least too large or too slow; of those that are neither, the one with the lowest bound of the rise on gate."""
    own = [row for row in rows if row.kind == "own" and row.variant != REFERENCE]
    return min(own, key=lambda row: (row.gate.times_over or 0.0, row.known(f"{row.objective}_rise_upper")), default=None)


def choose(rows: Sequence[Row], no_rise: set[str], prefer: str) -> dict[str, list[str]]:
    """{variant: the purposes it is best for}, ordered by errors on gate; `no_rise`: those without a measurable rise.

    Of two that are equally good for a purpose, the one with fewer errors on gate is taken, then the faster, the smaller, the
    first. A purpose that nothing fits is left out. Where nothing keeps the budget, the one answer is the nearest.
    """
    passing, champion = within_budget(rows), champion_of(rows)
    if not passing:
        near = nearest(rows)
        return {near.variant: [NEAREST]} if near else {}
    gains = {row.variant: gain_to_choose(row, prefer) for row in passing}
    is_metered = all(row.energy is not None for row in [rows[0], *passing])
    safer = [row for row in passing if champion and _errors(row) < _errors(champion)]
    fastest = _most(passing, lambda row: row["speedup_to_choose"], over=1.0)
    found = {
        "no measurable rise on gate": best_of([row for row in passing if row.variant in no_rise], prefer),
        "fewer errors on gate": best_of(safer, prefer),
        "champion": champion,
        "smallest": _most(passing, lambda row: row["shrink"], over=1.0, alike=AS_SMALL),
        "fastest": fastest,
        "cheapest": _most(passing, lambda row: -(row.energy or 0.0), over=-(rows[0].energy or 0.0)) if is_metered else fastest,
    }
    best: dict[str, list[str]] = {}
    for purpose, answer in found.items():
        if answer:
            best.setdefault(answer.variant, []).append(purpose)
    order = sorted((row for row in passing if row.variant in best), key=lambda row: (_errors(row), gains[row.variant] or 0.0))
    return {row.variant: best[row.variant] for row in order}


def _most(rows: Sequence[Row], figure: Callable[[Row], float | None], over: float, alike: float = 1.0) -> Row | None:
    """The row with the most of a figure, of those that have more than the teacher's, `over`; what is above `alike` of the most
    counts as equal to it."""
    known = [(value, row) for row in rows if (value := figure(row)) is not None and value > over]
    least = alike * max((value for value, _ in known), default=0.0)
    return max((row for value, row in known if value >= least), key=_quality, default=None)


def _errors(row: Row) -> float:
    return row.known(f"gate_{row.objective}")


def _quality(row: Row) -> tuple[float, float, float]:
    return -_errors(row), row["speedup_to_choose"] or 0.0, -(row["disk_mb"] or 0.0)


def _difference(row: Row, other: Row, evidence: Evidence) -> Difference:
    test, objective = evidence.test_sets[0], evidence.objective
    mine, theirs = (evidence.scores[each.variant].sets[test] for each in (row, other))
    low, high = wer.paired_interval(theirs, mine, objective)
    (wrong, length), (other_wrong, _) = (
        map(sum, zip(*(each.counts(objective) for each in score.hypotheses), strict=True)) for score in (mine, theirs)
    )
    faster, faster_low, faster_high, differs = _faster(row, other, evidence)
    return Difference(
        other.variant, test, UNITS[objective], length, wrong, other_wrong,
        row.known(objective) - other.known(objective), low, high,
        row.known("disk_mb"), other.known("disk_mb"), other.known("disk_mb") / row.known("disk_mb"),
        row.known("latency_p50_ms"), other.known("latency_p50_ms"), faster, faster_low, faster_high, differs,
    )  # fmt: skip


def _faster(row: Row, other: Row, evidence: Evidence) -> tuple[float, float | None, float | None, bool]:
    """How much faster, the ends of the interval, and whether that can be told from no difference."""
    timed: Mapping[str, Sequence[float]] = evidence.timings.variants[row.variant].speedups
    if other.variant in timed:
        estimate, low, high = timed[other.variant]
        return estimate, low, high, not low <= 1 <= high
    mine, theirs = ([each.known(f"speedup{end}") for end in ("", "_low", "_high")] for each in (row, other))
    return mine[0] / theirs[0], None, None, mine[1] > theirs[2] or mine[2] < theirs[1]
