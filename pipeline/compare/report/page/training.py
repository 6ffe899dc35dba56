"""The training of teacher and students: loss and dev WER by step, duration and energy."""

from pipeline.common.numbers import percent, shown
from pipeline.compare.report import plots
from pipeline.compare.report.page.parts import Cell, Line, Plot, Plots, Section, Table

ABOUT = {
    "loss": "Training loss by step. A student's loss includes the distance to the teacher's logits: "
    "do not compare it with the loss of other models.",
    "dev_wer": "WER on dev by step, which chooses the best checkpoint.",
}


def curves(curves: dict[str, list[dict]], training: dict[str, dict]) -> Section:
    """The section; models that were not trained here have no curve."""
    drawn = {key: plots.curves(curves, key) for key in ABOUT}
    figures = [Plot(plots.inline(svg, f"curve-{key}", ABOUT[key]), ABOUT[key]) for key, svg in drawn.items() if svg]
    lines = [_line(model, curve, training[model]) for model, curve in curves.items() if curve]
    heads = ["Model", "Steps", "First loss", "Last loss", "Best dev WER %", "At step", "Hours", "Wh"]
    table = Table("First and last loss, best dev WER, duration and energy of each training", heads, lines)
    return Section("training", "Training", [Plots(figures), table] if figures else [])


def _line(model: str, curve: list[dict], metrics: dict) -> Line:
    loss, dev = plots.series(curve, "loss"), plots.series(curve, "dev_wer")
    best: tuple[int, float] | tuple[None, None] = min(dev, key=lambda point: point[1], default=(None, None))
    figures = [
        shown(max(row["step"] for row in curve), ",d"),
        shown(loss[0][1] if loss else None, ".3g"),
        shown(loss[-1][1] if loss else None, ".3g"),
        percent(best[1]),
        shown(best[0], ",d"),
        shown(metrics.get("train_hours"), ".2f"),
        shown(metrics.get("train_energy_wh"), ".3g"),
    ]
    return Line(model, [Cell(figure) for figure in figures])
