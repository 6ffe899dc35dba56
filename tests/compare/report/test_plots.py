"""Names in a plot cover nothing, and a model has one color in all plots, whatever else is compared."""

import json
import re
from dataclasses import replace

import pytest
from matplotlib.text import Text

from pipeline.compare import figures
from pipeline.compare.comparison import Row
from pipeline.compare.report import drawing, labels, looks, plots
from pipeline.compare.report.labels import Named
from pipeline.compare.run import compare
from tests.planted import FIGURES, ROOT, plant

MODELS = ("teacher", "half", "thin")
# where names once crossed the intervals of others
CROWDED = [
    Named("teacher.fp32", 20.7, 8.4, 5.7, 11.3), Named("", 8.7, 8.4, 5.7, 11.3), Named("", 4.2, 8.4, 5.7, 11.3),
    Named("half.int8-onnx", 1.7, 9.0, 6.4, 11.9), Named("", 4.0, 7.7, 5.0, 10.6),
    Named("thin.int8-onnx (champion)", 1.0, 7.4, 4.7, 10.2), Named("thin.int4-onnx", 0.9, 8.9, 5.6, 11.5),
]  # fmt: skip


def written(points):
    """The axes of a panel with these points and their names."""
    axes = drawing.figure(4.4, 4.4).add_axes((0.13, 0.25, 0.84, 0.72))
    for point in points:
        axes.errorbar(point.x, point.y, yerr=[[point.y - point.low], [point.high - point.y]], marker="o")
    axes.set(ylim=(0, 13.7), xscale="log")
    axes.margins(x=0.2)
    labels.write(axes, points, [(1.0, 7.4)])
    return axes


def test_names_cover_no_name_no_mark_and_no_interval():
    axes = written(CROWDED)
    for text in axes.texts:
        text.get_window_extent()  # puts it in its place
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the line to the mark
    frame = axes.get_window_extent()
    assert [text.get_text() for text in axes.texts] == [point.name for point in CROWDED if point.name]
    for at, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[:at] + boxes[at + 1 :])
        assert frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0 and box.y1 < frame.y1
        for point in CROWDED:
            low, high = (axes.transData.transform((point.x, end)) for end in (point.low, point.high))
            assert not (box.x0 < low[0] < box.x1 and box.y0 < high[1] and low[1] < box.y1), axes.texts[at].get_text()


def test_a_name_as_wide_as_the_frame_stays_within_it():
    """Where it begins and ends neither at its mark's right nor at its left."""
    axes = written([Named("a", 1.0, 8.4, 5.7, 11.3), Named(24 * "m", 2.0, 9.0, 6.4, 11.9), Named("b", 4.0, 7.4, 4.7, 10.2)])
    frame, box = axes.get_window_extent(), axes.texts[1].get_window_extent()
    assert box.width > 0.8 * frame.width and frame.x0 < box.x0 and box.x1 < frame.x1


def row(model, scheme):
    return Row(f"{model}.{scheme}", model, scheme, "r", dict.fromkeys(figures.keys()))


def test_errors_without_an_interval_are_drawn():
    """Of a single utterance there is none."""
    one = row("teacher", "fp32")
    one = replace(one, figures={**one.figures, "wer": 0.5, "disk_mb": 3.0})
    assert "teacher.fp32: WER 50.00%" in plots.panels([one], looks.of([one], MODELS, ["teacher"]))["disk_mb"]


def test_another_variant_or_a_last_student_changes_no_color():
    few = [row("teacher", "fp32"), row("thin", "int8-onnx")]
    before = looks.of(few, MODELS, ["teacher", "thin"])
    for rows, models in (
        ([*few, row("half", "int8-onnx")], MODELS),
        ([few[0], row("half", "int4"), few[1]], MODELS),
        ([*few, row("last", "fp32")], (*MODELS, "last")),
    ):
        after = looks.of(rows, models, [rows[-1].model, "teacher"])
        assert all(after.color(model) == before.color(model) for model in MODELS)
    assert len({before.color(model) for model in MODELS}) == 3


def test_with_more_models_than_colors_those_that_decide_have_one():
    models = ["teacher", *(f"m{n}" for n in range(20))]
    found = looks.of([row(model, "fp32") for model in models], models, ["teacher", "m19"])
    assert {"teacher", "m19"} <= set(found.colors) and len(set(found.colors.values())) == len(looks.COLORS)
    assert found.color("m18") == looks.OTHERS


def test_a_model_has_its_color_in_every_plot_of_the_page(tmp_path):
    params = plant(tmp_path, FIGURES)
    compare(params, tmp_path, tmp_path / "reports")
    page, pareto = ((tmp_path / "reports" / name).read_text() for name in ("index.html", "pareto.svg"))
    wanted = dict(zip(["teacher", *params.students], looks.COLORS, strict=False))
    drawn = [svg for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)] + pareto.split("<svg")[2:]
    assert len(drawn) == 9
    for svg in drawn:
        assert all(color in svg for color in (wanted["teacher"], wanted["half"], wanted["thin"]))
        assert not any(color in svg for color in looks.COLORS[3:])


@pytest.mark.parametrize("name", ["variants.csv", "loss.csv"])
def test_dvc_gets_models_in_the_order_of_their_colors(tmp_path, name):
    params = plant(tmp_path, {key: FIGURES[key] for key in ("thin.int8-openvino", "half.int8-openvino", "teacher.fp32")})
    compare(params, tmp_path, tmp_path / "reports")
    lines = (tmp_path / "reports" / "plots" / name).read_text().splitlines()
    column = lines[0].split(",").index("model")
    assert list(dict.fromkeys(line.split(",")[column] for line in lines[1:])) == ["teacher", *params.students]


def test_the_templates_of_dvc_have_the_pages_colors_in_the_order_of_the_files():
    for name in ("pareto.json", "curves.json"):
        spec = json.loads((ROOT / ".dvc" / "plots" / name).read_text())["spec"]
        color = spec["encoding"]["color"]
        assert tuple(color["scale"]["range"][: len(looks.COLORS)]) == looks.COLORS and color["sort"] is None
