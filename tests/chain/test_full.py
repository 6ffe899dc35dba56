"""A stage that can't write to the end says so in one line, leaves nothing half done, and does its work once there is space."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chain.conftest import fresh_project, run_dvc
from tests.chain.test_reproducible import hashes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
# Stages, and the bytes that a file may have while they run: too few for one of their files.
LIMITS = {
    "prepare": 1_000, "teacher_logits": 10_000, "quantize half-int8-torch": 20_000, "quantize half-int8qat-openvino": 20_000,
    "quantize teacher-int8-onnx": 20_000, "quantize teacher-fp32": 20_000, "evaluate teacher-fp32": 1_000, "teacher": 150_000,
    "student half": 50_000,
}  # fmt: skip


@pytest.fixture
def copy(project, tmp_path) -> Path:
    return Path(shutil.copytree(project, tmp_path / "project", symlinks=True))


def run(folder: Path, stage: str, limit: int = -1) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *f"pipeline.stages.{stage}".split()], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(folder)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip


@pytest.mark.shows("full", "no more room in `{stage}`", "one line, nothing half done; the next try succeeds")
@pytest.mark.parametrize("stage", LIMITS)
def test_a_full_disk_is_one_line_and_the_next_try_succeeds(project, copy, stage):
    full = run(copy, stage, LIMITS[stage])
    errors = [line for line in full.stderr.splitlines() if line.startswith(("error: ", "Traceback"))]
    assert full.returncode == 1 and len(errors) == 1, full.stderr
    assert errors[0].startswith("error: the disk of ") and errors[0].endswith("free some space and run it again")
    half_done = [path.name for name in ("variants", "scores", "corpora") for path in (copy / name).glob("*part*")]
    assert not half_done
    again = run(copy, stage)
    assert again.returncode == 0, again.stderr
    assert hashes(copy) == hashes(project)


@pytest.mark.shows("full", "no more room at a checkpoint", "one line; the next try goes on from the checkpoint before")
def test_a_disk_that_fills_up_at_a_checkpoint_leaves_the_one_before_to_go_on_from(project, copy):
    """The first try is stopped when its first checkpoint is whole, the second has no space for the next one."""
    folder = copy / ".bigfoot/checkpoints/teacher"
    first = subprocess.Popen(
        [sys.executable, "-m", "pipeline.stages.teacher"], cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not list(folder.glob("*/checkpoint-3/ledger.json")):
        assert first.poll() is None
    first.kill()
    first.wait()
    full = run(copy, "teacher", 150_000)
    assert full.returncode == 1 and "error: the disk of " in full.stderr
    assert list(folder.glob("*/checkpoint-3/ledger.json"))
    again = run(copy, "teacher")
    assert again.returncode == 0 and "resuming from step 3" in again.stdout
    assert hashes(copy) == hashes(project) and not list(folder.glob("*"))


@pytest.mark.shows("full", "a path with spaces, ö, ß, %, Cyrillic and Japanese letters", "the whole chain runs")
def test_the_chain_runs_in_a_folder_with_spaces_and_letters_beyond_ascii(project, tmp_path):
    folder = fresh_project(tmp_path / "Größe und Maß" / "клон 100% に")
    run_dvc(folder, "repro")
    assert "up to date" in run_dvc(folder, "status")
    assert hashes(folder) == hashes(project)
