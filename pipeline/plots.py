"""The comparison as pictures: the Pareto plot, and the small CSV files that `dvc plots` draws.

Matplotlib draws without a display, a date or a random id, so the same figures give the same bytes.
"""

import csv
import io
from pathlib import Path

MARKERS = "osD^vP*X<>"
COLUMNS = (
    "variant", "model", "scheme", "runtime", "wer", "wer_low", "wer_high", "dev_wer", "disk_mb", "shrink",
    "latency_p50_ms", "speedup", "ram_mb", "energy_wh_per_audio_hour",
)  # fmt: skip


def tables(folder: Path, rows: list[dict], curves: dict[str, list[dict]]) -> None:
    """variants.csv, a row a variant; loss/MODEL.csv and dev_wer/MODEL.csv, a row a step that has one."""
    _write_csv(folder / "variants.csv", COLUMNS, [[row[key] for key in COLUMNS] for row in rows])
    for key in ("loss", "dev_wer"):
        for model, curve in curves.items():
            points = [(row["step"], row[key]) for row in curve if row.get(key) is not None]
            if points:
                _write_csv(folder / key / f"{model}.csv", ("step", key), points)


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both, by growing x: [(x, wer)], less of either being better."""
    best: list[tuple[float, float]] = []
    for x, wer in sorted(points):
        if not best or wer < best[-1][1]:
            best.append((x, wer))
    return best


def pareto(rows: list[dict]) -> str:
    """SVG: WER in per cent, with its interval, over size and over latency; the front is drawn, its members are named."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = {"svg.hashsalt": "bigfoot", "svg.fonttype": "none", "font.size": 9}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        FigureCanvasSVG(figure)
        left, right = figure.subplots(1, 2, sharey=True)
        _panel(left, rows, "disk_mb", "size on disk (MB)")
        _panel(right, rows, "latency_p50_ms", "latency, median (ms)")
        left.set_ylabel("WER (%) with 95% interval")
        handles = {handle.get_label(): handle for handle in left.containers}
        figure.legend(handles.values(), handles, loc="outside right upper", frameon=False)
        figure.draw_without_rendering()  # the layout has to stand before names find their places in it
        _name(left, rows, "disk_mb")
        _name(right, rows, "latency_p50_ms")
        page = io.StringIO()
        figure.savefig(page, format="svg", metadata={"Date": None})
    return page.getvalue()


def _panel(axes, rows: list[dict], key: str, label: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    models = list(dict.fromkeys(row["model"] for row in rows))
    schemes = list(dict.fromkeys(row["scheme"] for row in rows))
    for row in _shown(rows, key):
        wer, low, high = (100 * row[name] for name in ("wer", "wer_low", "wer_high"))
        axes.errorbar(
            row[key],
            wer,
            yerr=[[max(0.0, wer - low)], [max(0.0, high - wer)]],
            fmt=MARKERS[schemes.index(row["scheme"]) % len(MARKERS)],
            color=f"C{models.index(row['model']) % 10}",
            markersize=9 if row["champion"] else 6,
            markeredgecolor="black" if row["champion"] else "none",
            elinewidth=0.8,
            capsize=2,
            label=row["variant"] + (" (champion)" if row["champion"] else ""),
        )
    best = front([(row[key], 100 * row["wer"]) for row in _shown(rows, key)])
    if best:
        axes.step(*zip(*best, strict=True), where="post", color="grey", linewidth=1, linestyle="--", zorder=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{label}, log scale")
    axes.margins(x=0.2)
    axes.set_ylim(bottom=0)
    axes.grid(True, which="major", alpha=0.25)


def _name(axes, rows: list[dict], key: str) -> None:
    """Write the names of the front, the champion and the teacher, each at the nearest height where it covers no other."""
    best = front([(row[key], row["wer"]) for row in _shown(rows, key)])
    taken = []
    for row in _shown(rows, key):
        if (row[key], row["wer"]) not in best and not row["champion"] and row is not rows[0]:
            continue
        for height in (5, -12, 17, -24, 29, -36, 41, 53):
            at = (row[key], 100 * row["wer"])
            name = axes.annotate(row["variant"], at, (6, height), textcoords="offset points", fontsize=7)
            box = name.get_window_extent()
            if not any(box.overlaps(other) for other in taken) or height == 53:
                taken.append(box)
                break
            name.remove()


def _shown(rows: list[dict], key: str) -> list[dict]:
    """The rows that have a place in the plot over `key`: its scale is logarithmic."""
    return [row for row in rows if row[key]]


def _write_csv(path: Path, columns: tuple[str, ...], rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])
