"""The columns of a comparison in Markdown, on the terminal and on the page, made from the list of figures.

A figure that was not measured is "-"; a column without any figure is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.common.numbers import ABSENT, shown, with_range
from pipeline.compare.comparison import Row
from pipeline.compare.figures import BY_NAME, FIGURES, KINDS, TEXT, Figure

NOT_RESOLVED = "not resolved"  # energy below the resolution of the method
ENERGY = "energy_wh_per_audio_hour"
ESSENTIAL = ("Variant", "WER % [95%]", "Rise, points", "MB", "Smaller", "p50 ms", "Faster [95%]", "Gate")


@dataclass(frozen=True)
class Column:
    """A column: its heading, the text and the value to sort by (None: not measured) of each row, and its meaning."""

    name: str
    show: Callable[[Row], str]
    value: Callable[[Row], float | str | None]
    about: str
    page_only: bool = False


def of(rows: Sequence[Row]) -> list[Column]:
    """The columns that these rows have figures for, including those of further test sets."""
    return [
        column for column in known(rows[0].more_tests, rows[0].objective) if any(column.value(row) is not None for row in rows)
    ]


def known(more_tests: Sequence[str] = (), objective: str = "wer") -> list[Column]:
    """All columns, in the order in which they are shown."""
    columns = [Column("Variant", lambda row: row.variant, lambda row: row.variant, "MODEL.SCHEME, its folder in variants/")]
    for figure in FIGURES:
        if figure.objective not in ("", objective):
            continue
        if figure.name == KINDS[0]:
            columns.append(_KINDS)
        elif figure.name == ENERGY:
            columns.append(Column(figure.heading, energy, lambda row: row.energy, figure.about))
        elif figure.heading:
            columns.append(_column(figure, objective))
        if figure.name == objective:
            columns += [_column(figure, objective, test) for test in more_tests]
    ranks = {"champion": 2, "passes": 1, "fails": 0, "peer": 0, "untrained": None}
    return [*columns, Column("Gate", standing, lambda row: ranks[standing(row)], "whether the variant keeps the budget")]


def standing(row: Row) -> str:
    """The verdict of the gate in one word."""
    if row.gate.passed is None:
        return "untrained"
    if row.kind == "peer":
        return "peer"
    return ("champion" if row.champion else "passes") if row.gate.passed else "fails"


def energy(row: Row) -> str:
    """Wh per hour of audio as it is shown."""
    return NOT_RESOLVED if row.energy_resolved is False else BY_NAME[ENERGY].show(row.energy)


def _column(figure: Figure, objective: str, test: str = "") -> Column:
    """The column of a figure, with its interval where it has one; `test` is a further test set."""
    suffix, has_ends = f"/{test}" if test else "", f"{figure.name}_low" in BY_NAME
    key, low, high = (f"{figure.name}{end}{suffix}" for end in ("", "_low", "_high"))

    def show(row: Row) -> str:
        return with_range(row[key], row[low], row[high], figure.show) if has_ends else figure.show(row[key])

    name = f"{figure.heading} {test}" if test else figure.heading + (" [95%]" if figure.name in (objective, "speedup") else "")
    about = figure.about + (f", {f'test set {test}' if test else 'first test set'}" if figure.source == TEXT else "")
    about += ", with 95% interval" if has_ends else ""
    return Column(name, show, lambda row: row[key], about, figure.page_only)


def _sum_of_kinds(row: Row) -> float | None:
    counts = [count for kind in KINDS if (count := row[kind]) is not None]
    return sum(counts) if len(counts) == len(KINDS) else None


def _kinds(row: Row) -> str:
    return ABSENT if _sum_of_kinds(row) is None else " / ".join(shown(row[kind], "d") for kind in KINDS)


_KINDS = Column(
    "Sub / del / ins", _kinds, _sum_of_kinds, "words substituted, deleted and inserted, first test set", page_only=True
)
