"""`bigfoot gate` is what CI asks: open or not, and one reason a variant."""

import re
import shutil

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from pipeline import cli, params
from pipeline.common.errors import BigfootError
from pipeline.compare import gate
from pipeline.compare.inputs import gather
from pipeline.compare.rows import gain, judge, measured
from pipeline.compare.run import compare
from pipeline.project import load_params
from tests.planted import plant

HALF, THIN = "half.int8-openvino", "thin.int8-openvino"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    compare(plant(folder), folder, folder / "reports")
    return folder


@pytest.fixture
def project(compared, tmp_path, monkeypatch):
    """params.yaml and reports of a comparison, to be run in and to be broken."""
    shutil.copytree(compared / "reports", tmp_path / "reports")
    shutil.copy(compared / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*names):
    """The exit status, and the lines before they were wrapped."""
    done = CliRunner().invoke(cli.app, ["gate", *names])
    return done.exit_code, re.sub("\n +", " ", done.stdout).splitlines()


def test_a_champion_opens_the_gate_and_every_variant_has_a_line_with_its_reason(project):
    status, lines = run()
    assert status == 0 and "at most 1.00 points, 95% sure" in lines[0]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["passes", "teacher.fp32"], ["passes", "teacher.int8-onnx"], ["champion", HALF], ["fails", THIN]
    ]  # fmt: skip
    assert "more than the 1.00 allowed" in lines[4]


def test_its_lines_fit_in_80_columns_and_begin_with_the_verdict(project):
    lines = CliRunner().invoke(cli.app, ["gate"]).stdout.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) > 5
    assert {line.split(" ")[0] for line in lines} == {"budget:", "passes", "champion", "fails", ""}


@pytest.mark.parametrize(("names", "status"), [([HALF], 0), (["teacher.int8-onnx", HALF], 0), ([HALF, THIN], 1), ([THIN], 1)])
def test_named_variants_have_to_pass_all_of_them(project, names, status):
    code, lines = run(*names)
    assert code == status and [line.split()[1] for line in lines[1:]] == names


def test_without_champion_the_gate_is_shut(project):
    path = project / "reports" / "comparison.json"
    path.write_text(path.read_text().replace('"champion": true', '"champion": false'))
    status, lines = run()
    assert status == 1 and lines[-1].startswith("no champion")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("gate", "max_rise", 0.2),
        ("evaluate", "bootstrap", 777),
        ("benchmark", "threads", 1),
        ("logits", "speeds", [1.0, 1.1]),
    ],
)
def test_params_changed_since_the_comparison_are_no_verdict(project, section, key, value):
    yaml = YAML()
    raw = yaml.load(project / "params.yaml")
    raw[section][key] = value
    yaml.dump(raw, project / "params.yaml")
    with pytest.raises(
        BigfootError, match=f"^{section} of params.yaml changed after the last comparison: run `dvc repro` first"
    ):
        gate.check(project, load_params(project / "params.yaml"), [])


def test_where_runs_are_tracked_changes_no_verdict(project):
    yaml = YAML()
    raw = yaml.load(project / "params.yaml")
    raw["tracking"] = {"experiment": "another"}
    yaml.dump(raw, project / "params.yaml")
    assert gate.check(project, load_params(project / "params.yaml"), []).is_open


def test_unknown_names_and_missing_or_broken_comparisons_are_refused(project):
    budget = load_params(project / "params.yaml")
    with pytest.raises(BigfootError, match="no variant thick in the last comparison: it has teacher.fp32, "):
        gate.check(project, budget, ["thick"])
    (project / "reports" / "comparison.json").write_text("[")
    with pytest.raises(BigfootError, match=r"comparison.json is not valid JSON: run `dvc repro --force compare`"):
        gate.check(project, budget, [])
    (project / "reports" / "comparison.json").unlink()
    with pytest.raises(BigfootError, match=r"comparison.json is missing: run `dvc repro compare`"):
        gate.check(project, budget, [])


@pytest.mark.parametrize(("prefer", "winner", "gained"), [("both", "a", 5.0), ("speed", "b", 9.0), ("size", "c", 8.0)])
def test_the_preferred_gain_chooses_the_champion(prefer, winner, gained):
    gains = {"a": (5.0, 6.0), "b": (9.0, 2.0), "c": (3.0, 8.0)}
    gained_by = {name: gain({"speedup": faster, "shrink": smaller}, prefer) for name, (faster, smaller) in gains.items()}
    assert max(gained_by, key=gained_by.get) == winner and gained_by[winner] == gained


def test_compare_chooses_by_the_gain_that_params_prefer(tmp_path):
    figures = {"teacher.fp32": (20, 8.0, 40.0), "half.int8-onnx": (20, 4.0, 4.0), "thin.int8-onnx": (20, 1.0, 20.0)}
    settings = plant(tmp_path, figures)  # half: 10x faster, 2x smaller; thin: 2x faster, 8x smaller
    evidence, chosen = gather(settings, tmp_path), {}
    for prefer in ("speed", "size"):
        rows = judge(measured(evidence), evidence, params.Gate(prefer=prefer))
        chosen[prefer] = next(row.model for row in rows if row.champion)
    assert chosen == {"speed": "half", "size": "thin"}


@pytest.mark.parametrize("command", ["gate", "champion", "promote", "rollback", "export", "push"])
def test_every_command_for_publishing_explains_itself(command):
    done = CliRunner().invoke(cli.app, [command, "--help"])
    assert done.exit_code == 0 and len(done.stdout) > 300
