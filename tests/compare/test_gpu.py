"""A variant for a GPU beside the others: never promoted, its speeds named after its device; where not timed, why."""

import csv
import json
import re

import pytest
from typer.testing import CliRunner

from pipeline import cli
from pipeline.compare import comparison, figures
from pipeline.compare.report import markdown, plots
from pipeline.compare.run import compare
from tests.planted import FIGURES, plant

NAME, REASON = "half.fp16-cuda", "no NVIDIA GPU on this machine"
SIZES = {"disk_mb", "weights_mb", "params", "macs_per_second"}


@pytest.fixture(scope="module")
def skipped(tmp_path_factory):
    """A comparison on a machine without a GPU."""
    root = tmp_path_factory.mktemp("skipped")
    compare(plant(root, FIGURES | {NAME: (20, 4.0, 1.0)}, skipped={NAME: REASON}), root, root / "reports")
    return root


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """A comparison on a machine with a GPU, on which the variant is the fastest by far."""
    root = tmp_path_factory.mktemp("timed")
    compare(plant(root, FIGURES | {NAME: (20, 4.0, 1.0)}, devices={NAME: "NVIDIA H200"}), root, root / "reports")
    return root


def rows(root):
    return {row.variant: row for row in comparison.read(root).rows}


def test_what_was_not_timed_has_errors_and_size_and_no_speed(skipped):
    row = rows(skipped)[NAME]
    assert (row["wer"], row["disk_mb"], row["shrink"], row.not_timed, row.device) == (0.01, 4.0, 2.0, REASON, "cpu")
    assert row["precision_saves_mb"] is not None and row["shrink_by_params"] is not None and row["shrink_over_int8"] == 0.625
    known = {key for key in figures.of(figures.TIMING) if row[key] is not None}
    assert known == SIZES and not [
        figure.name for figure in figures.FIGURES if figure.is_speed and row[figure.name] is not None
    ]


@pytest.mark.parametrize("file", ["comparison.md", "table.txt", "index.html", f"cards/{NAME}.md"])
def test_every_form_of_the_report_says_why(skipped, file):
    assert f"{NAME}: not timed: {REASON}" in " ".join((skipped / "reports" / file).read_text().split())


def test_a_card_tells_no_speed_of_what_was_not_timed(skipped):
    card = (skipped / "reports/cards" / f"{NAME}.md").read_text()
    assert "Compared with teacher.fp32 it is 2.0x smaller" in card and re.search(r"\| Faster +\| not measured ", card)


@pytest.mark.parametrize("root", ["skipped", "timed"])
def test_it_is_never_promoted_and_changes_nothing_for_the_others(root, request, tmp_path):
    root = request.getfixturevalue(root)
    compare(plant(tmp_path), tmp_path, tmp_path / "reports")
    found, alone = rows(root), rows(tmp_path)
    assert found[NAME].gate.passed is False
    assert found[NAME].gate.reason.startswith("for a GPU, never promoted, since the budget is for the CPU; ")
    for name, row in alone.items():
        assert (found[name].gate, found[name].champion) == (row.gate, row.champion)
        assert found[name].figures == row.figures
    assert json.loads((root / "reports/answers.json").read_text()) == json.loads(
        (tmp_path / "reports/answers.json").read_text()
    )


def test_the_gate_stays_open_and_says_why_it_was_not_timed(skipped, monkeypatch):
    monkeypatch.chdir(skipped)
    done = CliRunner().invoke(cli.app, ["gate"])
    words = " ".join(done.stdout.split())  # without the wrapping
    assert done.exit_code == 0 and f"gpu {NAME} for a GPU, never promoted" in words and f"not timed: {REASON}" in words
    assert CliRunner().invoke(cli.app, ["gate", NAME]).exit_code == 1


@pytest.mark.parametrize("file", ["comparison.md", "table.txt", "index.html"])
def test_every_speed_of_a_gpu_is_called_one(timed, file):
    text = (timed / "reports" / file).read_text().replace("<small>", "")
    assert "40.0x [36.0x, 44.0x] GPU" in text
    assert f"{NAME}: timed on NVIDIA H200, and Faster is over teacher.fp32 on the CPU" in " ".join(text.split())


def test_a_card_names_the_gpu(timed):
    card = (timed / "reports/cards" / f"{NAME}.md").read_text()
    assert "40.0x faster on NVIDIA H200, against the CPU, and 2.0x smaller" in card
    assert f"Of the variant {NAME} on NVIDIA H200 (torch)" in card


def test_times_of_a_gpu_have_no_point_beside_those_of_a_cpu(timed):
    row = rows(timed)[NAME]
    assert [plots.at(row, key) for key in plots.AXES] == [4.0, None, None]
    with (timed / "reports/plots/variants.csv").open() as file:
        (line,) = (line for line in csv.DictReader(file) if line["variant"] == NAME)
    assert (line["latency_p50_ms"], line["speedup"], line["disk_mb"]) == ("", "", "4.0")
    assert NAME not in [row.variant for row in markdown.for_readme(list(rows(timed).values()))]
