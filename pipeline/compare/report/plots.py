"""The comparison as pictures: Pareto plots, training curves, latency by length, and the CSV files that `dvc plots` draws.

A panel for the page is as wide as a phone, so that its text has the same size there. A point's tooltip names it.
"""

import csv
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.common.numbers import percent, shown
from pipeline.compare.comparison import Row, champion_of, untrained
from pipeline.compare.figures import BY_NAME, ENERGY
from pipeline.compare.report import labels, looks
from pipeline.compare.report.drawing import LEGEND, figure, log_scale, own_ids, styled, svg
from pipeline.compare.report.labels import Named
from pipeline.compare.report.looks import INK, OTHERS, Looks

NAMES = ("variant", "model", "scheme", "runtime")
RATES = ("error_rate", "error_rate_low", "error_rate_high", "gate_error_rate")  # WER or CER, by the corpus's objective
TABLE = (
    *NAMES, *RATES, "disk_mb", "shrink",
    "latency_p50_ms", "speedup", "ram_mb", ENERGY,
)  # fmt: skip
AXES = ("disk_mb", "latency_p50_ms", ENERGY)  # the error rate is drawn against each of these
WIDTH = HEIGHT = 316.8  # of a Pareto panel, in points
LONG_NAME = 14  # letters, of which three columns have room
MOST_POINTS = 300  # at most, per curve; more than a phone has pixels for


def tables(folder: Path, rows: Sequence[Row], curves: dict[str, list[dict]], models: Sequence[str]) -> None:
    """variants.csv, one row per variant; loss.csv and dev_error_rate.csv, one row per model and step that has the figure.

    What `dvc plots` draws has one name for WER and CER: dvc.yaml doesn't know which of them decides. Models come in the order
    of `models`, by which the templates color them.
    """
    ordered = sorted(rows, key=lambda row: models.index(row.model))
    lines = [[getattr(row, key) if key in NAMES else at(row, _decisive(key, row)) for key in TABLE] for row in ordered]
    _write_csv(folder / "variants.csv", TABLE, lines)
    for name, key in (("loss", "loss"), ("dev_error_rate", f"dev_{rows[0].objective}")):
        known = sorted(curves, key=models.index)
        steps = [(model, *point) for model in known for point in series(curves[model], key)]
        if steps:
            _write_csv(folder / f"{name}.csv", ("model", "step", name), steps)


def _decisive(key: str, row: Row) -> str:
    """The key of a figure of the table: gate_error_rate -> gate_wer."""
    return key.replace("error_rate", row.objective) if key in RATES else key


def series(curve: list[dict], key: str) -> list[tuple[int, float]]:
    """[(step, figure)] of the steps of a training curve that have the figure."""
    return [(row["step"], row[key]) for row in curve if row.get(key) is not None]


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points [(x, rate)] that no other point beats in both, sorted by x; less is better in both."""
    best: list[tuple[float, float]] = []
    for x, rate in sorted(points):
        if not best or rate < best[-1][1]:
            best.append((x, rate))
    return best


def looks_of(rows: Sequence[Row], models: Sequence[str]) -> Looks:
    """The looks of this comparison; `models` are those of params.yaml in order."""
    best = [] if untrained(rows) else [row.model for key in AXES for row, *_ in _on_front(rows, key)]
    return looks.of(rows, models, [row.model for row in (rows[0], champion_of(rows)) if row] + best)


# ---------------------------------------------------------------- Pareto


def panels(rows: Sequence[Row], looks: Looks) -> dict[str, str]:
    """{key in AXES: SVG}, each point with a tooltip; a figure that no variant has, such as energy, has no panel.

    {} for UNTRAINED models, whose errors mean nothing.
    """
    if untrained(rows):
        return {}
    return {key: _pareto_panel(rows, key, looks) for key in AXES if points(rows, key)}


def pareto(drawn: dict[str, str]) -> str:
    """The panels side by side as one SVG file on white, for Markdown pages."""
    place = f'<svg x="{{x:g}}" width="{WIDTH}" height="{HEIGHT}"'
    parts = [own_ids(svg, key).replace("<svg", place.format(x=WIDTH * n), 1) for n, (key, svg) in enumerate(drawn.items())]
    width = f"{WIDTH * len(parts):g}"
    size = f'width="{width}pt" height="{HEIGHT}pt" viewBox="0 0 {width} {HEIGHT}"'
    head = f'<?xml version="1.0" encoding="utf-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])


@styled
def _pareto_panel(rows: Sequence[Row], key: str, looks: Looks) -> str:
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    models = dict.fromkeys(row.model for row in rows)
    colored = [model for model in looks.colors if model in models]
    others, schemes = len(models) - len(colored), len(looks.markers)
    above, below = _columns(colored), _columns(looks.markers)
    under = _legend_height(schemes, below)
    foot = 0.13 + under + _legend_height(len(colored) + bool(others), above)
    drawn = figure(WIDTH / 72, HEIGHT / 72)
    axes = drawn.add_axes((0.13, foot, 0.84, 0.97 - foot))
    named = {row.variant for row in (rows[0], champion_of(rows), *(row for row, *_ in _on_front(rows, key))) if row}
    beside: list[Named] = []
    highest = 0.0
    for number, row in enumerate(rows):
        x = at(row, key)
        if not x:
            continue
        rate = 100 * row.known(row.objective)
        low, high = (rate if (end := row[f"{row.objective}_{which}"]) is None else 100 * end for which in ("low", "high"))
        highest = max(highest, high)
        marks = axes.errorbar(
            x,
            rate,
            yerr=[[max(0.0, rate - low)], [max(0.0, high - rate)]],
            linestyle="",
            marker=looks.markers[row.scheme],
            color=looks.color(row.model),
            alpha=None if row.model in looks.colors else 0.5,
            zorder=2 if row.model in looks.colors else 1,
            markersize=10 if row.champion else 6,
            markeredgecolor=INK if row.champion else "none",
            elinewidth=0.8,
            capsize=2,
        )
        marks.lines[0].set_gid(f"point_{number}")
        name = f"{row.variant}{' (champion)' if row.champion else ''}" if row.variant in named else ""
        beside.append(Named(name, x, rate, low, high))
    best = front([(x, 100 * rate) for _, x, rate in points(rows, key)])
    axes.step(*zip(*best, strict=True), where="post", color="gray", linewidth=1, linestyle="--", zorder=0)
    name = rows[0].objective
    log_scale(axes.xaxis)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set(xlabel=f"{BY_NAME[key].axis}, log scale", ylim=(0, 1.15 * highest or 1))
    axes.set_ylabel(f"{name.upper()} (%) with 95% interval", labelpad=2)
    axes.margins(x=0.2)
    axes.grid(True, which="major", alpha=0.25)
    colors = [Line2D([], [], color=looks.color(model), lw=5, label=model) for model in colored]
    colors += [Line2D([], [], color=OTHERS, lw=5, label=f"{others} other models")] if others else []
    shapes = [Line2D([], [], color="gray", ls="", marker=marker, label=scheme) for scheme, marker in looks.markers.items()]
    for handles, height, count in ((colors, under, above), (shapes, 0, below)):
        drawn.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, height), ncols=count, **LEGEND)
    labels.write(axes, beside, best)
    text = svg(drawn)
    for number, row in enumerate(rows):
        tooltip = f"{row.variant}: {name.upper()} {percent(row[name])}%, {shown(at(row, key), '.3g')} {BY_NAME[key].axis}"
        text = text.replace(f'<g id="point_{number}">', f'<g id="point_{number}"><title>{html.escape(tooltip)}</title>')
    return text


def _legend_height(count: int, columns: int) -> float:
    """As a part of the panel's."""
    return 0.018 + 0.033 * -(-count // columns)


def _columns(names: Iterable[str]) -> int:
    """The columns of a legend, so that none of its names is cut off."""
    return 3 if max(map(len, names), default=0) <= LONG_NAME else 2


def _on_front(rows: Sequence[Row], key: str) -> list[tuple[Row, float, float]]:
    best = front([(x, rate) for _, x, rate in points(rows, key)])
    return [point for point in points(rows, key) if point[1:] in best]


def at(row: Row, key: str) -> float | None:
    """The figure as it is plotted: energy only where a meter measured it, since a modeled one only follows time; a GPU's time
    and energy have no place beside a CPU's.
    """
    if row.device != "cpu" and key in BY_NAME and (BY_NAME[key].is_speed or key == ENERGY):
        return None
    return row.energy if key == ENERGY else row[key]


def points(rows: Sequence[Row], key: str) -> list[tuple[Row, float, float]]:
    """[(row, x, error rate)] of the rows with a place in the plot over `key`; its scale is logarithmic, so 0 has none."""
    return [(row, x, row.known(row.objective)) for row in rows if (x := at(row, key))]


# ---------------------------------------------------------------- curves


class Curve(NamedTuple):
    """A line [(x, y)] of a model; a gray one is counted with the other gray ones in the legend."""

    name: str
    model: str
    points: list[tuple[float, float]]
    marker: Any = ""
    width: float = 1.5


def curves(curves: dict[str, list[dict]], key: str, looks: Looks) -> str | None:
    """Loss or error rate on dev by step for the page, one line per model; only the scale of the rate is not logarithmic."""
    by_model = {model: series(curve, key) for model, curve in curves.items()}
    label = "training loss, log scale" if key == "loss" else f"dev {key.removeprefix('dev_').upper()} (%)"
    scale = 1 if key == "loss" else 100
    lines = [
        Curve(model, model, [(x, scale * y) for x, y in _thinned(points)], "o" if len(points) < 20 else "")
        for model, points in by_model.items()
        if points
    ]
    return _lines(lines, "step, log scale", label, looks, log_y=key == "loss") if lines else None


def by_length(rows: Sequence[Row], looks: Looks, one_thread: bool = False) -> str | None:
    """Latency over length of audio for the page, with a wide line for the champion; None where it was not measured."""
    lines = [
        Curve(row.timed_as, row.model, points, looks.markers[row.scheme], 3 if row.champion else 1)
        for row in rows
        if (points := lengths(row, one_thread))
    ]
    return _lines(lines, "length of audio (s), log scale", "latency (ms), log scale", looks, log_y=True) if lines else None


def lengths(row: Row, one_thread: bool = False) -> list[tuple[float, float]]:
    """[(seconds of audio, ms)] as measured, sorted; `one_thread`: with one thread instead of the benchmark's."""
    timed = row.latency_by_length_one_thread if one_thread else row.latency_by_length
    return sorted((float(seconds), ms) for seconds, ms in (timed or {}).items() if ms is not None)


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    every = -(-len(points) // MOST_POINTS)
    return [*points[:-1:every], points[-1]]


@styled
def _lines(lines: Sequence[Curve], x: str, y: str, looks: Looks, log_y: bool) -> str:
    colored = [line for line in lines if line.model in looks.colors]
    gray = [line for line in lines if line.model not in looks.colors]
    rows_of_names = -(-(len(colored) + bool(gray)) // 2)
    height = 3.2 + 0.19 * rows_of_names
    drawn = figure(4.4, height)
    foot = (0.55 + 0.19 * rows_of_names) / height
    axes = drawn.add_axes((0.14, foot, 0.83, 0.97 - foot))
    for number, line in enumerate([*colored, *gray]):
        is_gray = number >= len(colored)
        axes.plot(
            *zip(*line.points, strict=True),
            color=looks.color(line.model),
            zorder=1.9 if is_gray else 2,
            marker=line.marker,
            markersize=4.5,
            linewidth=0.5 if is_gray else line.width,
            label=line.name if not is_gray else f"{len(gray)} others" if number == len(colored) else None,
        )
    log_scale(axes.xaxis)
    if log_y:
        log_scale(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y, labelpad=2)
    axes.grid(True, which="major", alpha=0.25)
    drawn.legend(loc="lower left", bbox_to_anchor=(0, 0), handlelength=3, ncols=2, **LEGEND)
    return svg(drawn)


def _write_csv(path: Path, heads: tuple[str, ...], rows: Iterable) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([heads, *rows])
