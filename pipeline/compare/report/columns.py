"""The columns that a comparison is shown in, for Markdown, terminal and page: made of the list of figures.

A figure that was not measured is "-", and a column for which no variant has a figure is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.common.numbers import ABSENT, shown
from pipeline.compare.comparison import Row
from pipeline.compare.figures import BY_NAME, FIGURES, KINDS, TEXT, Figure

NOT_RESOLVED = "not resolved"  # energy below what the method can tell
ENERGY = "energy_wh_per_audio_hour"


@dataclass(frozen=True)
class Column:
    """A heading, what a row shows beneath it, what it is sorted by (None: no figure), and what it means."""

    name: str
    show: Callable[[Row], str]
    value: Callable[[Row], float | str | None]
    about: str
    page_only: bool = False


def of(rows: Sequence[Row]) -> list[Column]:
    """The columns that these rows have figures for, those of further test sets among them."""
    return [column for column in known(rows[0].more_tests) if any(column.value(row) is not None for row in rows)]


def known(more_tests: Sequence[str] = ()) -> list[Column]:
    """All columns, in the order they are shown in."""
    columns = [Column("Variant", lambda row: row.variant, lambda row: row.variant, "MODEL.SCHEME, its folder in variants/")]
    for figure in FIGURES:
        if figure.name == KINDS[0]:
            columns.append(_KINDS)
        elif figure.name == ENERGY:
            columns.append(Column(figure.heading, energy, lambda row: row.energy, figure.about))
        elif figure.heading:
            columns.append(_column(figure))
        if figure.name == "wer":
            columns += [_column(figure, test) for test in more_tests]
    places = {"champion": 2, "passes": 1, "fails": 0, "peer": 0, "untrained": None}
    return [*columns, Column("Gate", standing, lambda row: places[standing(row)], "does it keep the budget")]


def standing(row: Row) -> str:
    if row.gate.passed is None:
        return "untrained"
    if row.kind == "peer":
        return "peer"
    return ("champion" if row.champion else "passes") if row.gate.passed else "fails"


def energy(row: Row) -> str:
    """Wh per audio hour as it is shown: measured and resolved, or why not."""
    return NOT_RESOLVED if row.energy_resolved is False else BY_NAME[ENERGY].show(row.energy)


def with_range(value: float | None, low: float | None, high: float | None, show: Callable[[float | None], str]) -> str:
    """A figure and, where both ends are known, its interval: 3.47 [1.91, 5.27]."""
    return show(value) + ("" if low is None or high is None else f" [{show(low)}, {show(high)}]")


def _column(figure: Figure, test: str = "") -> Column:
    """The column of a figure, with its interval where it has one; `test` is a further test set."""
    suffix, has_ends = f"/{test}" if test else "", f"{figure.name}_low" in BY_NAME
    keys = [f"{figure.name}{end}{suffix}" for end in (("", "_low", "_high") if has_ends else ("",))]

    def show(row: Row) -> str:
        return with_range(*(row[key] for key in keys), figure.show) if has_ends else figure.show(row[keys[0]])

    name = f"{figure.heading} {test}" if test else figure.heading + (" [95%]" if figure.name in ("wer", "speedup") else "")
    about = figure.about + (f", {f'test set {test}' if test else 'first test set'}" if figure.source == TEXT else "")
    about += ", with 95% interval" if has_ends else ""
    return Column(name, show, lambda row: row[keys[0]], about, figure.page_only)


def _sum_of_kinds(row: Row) -> float | None:
    counts = [row[kind] for kind in KINDS]
    return None if None in counts else sum(counts)


def _kinds(row: Row) -> str:
    return ABSENT if _sum_of_kinds(row) is None else " / ".join(shown(row[kind], "d") for kind in KINDS)


_KINDS = Column(
    "Sub / del / ins", _kinds, _sum_of_kinds, "words substituted, deleted and inserted, first test set", page_only=True
)
