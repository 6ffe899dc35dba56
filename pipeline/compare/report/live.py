"""The errors of live recognition against its latency, for the page and for Markdown.

A word is certain a chunk and a right context after it was spoken, plus the time to compute a window: that is interpolated from
the benchmark's latencies by length of audio, and missing where they don't reach so far down.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.common.numbers import percent, shown
from pipeline.compare.comparison import Row
from pipeline.compare.inputs import Evidence
from pipeline.compare.report import plots
from pipeline.compare.report.page.parts import Cell, Line, Section, Table, Text
from pipeline.evaluate.scores import LiveScore


def table(rows: Sequence[Row], evidence: Evidence) -> tuple[list[str], list[list[str]]]:
    """Headings and cells, one line per variant and right context; no lines where `evaluate.live` asks for none."""
    rate = evidence.objective
    heads = [
        "Variant",
        "Right context, s",
        "Latency, s",
        "and compute, ms",
        f"{rate.upper()} %",
        "Rise over files, points [95%]",
    ]
    cells = [
        [row.timed_as, f"{live.right:g}", f"{live.chunk + live.right:.2f}", shown(_compute(row, live), ".1f"),
         percent(getattr(live, rate)), f"{100 * live.rise:+.2f} [{100 * live.rise_low:+.2f}, {100 * live.rise_high:+.2f}]"]
        for row in rows
        for live in evidence.scores[row.variant].live
    ]  # fmt: skip
    return heads, cells


def about(evidence: Evidence) -> str:
    """What the table is of."""
    first = next(score.live[0] for score in evidence.scores.values() if score.live)
    return (
        f"The first test set heard live, in chunks of {first.chunk:g} s with {first.left:g} s before each "
        "(docs/live.md). Latency: from a word until it is certain; intervals are paired with those of whole files."
    )


def section(rows: Sequence[Row], evidence: Evidence) -> Section:
    """The section, empty where `evaluate.live` asks for none."""
    heads, cells = table(rows, evidence)
    lines = [Line(name, [Cell(cell) for cell in others]) for name, *others in cells]
    parts = (
        [Text(about(evidence)), Table("Errors of live recognition", heads, lines)] if lines and not evidence.untrained else []
    )
    return Section("live", "Live: errors against latency", parts)


def _compute(row: Row, live: LiveScore) -> float | None:
    """Milliseconds for one window."""
    timed, window = plots.lengths(row), live.left + live.chunk + live.right
    if not timed or not timed[0][0] <= window <= timed[-1][0]:
        return None
    seconds, milliseconds = zip(*timed, strict=True)
    return float(np.interp(window, seconds, milliseconds))
