"""Comparisons that are large: of more models than there are colors, and of many utterances."""

import re
import time

import pytest

from pipeline.compare import belonging
from pipeline.compare.report import looks
from pipeline.compare.run import compare
from pipeline.evaluate.scores import Hypothesis, Score, SetScore
from pipeline.speech.shards import Utterance
from tests.planted import plant, score_set

MODELS = 110
FIGURES = {
    "teacher.fp32": (20, 8.0, 40.0),
    **{f"m{n:03d}.int8-onnx": (20 + n % 60, 0.5 + 6 / (1 + n), 3 + 30 / (1 + n)) for n in range(MODELS)},
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    root = tmp_path_factory.mktemp("many")
    compare(plant(root, FIGURES, utterances=100), root, root / "reports")
    return root / "reports"


def test_models_beyond_the_colors_are_gray_and_counted_and_each_point_is_named(reports):
    svg = (reports / "pareto.svg").read_text()
    assert svg.count(f">{1 + MODELS - len(looks.COLORS)} other models<") == 3, "a panel each"
    for panel in svg.split("<svg")[2:]:
        named = re.findall(r"<title>([^:<]+):", panel)
        assert sorted(named) == sorted(FIGURES)
        assert all(panel.count(f"stroke: {color}; stroke-width: 5") == 1 for color in (*looks.COLORS, looks.OTHERS))
        assert ">teacher<" in panel and " (champion)<" in panel


def test_those_that_decide_come_first(reports):
    (champion,) = set(re.findall(r">(m\d+)\.int8-onnx \(champion\)<", (reports / "pareto.svg").read_text()))
    assert (reports / "pareto.svg").read_text().count(f">{champion}<") == 3, "it has a color in each panel"


def test_lines_beyond_the_colors_are_gray_and_counted(reports):
    page = (reports / "index.html").read_text()
    assert page.count(f">{1 + MODELS - len(looks.COLORS)} others<") == 3, "loss, errors on dev, latency by length"


def test_the_check_of_scores_takes_time_in_proportion_to_utterances(tmp_path):
    count = 40_000
    planted = score_set(count, wrong=0, seed=0)
    hypotheses = [Hypothesis(**row) for row in planted.pop("hypotheses")]
    test = [Utterance(row.id, row.reference, row.speaker, row.duration) for row in hypotheses]
    score = Score("m.fp32", "m", "fp32", None, "test", {"test": SetScore(**planted, hypotheses=hypotheses)})
    start = time.monotonic()
    belonging.check(score, tmp_path, "m.fp32", "m-fp32", {"test": test})
    assert time.monotonic() - start < 10, "compared each with each, 8,000 took 7 s, so 40,000 would take 3 minutes"
