"""What params.yaml no longer names is out of the folders that later stages depend on, and not lost."""

import logging
import os
import subprocess
import sys

from pipeline.stages.leftovers import set_aside
from tests.planted import ROOT

STAGE = """
stages:
  measure:
    cmd: >-
      python -c "from pathlib import Path; from pipeline.stages.leftovers import set_aside;
      set_aside(Path('variants'), ['half.fp32'], Path('.bigfoot/aside')); Path('timings.json').touch()"
    deps: [variants]
    outs: [timings.json]
"""


def test_only_what_is_not_named_is_moved_and_a_former_one_is_replaced(tmp_path, caplog):
    variants, aside = tmp_path / "variants", tmp_path / ".bigfoot/aside"
    with caplog.at_level(logging.INFO):
        for content in ("old", "new"):
            for name in ("half.fp32", "thin.fp32", ".hidden"):
                (variants / name).mkdir(parents=True, exist_ok=True)
            (variants / "thin.fp32/variant.json").write_text(content)
            set_aside(variants, ["half.fp32"], aside)
            assert {path.name for path in variants.iterdir()} == {"half.fp32", ".hidden"}
            assert (aside / "variants/thin.fp32/variant.json").read_text() == content
    assert caplog.text.count("thin.fp32 is not of this params.yaml: moved to") == 2


def test_scores_are_files_and_a_folder_may_be_absent(tmp_path):
    scores, aside = tmp_path / "scores", tmp_path / "aside"
    set_aside(scores, [], aside)
    scores.mkdir()
    for content in ("old", "new"):
        (scores / "thin.fp32.json").write_text(content)
        set_aside(scores, [], aside)
    assert not list(scores.iterdir()) and (aside / "scores/thin.fp32.json").read_text() == "new"


def test_dvc_records_the_folder_as_the_stage_leaves_it(tmp_path):
    """It hashes deps after the command; otherwise what was moved would be in dvc.lock, and the stage stale at once."""
    for name in ("half.fp32", "thin.fp32"):
        (tmp_path / "variants" / name).mkdir(parents=True)
        (tmp_path / "variants" / name / "variant.json").write_text(name)
    (tmp_path / "dvc.yaml").write_text(STAGE)
    (tmp_path / ".gitignore").write_text(".bigfoot/\n")

    def dvc(*arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    dvc("init", "--no-scm")
    dvc("repro")
    assert not (tmp_path / "variants/thin.fp32").exists()
    assert "up to date" in dvc("status")
