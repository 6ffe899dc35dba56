"""The workflows of .github/: the gate's step is executed as GitHub's runner does it, and the others name what is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.compare.run import compare
from tests.docs import pages
from tests.docs.pages import ROOT
from tests.docs.test_pages import problem
from tests.planted import plant

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SHELLS = {"bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"], None: ["bash", "-e", "-c"]}  # GitHub's own


def steps(text: str) -> list[dict]:
    """The steps of a workflow's one job that run a command."""
    (job,) = YAML(typ="safe").load(text)["jobs"].values()
    return [step for step in job["steps"] if "run" in step]


@pytest.fixture
def compared(tmp_path):
    """A project with a comparison, and `bigfoot` where `make setup` puts it."""
    compare(plant(tmp_path), tmp_path, tmp_path / "reports")
    bigfoot = tmp_path / ".venv/bin/bigfoot"
    bigfoot.parent.mkdir(parents=True)
    bigfoot.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m pipeline.cli "$@"\n')
    bigfoot.chmod(0o755)
    return tmp_path


def run_gate(folder: Path) -> tuple[int, str]:
    """The exit status of the example's last step, and the summary that it leaves on the run's page."""
    step = steps((ROOT / ".github/workflows/gate.yml").read_text())[-1]
    summary = folder / "summary.md"
    environment = os.environ | {"GITHUB_STEP_SUMMARY": str(summary)}
    done = subprocess.run(
        [*SHELLS[step.get("shell")], step["run"]], cwd=folder, env=environment, capture_output=True, text=True
    )
    return done.returncode, summary.read_text()


def test_the_gate_passes_with_a_champion_and_fails_without(compared):
    status, summary = run_gate(compared)
    assert status == 0 and "champion" in summary
    comparison = compared / "reports/comparison.json"
    comparison.write_text(comparison.read_text().replace('"champion": true', '"champion": false'))
    status, summary = run_gate(compared)
    assert status == 1 and "no champion" in summary


def test_the_example_is_what_the_page_of_the_gate_shows():
    (snippet,) = [block.text for block in pages.blocks(ROOT / "docs/gate.md") if "GITHUB_STEP_SUMMARY" in block.text]
    example, shown = steps((ROOT / ".github/workflows/gate.yml").read_text()), steps(snippet)
    assert example[0] == shown[0] and example[-1] == shown[-1]
    assert [step["run"] for step in example[1:-1]] == [".venv/bin/dvc repro"]  # this project has no remote to pull from


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_targets_and_tools_that_are_there(workflow):
    commands = [
        [words[0].removeprefix(".venv/bin/"), *words[1:]]
        for step in steps(workflow.read_text())
        for words in pages.commands(step["run"])
    ]
    assert commands and not [command for command in commands if problem(command)]
