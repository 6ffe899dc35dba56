"""A stage that can't write to the end says so in one line, leaves nothing half done, and does its work once there is space."""

import ctypes
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
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
WRITING = [*(f"pipeline.stages.{stage}" for stage in LIMITS), "pipeline.stages.benchmark", "pipeline.stages.compare"]
WRITING += [f"pipeline.cli {command}" for command in ("results", "use digits", "promote half.int8-torch --force", "rollback")]


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


@pytest.fixture
def read_only(project, tmp_path) -> Iterator[Path]:
    folder = Path(shutil.copytree(project, tmp_path / "project", symlinks=True))
    subprocess.run(["chmod", "-R", "a-w", folder], check=True)
    yield folder
    subprocess.run(["chmod", "-R", "u+w", folder], check=True)


def written(folder: Path) -> dict[Path, int]:
    """When each file was written last."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def as_others() -> None:
    """Without root's right to write where no one may write."""
    drop_from_bounding_set, may_write_all = 24, 1  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE
    assert os.getuid() or not ctypes.CDLL(None).prctl(drop_from_bounding_set, may_write_all, 0, 0, 0)


@pytest.mark.shows("full", "a read-only project: a stage or command that writes", "one line, every file as it was")
def test_what_writes_into_a_read_only_project_is_one_line(read_only, record_property):
    before = written(read_only)
    for command in WRITING:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()], cwd=read_only, capture_output=True, text=True, preexec_fn=as_others,
            env=os.environ | {"PYTHONPATH": str(read_only)},
        )  # fmt: skip
        errors = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "Traceback"))]
        assert done.returncode == 1 and len(errors) == 1, f"{command}: {done.stderr}"
    assert written(read_only) == before
    record_property("tried", len(WRITING))


@pytest.mark.shows("full", "HOME is a file: `bigfoot check`", "one line")
def test_a_home_that_is_a_file_is_one_line(project, tmp_path):
    (tmp_path / "home").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "check"], cwd=project, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(project), "HOME": str(tmp_path / "home")},
    )  # fmt: skip
    reason = "/home/.config/dvc/config can't be used (Not a directory): check its permissions and its disk"
    assert done.returncode == 1 and done.stderr == f"error: {tmp_path}{reason}\n"


@pytest.mark.shows("full", "a path with spaces, ö, ß, %, Cyrillic and Japanese letters", "the whole chain runs")
def test_the_chain_runs_in_a_folder_with_spaces_and_letters_beyond_ascii(project, tmp_path):
    folder = fresh_project(tmp_path / "Größe und Maß" / "клон 100% に")
    run_dvc(folder, "repro")
    assert "up to date" in run_dvc(folder, "status")
    assert hashes(folder) == hashes(project)
