"""The columns of a comparison in Markdown, on the terminal and on the page, made from the list of figures.

A figure that was not measured is "-"; a column without any figure is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.common.numbers import ABSENT, shown, with_range
from pipeline.compare.comparison import Row
from pipeline.compare.figures import BY_NAME, ENERGY, FIGURES, KINDS, TEXT, Figure

NOT_RESOLVED = "not resolved"  # energy below the resolution of the method
OF_TRAINING = ("train_energy_wh", "train_co2_g")  # which a meter may have read where it didn't read the inference
GPU = "GPU"  # follows a speed that is no CPU's
MODELED = "modeled"  # follows a figure of power that no meter measured
SPLIT, SHRINKS = ("precision_saves_mb", "rest_mb"), ("shrink_by_params", "shrink_by_precision", "shrink_by_rest")
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
        if figure.name in _COMBINED:
            columns.append(_COMBINED[figure.name])
        elif figure.heading:
            columns.append(_column(figure, objective))
        if figure.name == objective:
            columns += [_column(figure, objective, test) for test in more_tests]
    ranks = {"champion": 3, "passes": 2, "undecided": 1, "fails": 0, "peer": 0, "gpu": 0, "untrained": None}
    return [*columns, Column("Gate", standing, lambda row: ranks[standing(row)], "whether the variant keeps the budget")]


def standing(row: Row) -> str:
    """The verdict of the gate in one word, or what says more: champion, or the kind of a scheme that isn't our own."""
    if row.gate.passed is not None and row.kind != "own":
        return row.kind
    return "champion" if row.champion else row.gate.word


def with_model(value: float | None, ends: Sequence[float | None] | None, show: Callable[[float | None], str]) -> str:
    """A figure of power: as a meter measured it, or called modeled and with its range: 0.103 [0.0594, 0.178] modeled."""
    low, high = ends or (None, None)
    return show(value) if value is None or low is None else f"{with_range(value, low, high, show)} {MODELED}"


def split_of_the_size(row: Row) -> str:
    """The parameters at 4 bytes, minus what precision saves, plus the rest, in MB: 1.88 - 1.19 + 0.08."""
    if (saves := row["precision_saves_mb"]) is None:
        return ABSENT
    return f"{row.known('weights_mb') + saves:.2f} - {round(saves, 2) + 0.0:.2f} + {row.known('rest_mb'):.2f}"


def split_of_the_gain(row: Row) -> str:
    """What fewer parameters, their precision and the rest of the folder give; their product is shrink: 4.10x 2.74x 0.89x."""
    return ABSENT if row[SHRINKS[0]] is None else " ".join(BY_NAME[name].show(row[name]) for name in SHRINKS)


def _column(figure: Figure, objective: str, test: str = "") -> Column:
    """The column of a figure, with its interval where it has one; `test` is a further test set."""
    suffix, has_ends = f"/{test}" if test else "", f"{figure.name}_low" in BY_NAME
    key, low, high = (f"{figure.name}{end}{suffix}" for end in ("", "_low", "_high"))
    if figure.power:
        return Column(figure.heading, partial(_power, figure), partial(_told, figure), figure.about, figure.page_only)

    def show(row: Row) -> str:
        text = with_range(row[key], row[low], row[high], figure.show) if has_ends else figure.show(row[key])
        return f"{text} {GPU}" if row.device != "cpu" and figure.is_speed and row[key] is not None else text

    name = f"{figure.heading} {test}" if test else figure.heading + (" [95%]" if figure.name in (objective, "speedup") else "")
    about = figure.about + (f", {f'test set {test}' if test else 'first test set'}" if figure.source == TEXT else "")
    about += ", with 95% interval" if has_ends else ""
    return Column(name, show, lambda row: row[key], about, figure.page_only)


def _power(figure: Figure, row: Row) -> str:
    """The text of a figure of power."""
    if figure.name == ENERGY and row.energy_resolved is False:
        return NOT_RESOLVED
    return with_model(_told(figure, row), (row[f"{figure.name}_low"], row[f"{figure.name}_high"]), figure.show)


def _told(figure: Figure, row: Row) -> float | None:
    """A figure of power; None where it is not resolved, or is a modeled one without a range, which older files have."""
    value = row[figure.name]
    if figure.name == ENERGY and row.energy_resolved is False:
        return None
    is_old = row.is_modeled and row[f"{figure.name}_low"] is None and figure.name not in OF_TRAINING
    return None if value and is_old else value


def _sum_of_kinds(row: Row) -> float | None:
    counts = [count for kind in KINDS if (count := row[kind]) is not None]
    return sum(counts) if len(counts) == len(KINDS) else None


def _kinds(row: Row) -> str:
    return ABSENT if _sum_of_kinds(row) is None else " / ".join(shown(row[kind], "d") for kind in KINDS)


# Figures that share a column, by the first of them, in whose place it stands.
_COMBINED = {
    KINDS[0]: Column(
        "Sub / del / ins", _kinds, _sum_of_kinds, "words substituted, deleted and inserted, first test set", page_only=True
    ),
    SPLIT[0]: Column(
        "Size split, MB",
        split_of_the_size,
        lambda row: row["precision_saves_mb"],
        "parameters at 4 bytes each, minus what a lower precision saves, plus the rest of the folder (graph, vocabulary, JSON, "
        "language model)",
        page_only=True,
    ),
    SHRINKS[0]: Column(
        "Smaller by params, precision, rest",
        split_of_the_gain,
        lambda row: row[SHRINKS[0]],
        "how much fewer parameters, fewer bytes for each, and the rest of the folder make it smaller; multiplied: Smaller",
    ),
}
