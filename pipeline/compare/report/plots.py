"""The comparison as pictures: Pareto plots, training curves, latency by length, and the CSV files that `dvc plots` draws.

Matplotlib draws without a display, a date or a random id, so the same figures give the same bytes. A panel for the page is as
wide as a phone, so that its text has the same size there; its text and axes have the page's own color, and its other colors are
as far from white as from black, so that one picture works on light and on dark pages.

Decision: no two models of a panel look alike without a word. Where there are more of them than looks, the rest is gray, and
the legend counts it; a point's tooltip names it.
"""

import csv
import functools
import html
import io
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from markupsafe import Markup

from pipeline.common.numbers import percent, shown
from pipeline.compare.comparison import Row, untrained
from pipeline.compare.figures import BY_NAME
from pipeline.compare.report.columns import ENERGY

MARKERS = (
    *"osD^vP*X<>dhp8H",
    *((points, 1, 0) for points in (3, 4, 5, 6, 8, 10)),
)  # at least one per scheme; the last are stars
DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))
COLORS = ("#0072b2", "#d55e00", "#009e73", "#c45a96", "#7a5fd0", "#8a7a1f", "#5a7f8c", "#b0434b")
OTHERS = "#808080"  # of all that have no color of their own
INK = "#010203"  # text and axes; on the page it becomes the page's text color
LINES = [(COLORS[n % len(COLORS)], DASHES[(n + n // len(COLORS)) % len(DASHES)]) for n in range(len(COLORS) * len(DASHES))]
NAMES = ("variant", "model", "scheme", "runtime")
RATES = ("error_rate", "error_rate_low", "error_rate_high", "gate_error_rate")  # WER or CER, by the corpus's objective
TABLE = (
    *NAMES, *RATES, "disk_mb", "shrink",
    "latency_p50_ms", "speedup", "ram_mb", ENERGY,
)  # fmt: skip
AXES = ("disk_mb", "latency_p50_ms", ENERGY)  # the error rate is drawn against each of these
WIDTH = HEIGHT = 316.8  # of a Pareto panel, in points
MOST_POINTS = 300  # at most, per curve; more than a phone has pixels for

Look = TypeVar("Look")


def tables(folder: Path, rows: list[Row], curves: dict[str, list[dict]]) -> None:
    """variants.csv, one row per variant; loss.csv and dev_error_rate.csv, one row per model and step that has the figure.

    What `dvc plots` draws has one name for WER and CER: dvc.yaml doesn't know which of them decides.
    """
    lines = [[getattr(row, key) if key in NAMES else at(row, _decisive(key, row)) for key in TABLE] for row in rows]
    _write_csv(folder / "variants.csv", TABLE, lines)
    for name, key in (("loss", "loss"), ("dev_error_rate", f"dev_{rows[0].objective}")):
        steps = [(model, *point) for model, curve in curves.items() for point in series(curve, key)]
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


def _styled(draw: Callable[..., str]) -> Callable[..., str]:
    """`draw` with the page's color and font from beginning to end, because matplotlib reads its settings at every step."""

    @functools.wraps(draw)
    def drawn(*arguments: object, **named: object) -> str:
        import matplotlib

        with matplotlib.rc_context(
            {
                "svg.hashsalt": "bigfoot",
                "svg.fonttype": "none",
                "font.size": 9.5,
                "axes.facecolor": "none",
                "text.color": INK,
                "axes.edgecolor": INK,
                "axes.labelcolor": INK,
                "xtick.color": INK,
                "ytick.color": INK,
            }
        ):
            return draw(*arguments, **named)

    return drawn


# ---------------------------------------------------------------- Pareto


def panels(rows: list[Row]) -> dict[str, str]:
    """{key in AXES: SVG}, each point with a tooltip; a figure that no variant has, such as energy, has no panel.

    {} for UNTRAINED models, whose errors mean nothing.
    """
    if untrained(rows):
        return {}
    return {key: _pareto_panel(rows, key) for key in AXES if points(rows, key)}


def pareto(drawn: dict[str, str]) -> str:
    """The panels side by side as one SVG file on white, for Markdown pages."""
    place = f'<svg x="{{x:g}}" width="{WIDTH}" height="{HEIGHT}"'
    parts = [_own_ids(svg, key).replace("<svg", place.format(x=WIDTH * n), 1) for n, (key, svg) in enumerate(drawn.items())]
    width = f"{WIDTH * len(parts):g}"
    size = f'width="{width}pt" height="{HEIGHT}pt" viewBox="0 0 {width} {HEIGHT}"'
    head = f'<?xml version="1.0" encoding="utf-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])


@_styled
def _pareto_panel(rows: list[Row], key: str) -> str:
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    models, schemes = (list(dict.fromkeys(getattr(row, what) for row in rows)) for what in ("model", "scheme"))
    color_of, others = _looks(models, [row.model for row, *_ in _named(rows, key)], COLORS)
    lines = -(-(len(color_of) + bool(others)) // 3) + -(-len(schemes) // 3)
    foot = 0.13 + 0.042 * lines
    figure = _figure(WIDTH / 72, HEIGHT / 72)
    axes = figure.add_axes((0.13, foot, 0.84, 0.97 - foot))
    for number, row in enumerate(rows):
        x = at(row, key)
        if not x:
            continue
        rate, low, high = (100 * row.known(f"{row.objective}{end}") for end in ("", "_low", "_high"))
        drawn = axes.errorbar(
            x,
            rate,
            yerr=[[max(0.0, rate - low)], [max(0.0, high - rate)]],
            linestyle="",
            marker=MARKERS[schemes.index(row.scheme) % len(MARKERS)],
            color=color_of.get(row.model, OTHERS),
            alpha=None if row.model in color_of else 0.5,
            zorder=2 if row.model in color_of else 1,
            markersize=10 if row.champion else 6,
            markeredgecolor=INK if row.champion else "none",
            elinewidth=0.8,
            capsize=2,
        )
        drawn.lines[0].set_gid(f"point_{number}")
    best = front([(x, 100 * rate) for _, x, rate in points(rows, key)])
    axes.step(*zip(*best, strict=True), where="post", color="gray", linewidth=1, linestyle="--", zorder=0)
    name = rows[0].objective
    _log(axes.xaxis)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set(
        xlabel=f"{BY_NAME[key].axis}, log scale", ylim=(0, 1.1 * max(100 * row.known(f"{name}_high") for row in rows) or 1)
    )
    axes.set_ylabel(f"{name.upper()} (%) with 95% interval", labelpad=2)
    axes.margins(x=0.2)
    axes.grid(True, which="major", alpha=0.25)
    colors = [Line2D([], [], color=color, lw=5, label=model) for model, color in color_of.items()]
    colors += [Line2D([], [], color=OTHERS, lw=5, label=f"{others} other models")] if others else []
    shapes = [
        Line2D([], [], color="gray", ls="", marker=MARKERS[n % len(MARKERS)], label=scheme) for n, scheme in enumerate(schemes)
    ]
    for handles, height in ((colors, 0.042 * -(-len(schemes) // 3)), (shapes, 0)):
        figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, height), **_LEGEND)
    _name(axes, rows, key)
    svg = _svg(figure)
    for number, row in enumerate(rows):
        tooltip = f"{row.variant}: {name.upper()} {percent(row[name])}%, {shown(at(row, key), '.3g')} {BY_NAME[key].axis}"
        svg = svg.replace(f'<g id="point_{number}">', f'<g id="point_{number}"><title>{html.escape(tooltip)}</title>')
    return svg


def _looks(names: Sequence[str], first: Sequence[str], looks: Sequence[Look]) -> tuple[dict[str, Look], int]:
    """({name: its look}, the number of names that get none); where looks are too few, those in `first` come first."""
    ordered = names if len(names) <= len(looks) else list(dict.fromkeys([*first, *names]))
    return dict(zip(ordered, looks, strict=False)), max(0, len(names) - len(looks))


_LEGEND = {
    "ncols": 3,
    "frameon": False,
    "borderpad": 0.2,
    "handletextpad": 0.3,
    "columnspacing": 1.0,
    "labelspacing": 0.3,
    "fontsize": "small",
}


def _name(axes, rows: list[Row], key: str) -> None:
    """Write the names of `_named`, each inside the frame and, if possible, over no other."""
    from matplotlib.transforms import Bbox

    axes.get_xlim()  # makes matplotlib compute the limits, which decide the places
    frame, taken = axes.get_window_extent(), list[Bbox]()
    for row, x, rate in _named(rows, key):
        place = (x, 100 * rate)
        is_right = axes.transData.transform(place)[0] > (frame.x0 + frame.x1) / 2
        tries = [(height, right) for height in (5, -12, 17, -24, 29, -36, 41, 53) for right in (is_right, not is_right)]
        for height, right in tries:
            name = axes.annotate(
                row.variant + (" (champion)" if row.champion else ""),
                place, (-6 if right else 6, height), textcoords="offset points", ha="right" if right else "left",
            )  # fmt: skip
            box = name.get_window_extent()
            within = frame.x0 < box.x0 < box.x1 < frame.x1 and frame.y0 < box.y0 < box.y1 < frame.y1
            if (height, right) == tries[-1] or (within and not any(box.overlaps(other) for other in taken)):
                taken.append(Bbox(box))
                break
            name.remove()


def _named(rows: list[Row], key: str) -> list[tuple[Row, float, float]]:
    """The points of the teacher, the champion and the front."""
    best = front([(x, rate) for _, x, rate in points(rows, key)])
    return [(row, x, rate) for row, x, rate in points(rows, key) if row is rows[0] or row.champion or (x, rate) in best]


def at(row: Row, key: str) -> float | None:
    """The figure as it is plotted: energy only where it is above the noise."""
    return row.energy if key == ENERGY else row[key]


def points(rows: Sequence[Row], key: str) -> list[tuple[Row, float, float]]:
    """[(row, x, error rate)] of the rows with a place in the plot over `key`; its scale is logarithmic, so 0 has none."""
    return [(row, x, row.known(row.objective)) for row in rows if (x := at(row, key))]


# ---------------------------------------------------------------- curves


def curves(curves: dict[str, list[dict]], key: str) -> str | None:
    """Loss or error rate on dev by step for the page, one line per model; only the scale of the rate is not logarithmic.

    Where there are too many lines, those of the models that come first have their own look, here and in `by_length`.
    """
    by_model = {model: series(curve, key) for model, curve in curves.items()}
    label = "training loss, log scale" if key == "loss" else f"dev {key.removeprefix('dev_').upper()} (%)"
    scale = 1 if key == "loss" else 100
    lines = [(model, [(x, scale * y) for x, y in _thinned(points)], None) for model, points in by_model.items() if points]
    return _lines(lines, "step, log scale", label, log_y=key == "loss") if lines else None


def by_length(rows: Sequence[Row]) -> str | None:
    """Latency over length of audio for the page, with a wide line for the champion; None where it was not measured."""
    lines = [(row.variant, lengths(row), 3 if row.champion else 1) for row in rows if lengths(row)]
    if len(lines) > len(LINES):
        lines.sort(key=lambda line: line[2] == 1)
    return _lines(lines, "length of audio (s), log scale", "latency (ms), log scale", log_y=True) if lines else None


def lengths(row: Row) -> list[tuple[float, float]]:
    """[(seconds of audio, ms)] as measured, sorted."""
    timed = (row.latency_by_length or {}).items()
    return sorted((float(seconds), ms) for seconds, ms in timed if ms is not None)


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    every = -(-len(points) // MOST_POINTS)
    return [*points[:-1:every], points[-1]]


@_styled
def _lines(lines: list[tuple[str, list[tuple[float, float]], float | None]], x: str, y: str, log_y: bool) -> str:
    """One panel with the lines [(name, points, width or None)]."""
    look_of, others = _looks([name for name, *_ in lines], [], LINES)
    rows_of_names = -(-(len(look_of) + bool(others)) // 2)
    height = 3.2 + 0.19 * rows_of_names
    figure = _figure(4.4, height)
    foot = (0.55 + 0.19 * rows_of_names) / height
    axes = figure.add_axes((0.14, foot, 0.83, 0.97 - foot))
    for number, (name, points, width) in enumerate(lines):
        color, dashes = look_of.get(name, (OTHERS, "solid"))
        axes.plot(
            *zip(*points, strict=True),
            color=color,
            linestyle=dashes,
            zorder=2 if name in look_of else 1.9,
            marker="o" if len(points) < 20 else "",
            markersize=3.5,
            linewidth=(width or 1.5) if name in look_of else 0.5,
            label=name if name in look_of else f"{others} others" if number == len(look_of) else None,
        )
    _log(axes.xaxis)
    if log_y:
        _log(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y, labelpad=2)
    axes.grid(True, which="major", alpha=0.25)
    figure.legend(loc="lower left", bbox_to_anchor=(0, 0), handlelength=3, **{**_LEGEND, "ncols": 2})
    return _svg(figure)


# ---------------------------------------------------------------- drawing


def inline(svg: str, name: str, about: str) -> Markup:
    """An SVG file as HTML: with ids of its own, the page's text color, and a text for readers who do not see it."""
    svg = _own_ids(svg, name).replace(INK, "currentColor")
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(about)}"', 1))


def _own_ids(svg: str, name: str) -> str:
    """The <svg> element of a file without width and height, its ids prefixed so that no other picture has them."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)


def _figure(width: float, height: float):
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="none")
    FigureCanvasSVG(figure)
    return figure


def _svg(figure) -> str:
    page = io.StringIO()
    figure.savefig(page, format="svg", metadata={"Date": None})
    return page.getvalue()


def _log(axis) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _write_csv(path: Path, heads: tuple[str, ...], rows: Iterable) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([heads, *rows])
