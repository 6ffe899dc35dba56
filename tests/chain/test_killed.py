"""Every stage of the chain, killed again and again at random moments: it ends with the same files as undisturbed.

No process outlives its dvc, and nothing is left of what was killed. In turn, a kill ends the stage's process, dvc alone, or
everything at once.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.benchmark.processes import HOST_LOCK
from pipeline.common import graph
from tests.chain.conftest import LIVED, OPENED, run_dvc
from tests.chain.test_reproducible import hashes

KILLS = 10  # of each stage
STAGES = (
    "prepare", "teacher", "teacher_logits", "student@half", "quantize@half-int8qat-openvino", "evaluate@half-int8qat-openvino",
    "benchmark", "compare",
)  # fmt: skip
SEED = 21
MARK = "BIGFOOT_TEST_KILLED"  # in the environment of all that a campaign starts
KEPT = (".git", ".dvc", "__pycache__", ".bigfoot/locks", OPENED, LIVED, "mlartifacts", "mlflow.db")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.shows("killed", "`{stage}`: its process, dvc alone, all at once", "the same files, no process and no file left")
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_is_killed_at_random_ends_as_if_undisturbed(project, stage, tmp_path, monkeypatch, record_property):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv(MARK, str(tmp_path))
    folder = Path(shutil.copytree(project, tmp_path / "project", symlinks=True))
    seconds, moments = _lived(project, stage), random.Random(f"{SEED} {stage}")
    hits, tries = {"stage": 0, "group": 0, "dvc": 0}, 0
    while sum(hits.values()) < KILLS:
        what = list(hits)[tries % len(hits)]
        lived = _killed(folder, stage, what, moments.uniform(0, seconds))
        hits[what] += lived is None
        seconds = lived or seconds  # it ended before the kill, so that many are too many
        tries += 1
        _wait_for_the_end()
        graph.read(folder)  # as `bigfoot check` does, where docs/troubleshooting.md says so: dvc may be killed as it writes
        assert tries < 3 * KILLS, "the stage ends before it is killed"
    print(f"{stage}: {KILLS} of {tries} kills hit ({hits}), {seconds:.0f} s undisturbed", flush=True)
    run_dvc(folder, "repro", "--single-item", "--force", stage)
    assert "up to date" in run_dvc(folder, "status", stage)
    expected, found = hashes(project), hashes(folder)
    assert len(found) > 10 and found == expected
    assert _names(folder) == _names(project)
    assert {path.name for path in temporary.iterdir()} <= {HOST_LOCK.name}  # which stays, and is empty
    record_property("tried", KILLS)


def _lived(project: Path, stage: str) -> float:
    """How many seconds the stage's own process lived undisturbed: no other of the stage lives longer."""
    lives = (line.split() for line in (project / LIVED).read_text().splitlines())
    return max(float(seconds) for name, seconds in lives if name == stage)


def _killed(folder: Path, stage: str, what: str, seconds: float) -> float | None:
    """Start the stage, and after some seconds kill it, dvc or all of them; its life where it ended before that, else None."""
    dvc = _start(folder, stage)
    process, began = _stage_of(dvc), time.monotonic()
    ended, _ = psutil.wait_procs([process], timeout=seconds)
    lived = time.monotonic() - began
    if what == "group":
        os.killpg(dvc.pid, signal.SIGKILL)
    elif what == "dvc":
        dvc.kill()
    elif not ended:
        process.kill()
    dvc.wait()
    return lived if ended else None


def _start(folder: Path, stage: str) -> subprocess.Popen:
    environment = os.environ | {
        "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "--single-item", "--force", stage],
        cwd=folder, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _stage_of(dvc: subprocess.Popen) -> psutil.Process:
    """The stage's own process, as soon as there is one."""
    while True:
        assert dvc.poll() is None, "dvc ended before its stage began"
        for child in psutil.Process(dvc.pid).children(recursive=True):
            if any(part.startswith("pipeline.stages.") for part in child.cmdline()):
                return child
        time.sleep(0.05)


def _wait_for_the_end() -> None:
    """Until nothing that the campaign started is alive; fails where something stays."""
    mine, deadline = os.environ[MARK], time.monotonic() + 30
    while left := [process for process in psutil.process_iter() if _is_marked(process, mine)]:
        assert time.monotonic() < deadline, f"orphans: {[process.cmdline() for process in left]}"
        time.sleep(0.1)


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _names(folder: Path) -> set[str]:
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in names if not any(f"/{kept}" in f"/{name}" for kept in KEPT)}
