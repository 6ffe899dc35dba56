"""The answers of a comparison in words: what each gains and loses against the teacher and against the best before it.

A difference that its interval can't tell from none is followed by "may be chance".
"""

from collections.abc import Sequence

from pipeline.common import tables
from pipeline.common.numbers import faster, points, smaller
from pipeline.compare.answers import PURPOSES, Answer, Difference
from pipeline.compare.comparison import Row
from pipeline.compare.report import plots

CHANCE = "may be chance"
MORE = 1.1  # times the teacher's milliseconds, which are medians of a few transcriptions
CURSE = (
    "The best of many measurements looks better than it is (winner's curse), so it was chosen by other timings than these; "
    "its errors on {} chose none of these variants."
)
BESIDE = "On {0} {1} rises by {2} points, above gate's bound of {3}: it holds for speech like gate's, and {0} is other speech."


def best_for(answer: Answer, prefer: str) -> str:
    """ "Best of both (champion), smallest"."""
    names = {"fewer errors on gate": "fewer errors on gate than the champion"}
    names |= {"champion": "best of both (champion)"} if prefer == "both" else {}
    text = ", ".join(names.get(purpose, purpose) for purpose in answer.best_for)
    return text[:1].upper() + text[1:] + ("" if answer.passed else " (over the budget)")


def figures(answer: Answer) -> str:
    """ "0.77 MB, 1.0 ms, 47 of 634 words wrong"."""
    own = answer.against[0]
    return f"{own.disk_mb:.2f} MB, {own.latency_p50_ms:.1f} ms, {own.wrong:,} of {own.length:,} {own.unit} wrong"


def against(found: Difference) -> str:
    """ "Against teacher.fp32: " and `differences`."""
    return f"Against {found.other}: {differences(found)}"


def differences(found: Difference) -> str:
    """ "4% faster (median 4.2 against 4.4 ms), 3.1x smaller (...), 76% more word errors (...): +2.52 points [+0.95, +4.21]"."""
    ms = f"median {found.latency_p50_ms:.1f} against {found.other_latency_p50_ms:.1f} ms"
    mb = f"{found.disk_mb:.2f} against {found.other_disk_mb:.2f} MB"
    chance = "" if found.is_faster_measurable else f", {CHANCE}"
    return f"{faster(found.faster)} ({ms}{chance}), {smaller(found.smaller)} ({mb}), {_errors(found)}"


def _errors(found: Difference) -> str:
    """ "76% more word errors (37 against 21 in 634 words): +2.52 points [+0.95, +4.21]"."""
    kind, mine, theirs = f"{found.unit[:-1]} errors", found.wrong, found.other_wrong
    counts = f"{mine:,}{'' if mine == theirs else f' against {theirs:,}'} in {found.length:,} {found.unit} of {found.test}"
    if mine == theirs:
        how = f"as many {kind}"
    elif theirs == 0:
        how = kind
    else:
        how = f"{abs(mine / theirs - 1):.0%} {'more' if mine > theirs else 'fewer'} {kind}"
    chance = "" if found.is_rise_measurable or mine == theirs else f", {CHANCE}"
    return f"{how} ({counts}): {points(found.rise)} points [{points(found.rise_low)}, {points(found.rise_high)}]{chance}"


def beside(row: Row, teacher: Row, test: str) -> str:
    """What has to stand beside the figures of a variant that is recommended; "" where nothing does."""
    return " ".join(filter(None, [_above_the_bound(row, test), _slower_at(row, teacher)]))


def _above_the_bound(row: Row, test: str) -> str:
    """The remark that a bound of gate needs where the rise of test beside it is larger."""
    rise, bound = row[f"{row.objective}_rise"], row[f"{row.objective}_rise_upper"]
    if rise is None or bound is None or rise <= bound:
        return ""
    return BESIDE.format(test, row.objective.upper(), points(rise), points(bound))


def _slower_at(row: Row, teacher: Row) -> str:
    """The lengths of audio at which a variant that is faster on the test's utterances took longer than the teacher."""
    others = dict(plots.lengths(teacher))
    slower = [(seconds, ms, others[seconds]) for seconds, ms in plots.lengths(row) if ms > MORE * others.get(seconds, ms)]
    if not slower or (row["speedup"] or 0) <= 1:
        return ""
    lengths = ", ".join(f"{seconds:g} s ({ms:.1f} against {other:.1f} ms)" for seconds, ms, other in slower)
    return f"On audio of {lengths} it was slower than {teacher.variant}: Faster is of utterances as long as the test's."


def purposes(found: Sequence[Answer]) -> list[tuple[str, str]]:
    """[(purpose, how it is chosen)] of these answers."""
    named = {purpose for answer in found for purpose in answer.best_for}
    return [(purpose, about) for purpose, about in PURPOSES.items() if purpose in named]


def facts(found: Sequence[Answer], prefer: str) -> list[tuple[str, str]]:
    """One fact per answer for the table on the terminal, with the price of the step from the best before it."""
    return [
        ("Answer", f"{best_for(each, prefer)}: {each.variant}, {figures(each)}. {against(each.against[-1])}.") for each in found
    ]


def markdown(found: Sequence[Answer], prefer: str) -> list[str]:
    """The section of comparison.md."""
    lines = []
    for answer in found:
        lines.append(f"- **{best_for(answer, prefer)}: {tables.escaped(answer.variant)}**: {figures(answer)}")
        lines += [f"  - {tables.escaped(against(each))}" for each in answer.against]
    return ["", "Answers, beginning with the fewest errors on gate:", "", *lines] if lines else []
