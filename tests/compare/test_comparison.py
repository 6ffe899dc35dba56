"""The one list of figures makes what is compared, and comparison.json has one reader, which checks it."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from pipeline.benchmark.timings import Timing
from pipeline.common.errors import BigfootError
from pipeline.compare import comparison, figures
from pipeline.compare.run import compare
from pipeline.evaluate.scores import SetScore
from pipeline.lab import publish
from tests.planted import plant

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    return folder, compare(plant(folder), folder, folder / "reports")


# ---------------------------------------------------------------- the list


def test_names_are_unique_and_sources_have_every_figure_declared_for_them():
    names = [figure.name for figure in figures.FIGURES]
    assert len(names) == len(set(names))
    assert set(figures.of(figures.TIMING)) <= {field.name for field in fields(Timing)}
    assert set(figures.of(figures.TEXT)) - {"wer_rise", "cer_rise"} <= {field.name for field in fields(SetScore)}


def test_every_number_that_was_timed_is_a_figure_or_left_out_on_purpose():
    numbers = {field.name for field in fields(Timing) if field.type in (int, float, int | None, float | None)}
    inner = {"turns", "energy_w", "energy_above_idle_w", "energy_resolution_w"}  # how a figure was found out
    assert numbers - inner == set(figures.of(figures.TIMING))


def test_a_figure_of_the_text_has_a_key_for_each_set_and_each_key_has_a_split():
    keys = figures.keys(["noisy"])
    assert {"cer", "dev_cer", "gate_cer", "cer/noisy", "test_wer_rise_upper/noisy"} <= set(keys) and "disk_mb/noisy" not in keys
    assert "dev_test_wer_rise_upper" not in keys and keys["dev_insertions"] is keys["gate_insertions"] is keys["insertions"]
    splits = {key: figures.split_of(key, "test") for key in keys}
    assert splits["cer"] == splits["test_wer_rise_upper"] == "test" and splits["cer/noisy"] == "noisy"
    assert splits["dev_cer"] == splits["dev_wer"] == splits["dev_insertions"] == "dev" and splits["disk_mb"] is None
    assert {splits[key] for key in ("gate_cer", "gate_wer", "wer_rise_upper", "cer_rise_upper", "gate_insertions")} == {"gate"}


def test_the_glossary_in_the_docs_is_made_of_the_list():
    text = (ROOT / "docs" / "numbers.md").read_text()
    shown = text.split("<!-- figures -->\n")[1].split("\n<!-- /figures -->")[0]
    assert shown == publish.glossary(), "run `bigfoot results`"


# ---------------------------------------------------------------- the file


def test_what_is_written_is_read_back(compared):
    folder, rows = compared
    read = comparison.read(folder)
    assert list(read.rows) == rows and read.champion.variant == "half.int8-openvino" and read.corpus == "quickstart"
    assert read.row("half.int8-openvino")["wer_rise"] == pytest.approx(0.001)
    with pytest.raises(KeyError):
        read.rows[0]["wer_delta"]


def test_a_kept_comparison_without_a_newer_figure_is_read_with_none(compared, tmp_path):
    folder, rows = compared
    kept = json.loads((folder / "reports" / "comparison.json").read_text())
    for row in kept:
        del row["train_payback_hours"], row["narrow"]
    (tmp_path / "comparison.json").write_text(json.dumps(kept))
    (first, *_) = comparison.read_rows(tmp_path / "comparison.json")
    assert first["train_payback_hours"] is None and first.narrow is None and first["wer"] == rows[0]["wer"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: None, "holds null where a list belongs"),
        (lambda rows: [], "has no variants"),
        (lambda rows: [rows[0], 3], "variant 2 is not an object"),
        (lambda rows: [rows[0] | {"variant": None}], "variant 1: variant: input should be a valid string"),
        (lambda rows: [rows[0] | {"wer": "low"}], "variant 1: figures.wer: input should be a valid number"),
        (lambda rows: [rows[0] | {"wer": True}], "variant 1: figures.wer: input should be a valid number"),
        (lambda rows: [rows[0] | {"gate": None}], "variant 1 has no verdict of the gate"),
        (lambda rows: [rows[0] | {"gate": {"passed": True}}], "variant 1 lacks reason"),
        (lambda rows: [rows[0] | {"champion": "yes"}], "variant 1: champion: input should be a valid boolean"),
        (lambda rows: [rows[0] | {"latency_by_length": [1]}], "latency_by_length: input should be an object"),
    ],
)
def test_a_comparison_of_another_shape_is_one_line(compared, tmp_path, change, message):
    path = tmp_path / "comparison.json"
    path.write_text(json.dumps(change(json.loads((compared[0] / "reports" / "comparison.json").read_text()))))
    with pytest.raises(BigfootError) as refused:
        comparison.read_rows(path)
    assert message in str(refused.value) and "\n" not in str(refused.value) and "dvc repro" in str(refused.value)


def test_params_that_are_not_a_projects_are_one_line(compared, tmp_path):
    (tmp_path / "reports").mkdir()
    for name in ("comparison.json", "params.json"):
        (tmp_path / "reports" / name).write_text((compared[0] / "reports" / name).read_text())
    assert comparison.read(tmp_path).budget.max_rise == 0.01
    (tmp_path / "reports" / "params.json").write_text("{}")
    with pytest.raises(BigfootError, match="has no corpus, gate, profile, tracking: run `dvc repro --force compare`"):
        comparison.read(tmp_path)
