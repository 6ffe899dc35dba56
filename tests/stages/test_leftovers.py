"""What params.yaml no longer names is out of the folders that later stages depend on, and not lost."""

import json
import logging
import os
import subprocess
import sys

from pipeline.project import Project
from pipeline.stages.leftovers import set_aside
from tests.planted import ROOT

DVC = """
stages:
  quantize:
    foreach: [half, thin]
    do:
      cmd: mkdir -p variants/${item}.fp32 && echo ${item} > variants/${item}.fp32/variant.json
      outs:
        - variants/${item}.fp32
  benchmark:
    cmd: >-
      python -c "from pipeline.project import Project; from pipeline.stages.leftovers import set_aside;
      set_aside(Project(), {Project().variants: ['half.fp32']}); Project().timings.touch()"
    deps: [variants]
    outs: [timings.json]
"""


def test_outputs_that_are_not_named_are_moved_and_what_is_nobodys_output_stays(tmp_path, caplog):
    project = Project(tmp_path)
    outs = [{"path": f"{folder}/{name}"} for folder, name in (("models", "thin"), ("models", "half"), ("scores", "thin.json"))]
    project.lock.write_text(json.dumps({"stages": {"all": {"outs": outs}}}))
    with caplog.at_level(logging.INFO):
        for content in ("old", "new"):
            for name in ("half", "thin", "own"):
                (project.models / name).mkdir(parents=True, exist_ok=True)
            project.scores.mkdir(exist_ok=True)
            (project.models / "thin/config.json").write_text(content)
            (project.scores / "thin.json").write_text(content)
            set_aside(project, {project.models: ["half"], project.scores: ["half.json"]})
            assert {path.name for path in project.models.iterdir()} == {"half", "own"} and not list(project.scores.iterdir())
            for file in ("models/thin/config.json", "scores/thin.json"):
                assert (project.aside / file).read_text() == content
    assert caplog.text.count("models/thin is not of this params.yaml: moved to") == 2


def test_a_project_without_a_lock_or_folder_is_left_as_it_is(tmp_path):
    set_aside(Project(tmp_path), {Project(tmp_path).variants: []})
    assert not list(tmp_path.iterdir())


def test_dvc_records_the_folder_as_the_stage_leaves_it(tmp_path):
    """It hashes deps after the command; otherwise what was moved would be in dvc.lock, and the stage stale at once."""
    (tmp_path / ".gitignore").write_text(".bigfoot/\n")

    def dvc(*arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    dvc("init", "--no-scm")
    (tmp_path / "dvc.yaml").write_text(DVC)
    dvc("repro", "quantize@half", "quantize@thin")
    (tmp_path / "dvc.yaml").write_text(DVC.replace("[half, thin]", "[half]"))
    dvc("repro")
    assert [path.name for path in (tmp_path / "variants").iterdir() if path.is_dir()] == ["half.fp32"]
    assert "up to date" in dvc("status")
