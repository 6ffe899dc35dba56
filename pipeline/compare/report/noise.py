"""The errors in noise, for the page and for Markdown: one line per variant, one column per ratio of speech to noise."""

from collections.abc import Sequence

from pipeline.common.numbers import percent, with_range
from pipeline.compare.comparison import Row
from pipeline.compare.inputs import Evidence
from pipeline.compare.report.page.parts import Cell, Line, Section, Table, Text
from pipeline.evaluate.scores import NoisyScore, SetScore

ABOUT = (
    "The first test set with white noise, by how many dB it lies below each utterance (evaluate.noise_snr_db): "
    "{} in percent, with its 95% interval. The noise is the same for all variants."
)


def table(rows: Sequence[Row], evidence: Evidence) -> tuple[list[str], list[list[str]]]:
    """Headings and cells; no lines where `evaluate.noise_snr_db` asks for none."""
    rate, scores = evidence.objective, {row.variant: evidence.scores[row.variant] for row in rows}
    ratios = [noisy.snr_db for noisy in scores[rows[0].variant].noisy]
    heads = ["Variant", "as recorded", *(f"{ratio:g} dB" for ratio in ratios)]
    cells = [
        [name, _shown(score.sets[score.first_test], rate), *(_shown(noisy, rate) for noisy in score.noisy)]
        for name, score in scores.items()
    ]
    return heads, cells if ratios else []


def section(rows: Sequence[Row], evidence: Evidence) -> Section:
    """The section, empty where `evaluate.noise_snr_db` asks for none."""
    heads, cells = table(rows, evidence)
    lines = [Line(name, [Cell(cell) for cell in others]) for name, *others in cells]
    parts = [Text(ABOUT.format(evidence.objective.upper())), Table("Errors in noise", heads, lines)]
    return Section("noise", "In noise", parts if lines and not evidence.untrained else [])


def _shown(of: SetScore | NoisyScore, rate: str) -> str:
    value, low, high = (getattr(of, f"{rate}{end}") for end in ("", "_low", "_high"))
    return with_range(value, low, high, percent)
