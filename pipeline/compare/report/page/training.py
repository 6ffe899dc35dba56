"""How teacher and students were trained: loss and dev WER by step, and what it took."""

from pipeline.compare.report import plots
from pipeline.compare.report.columns import or_dash, percent
from pipeline.compare.report.page.markup import cell, figure, section, table

ABOUT = {
    "loss": "Training loss by step. A student's counts the teacher's logits too: compare it with itself, not with others.",
    "dev_wer": "WER on dev by step: what the best checkpoint is chosen by.",
}


def curves(curves: dict[str, list[dict]], training: dict[str, dict]) -> tuple[str, str, str] | None:
    """Nothing for models that were not trained here: they have no curve."""
    drawn = {key: plots.curves(curves, key) for key in ABOUT}
    shown = [figure(plots.inline(svg, f"curve-{key}", ABOUT[key]), ABOUT[key]) for key, svg in drawn.items() if svg]
    if not shown:
        return None
    lines = [(model, _line(curve, training[model])) for model, curve in curves.items() if curve]
    heads = ["Model", "Steps", "First loss", "Last loss", "Best dev WER %", "At step", "Hours", "Wh"]
    return section(
        "training",
        "Training",
        f'<div class="plots">{"".join(shown)}</div>',
        table("What each training began with, came to and took", heads, lines),
    )


def _line(curve: list[dict], metrics: dict) -> list[str]:
    loss, dev = plots.series(curve, "loss"), plots.series(curve, "dev_wer")
    best = min(dev, key=lambda point: point[1], default=(None, None))
    figures = [
        or_dash(max(row["step"] for row in curve), ",d"),
        or_dash(loss[0][1] if loss else None, ".3g"),
        or_dash(loss[-1][1] if loss else None, ".3g"),
        percent(best[1]),
        or_dash(best[0], ",d"),
        or_dash(metrics.get("train_hours"), ".2f"),
        or_dash(metrics.get("train_energy_wh"), ".3g"),
    ]
    return [cell(figure) for figure in figures]
