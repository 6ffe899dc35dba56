"""The training of teacher and students: loss and errors on dev by step, duration and energy."""

from pipeline.common.energy import range_of
from pipeline.common.numbers import percent, shown
from pipeline.compare.figures import BY_NAME
from pipeline.compare.report import columns, plots
from pipeline.compare.report.drawing import inline
from pipeline.compare.report.looks import Looks
from pipeline.compare.report.page.parts import Cell, Line, Plot, Plots, Section, Table

OF_LOSS = (
    "Training loss by step. A student's loss includes the distance to the teacher's logits: "
    "do not compare it with the loss of other models."
)


def curves(curves: dict[str, list[dict]], training: dict[str, dict], objective: str, looks: Looks) -> Section:
    """The section; models that were not trained here have no curve."""
    name = objective.upper()
    about = {"loss": OF_LOSS, f"dev_{objective}": f"{name} on dev by step, which chooses the best checkpoint."}
    drawn = {key: plots.curves(curves, key, looks) for key in about}
    figures = [Plot(inline(svg, f"curve-{key}", about[key]), about[key]) for key, svg in drawn.items() if svg]
    lines = [_line(model, curve, training[model], objective) for model, curve in curves.items() if curve]
    heads = ["Model", "Steps", "First loss", "Last loss", f"Best dev {name} %", "At step", "Hours", "Wh"]
    table = Table(f"First and last loss, best dev {name}, duration and energy of each training", heads, lines)
    return Section("training", "Training", [Plots(figures), table] if figures else [])


def _line(model: str, curve: list[dict], metrics: dict, objective: str) -> Line:
    loss, dev = plots.series(curve, "loss"), plots.series(curve, f"dev_{objective}")
    wh = metrics.get("train_energy_wh")
    best: tuple[int, float] | tuple[None, None] = min(dev, key=lambda point: point[1], default=(None, None))
    figures = [
        shown(max(row["step"] for row in curve), ",d"),
        shown(loss[0][1] if loss else None, ".3g"),
        shown(loss[-1][1] if loss else None, ".3g"),
        percent(best[1]),
        shown(best[0], ",d"),
        shown(metrics.get("train_hours"), ".2f"),
        columns.with_model(wh, range_of(wh, metrics.get("energy_mode"), on_gpu=True), BY_NAME["train_energy_wh"].show),
    ]
    return Line(model, [Cell(figure) for figure in figures])
