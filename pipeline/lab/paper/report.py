"""paper_scale.json for people: what UNTRAINED models of the paper's shapes cost, beside what the paper published.

There is no column of word errors, and where the paper's own stand, they are said to be of trained models.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from pipeline.benchmark.timings import Sample
from pipeline.compare.comparison import Row
from pipeline.compare.figures import FIGURES
from pipeline.compare.report.columns import known
from pipeline.compare.report.markdown import table, timing_facts

UNTRAINED = (
    "UNTRAINED weights: models have the paper's shapes and have learned nothing. Size, speed, memory and energy are measured; "
    "word errors are not, and can't be"
)
TITLE = "Paper scale: UNTRAINED weights"
NAME = "Variant, UNTRAINED"
SHOWN = ("Params, M", "MB", "Smaller", "p50 ms", "Faster [95%]", "RTFx", "RAM MB", "Wh per audio hour")


def write(out: Path, result: dict) -> None:
    """paper_scale.json and paper_scale.md into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "paper_scale.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "paper_scale.md").write_text(markdown(result), encoding="utf-8")


def markdown(result: dict) -> str:
    """The page, of what paper_scale.json holds and nothing else."""
    rows = result["variants"]
    parts = [f"# {TITLE}", "", f"{result['note']}.", "", verdict(result), ""]
    parts += [f"- **{what}**: {fact}" for what, fact in _facts(result)]
    parts += ["", table(rows, _columns())]
    parts += ["", "### What the front end, in float everywhere, leaves of int8", "", *_front_end(result)]
    parts += ["", "### Beside the paper's figures", "", f"Of {result['published']['source']}. Theirs / here, UNTRAINED:", ""]
    parts += [table(_pairs(result), PUBLISHED)]
    return "\n".join(parts) + "\n"


def verdict(result: dict) -> str:
    """One sentence: which variants are as small and as fast as was aimed at, or which comes nearest."""
    goal = f"{result['goal']:g}x smaller and {result['goal']:g}x faster than teacher.fp32"
    others = [row for row in result["variants"] if row["variant"] != "teacher.fp32"]
    reached = [row for row in others if _worse(row) >= result["goal"]]
    if reached:
        return f"At least {goal}: {'; '.join(_gain(row) for row in sorted(reached, key=_worse, reverse=True))}. UNTRAINED."
    nearest = f" The nearest: {_gain(max(others, key=_worse))}." if others else ""
    return f"No variant is {goal}.{nearest} UNTRAINED."


def _worse(row: dict) -> float:
    return min(row["shrink"], row["speedup"])


def _gain(row: dict) -> str:
    return f"`{row['variant']}` {row['shrink']:.1f}x smaller, {row['speedup']:.1f}x faster"


def _facts(result: dict) -> list[tuple[str, str]]:
    """How it was measured; RESULTS.md is the same wherever it is written, so nothing is said of the machine at hand."""
    modes = {row["energy_mode"] for row in result["variants"]} - {None}
    facts = [("Audio", result["audio"])]
    facts += timing_facts(SimpleNamespace(**result | {"sample": Sample(**result["sample"])}))
    return facts + [("Energy", f"codecarbon, {mode}") for mode in sorted(modes)]


# ---------------------------------------------------------------- tables


def _columns() -> dict[str, Callable[[dict], str]]:
    shown = {one.name: one.show for one in known()}
    return {
        NAME: lambda row: row["variant"],
        "Layers x width": lambda row: f"{row['shape']['layers']} x {row['shape']['hidden']}",
        "Front end": lambda row: str(row["shape"]["conv_channels"]),
        **{name: lambda row, name=name: shown[name](_row(row)) for name in SHOWN},
        "Front end ms": lambda row: _or_dash(row["cnn_ms"]),
        "Encoder ms": lambda row: _or_dash(row["encoder_ms"]),
    }


def _row(row: dict) -> Row:
    """A row as the columns of a comparison take it."""
    values = {figure.name: row.get(figure.name) for figure in FIGURES}
    return Row(row["variant"], row["model"], row["scheme"], runtime="", figures=values)


def _front_end(result: dict) -> list[str]:
    """Its share of each variant, as profiled, and what narrowing it is worth."""
    known = [row for row in result["variants"] if row["cnn_ms"] is not None]
    shares = [f"`{row['variant']}` {row['cnn_ms'] / (row['cnn_ms'] + row['encoder_ms']):.0%}" for row in known]
    unknown = [f"`{row['variant']}`" for row in result["variants"] if row["cnn_ms"] is None]
    lines = [f"- Front end's share of front end and encoder: {', '.join(shares) or 'not known'}."]
    lines += [f"- Not known, as the runtime doesn't tell its parts: {', '.join(unknown)}."] if unknown else []
    if result["front_end"]:
        narrow, whole = ({row["scheme"]: row for row in result["variants"] if row["model"] == m} for m in result["front_end"])
        lines += [_against(narrow[scheme], whole[scheme]) for scheme in whole if scheme in narrow]
    return lines


def _against(narrow: dict, whole: dict) -> str:
    shapes = (row["shape"] for row in (whole, narrow))
    sizes = [f"{shape['conv_channels']} channels in {shape['convolutions']} convolutions" for shape in shapes]
    return (
        f"- Front end of {sizes[0]}, `{whole['variant']}`: {whole['shrink']:.1f}x smaller, {whole['speedup']:.1f}x "
        f"faster than teacher.fp32; of {sizes[1]}, `{narrow['variant']}`: {narrow['shrink']:.1f}x, {narrow['speedup']:.1f}x."
    )


def _pairs(result: dict) -> list[dict]:
    """Each of the paper's figures with the row of the variant that has its shape and precision (None: not measured)."""
    rows = {row["variant"]: row for row in result["variants"]}
    return [{"paper": figure, "here": rows.get(figure["variant"])} for figure in result["published"]["figures"]]


def _both(key: str, ours: Callable[[dict], float], form: str) -> Callable[[dict], str]:
    def show(pair: dict) -> str:
        return f"{_or_dash(pair['paper'][key], form)} / {_or_dash(pair['here'] and ours(pair['here']), form)}"

    return show


def _or_dash(value: float | None, form: str = ".1f") -> str:
    return "-" if value is None else f"{value:{form}}"


PUBLISHED = {
    "The paper's": lambda pair: pair["paper"]["what"],
    NAME: lambda pair: pair["paper"]["variant"],
    "Params, M": _both("params_m", lambda row: row["params"] / 1e6, ".1f"),
    "MB": _both("disk_mb", lambda row: row["disk_mb"], ".0f"),
    "Smaller": _both("shrink", lambda row: row["shrink"], ".2f"),
    "Faster": _both("speedup", lambda row: row["speedup"], ".2f"),
    "WER rise, points: theirs, trained": lambda pair: _or_dash(pair["paper"]["wer_rise_points"]),
}
