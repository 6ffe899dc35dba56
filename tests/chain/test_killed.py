"""Every stage of the chain, killed again and again at random moments: it ends with the same files as undisturbed.

No process outlives its dvc, and nothing is left of what was killed. In turn, a kill ends the stage's process, dvc alone, or
everything at once.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.chain.conftest import fresh_project, run_dvc
from tests.chain.test_reproducible import hashes

KILLS = 10  # of each stage
STAGES = (
    "prepare", "teacher", "teacher_logits", "student@half", "quantize@half-int8qat-openvino", "evaluate@half-int8qat-openvino",
    "benchmark", "compare",
)  # fmt: skip
SEED = 21
MARK = "BIGFOOT_TEST_KILLED"  # in the environment of all that a campaign starts
KEPT = (".git", ".dvc", "__pycache__", ".bigfoot/locks", "opened.txt", "mlartifacts", "mlflow.db")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_stages_that_are_killed_at_random_end_as_if_undisturbed(project, tmp_path, monkeypatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv(MARK, str(tmp_path))
    folder = fresh_project(tmp_path / "project")
    moments = random.Random(SEED)
    for stage in STAGES:
        if before := _before(stage, project):
            run_dvc(folder, "repro", *before)
        seconds, hits = _seconds(folder, stage), {"stage": 0, "group": 0, "dvc": 0}
        tries = 0
        while sum(hits.values()) < KILLS:
            what = list(hits)[tries % len(hits)]
            hits[what] += _killed(folder, stage, what, moments.uniform(0, seconds))
            tries += 1
            _wait_for_the_end()
            assert tries < 3 * KILLS, "the stage ends before it is killed"
        run_dvc(folder, "repro", "--single-item", "--force", stage)
        print(f"{stage}: {KILLS} of {tries} kills hit ({hits}), {seconds:.0f} s undisturbed", flush=True)
    run_dvc(folder, "repro")
    assert "up to date" in run_dvc(folder, "status")
    expected, found = hashes(project), hashes(folder)
    assert len(found) > 10 and found == expected
    assert _names(folder) == _names(project)
    left = [path for path in temporary.rglob("*") if path.is_file() and not path.is_symlink()]
    print(f"{len(left)} temporary files are left: {[str(path.relative_to(temporary)) for path in left]}")
    assert sum(path.stat().st_size for path in left) < 1e6


def _before(stage: str, project: Path) -> list[str]:
    """The stages before one, in the order in which an undisturbed run went through them."""
    from pipeline.common import graph

    stages = graph.read(project)
    return [name for name in graph.up_to(stages, [stage]) if name != stage]


def _seconds(folder: Path, stage: str) -> float:
    """How long the stage's process lives undisturbed."""
    dvc = _start(folder, stage)
    process = _stage_of(dvc)
    began = time.monotonic()
    psutil.wait_procs([process])
    assert dvc.wait() == 0
    return time.monotonic() - began


def _killed(folder: Path, stage: str, what: str, seconds: float) -> bool:
    """Start the stage, and kill it, dvc or all of them after some seconds; whether it was still running."""
    dvc = _start(folder, stage)
    process = _stage_of(dvc)
    time.sleep(seconds)
    is_running = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    if what == "group":
        os.killpg(dvc.pid, signal.SIGKILL)
    elif what == "dvc":
        dvc.kill()
    elif is_running:
        process.kill()
    dvc.wait()
    return is_running


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
