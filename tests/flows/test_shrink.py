"""The flow on a real Prefect server with real DVC stages: which stages run, are skipped or fail, and that it cleans up."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from flows import process
from flows.shrink import shrink

ROOT = Path(__file__).parents[2]


def run(folder: Path, **parameters):
    return shrink(project=str(folder), return_state=True, **parameters)


def tasks(state) -> dict:
    """{stage: its task run} of a finished flow run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    async def ask():
        async with get_client() as client:
            only = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
            return await client.read_task_runs(flow_run_filter=only)

    return {task.name: task for task in asyncio.run(ask())}


def names(state) -> dict[str, str]:
    """{stage: the name of its last state}; the server gets states by events, which may arrive after the flow's end."""
    deadline = time.monotonic() + 30
    while True:
        states = {stage: task.state for stage, task in tasks(state).items()}
        if all(last.is_final() or last.is_pending() for last in states.values()) or time.monotonic() > deadline:
            return {stage: last.name for stage, last in states.items()}
        time.sleep(0.2)


def test_every_stage_runs_once_and_a_second_run_skips_all(project):
    folder = project()
    first = run(folder)
    assert first.is_completed() and first.message.startswith("4 stages run")
    assert names(first) == dict.fromkeys(("teacher", "student@half", "student@thin", "benchmark"), "Completed")
    second = run(folder)
    assert second.is_completed() and set(names(second).values()) == {"Cached"}


def test_only_changed_stages_and_their_dependents_run_again(project):
    folder = project()
    run(folder)
    params = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(params.replace("layers: 2", "layers: 3"))
    again = run(folder)
    assert names(again) == {
        "teacher": "Cached", "student@half": "Completed", "student@thin": "Cached", "benchmark": "Completed",
    }  # fmt: skip


def test_a_failing_student_stops_only_its_dependents_and_is_named(project):
    broken = "if [ ${item} = half ]; then echo 'error: no such layer' >&2; exit 1; fi; mkdir -p models; echo 1 > models/${item}"
    folder = project(student=broken)
    state = run(folder)
    assert state.is_failed() and "student@half: no such layer" in state.message
    assert names(state) == {
        "teacher": "Completed", "student@half": "Failed", "student@thin": "Completed", "benchmark": "NotRun",
    }  # fmt: skip


def test_a_temporary_failure_is_tried_again_and_a_bug_is_not(project):
    """A stage exits with status 75 where the hub can't be reached."""
    folder = project(teacher="mkdir -p models; if [ -e tried ]; then echo 1 > models/teacher; else touch tried; exit 75; fi")
    state = run(folder, targets=["teacher"])
    assert state.is_completed() and tasks(state)["teacher"].run_count == 2
    (folder / "dvc.yaml").write_text((folder / "dvc.yaml").read_text().replace("exit 75", "exit 1"))
    (folder / "tried").unlink()
    state = run(folder, targets=["teacher"])
    assert state.is_failed() and tasks(state)["teacher"].run_count == 1


def test_mlflow_gets_what_it_lacks_once_its_server_is_back(project, monkeypatch):
    from prefect import flow

    from flows.shrink import catch_up

    folder = project()
    impatient = catch_up.with_options(task_run_name="tracking", retry_delay_seconds=0.1, retries=2)
    ask = flow(lambda: impatient(folder, return_state=True), name="ask")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    away = ask(return_state=True)
    assert away.is_failed() and tasks(away)["tracking"].run_count == 3
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    back = ask(return_state=True)
    assert back.is_completed() and "MLflow: up to date" in tasks(back)["tracking"].state.message


def test_independent_stages_overlap_up_to_the_limit(project):
    folder = project(student="sleep 4 && mkdir -p models && echo 1 > models/${item}")
    state = run(folder, concurrency=2)
    half, thin = (tasks(state)[f"student@{name}"] for name in ("half", "thin"))
    assert half.start_time < thin.end_time and thin.start_time < half.end_time
    alone = run(folder, concurrency=1, force=True)
    half, thin = (tasks(alone)[f"student@{name}"] for name in ("half", "thin"))
    assert half.end_time <= thin.start_time or thin.end_time <= half.start_time


def test_the_run_stops_after_its_targets(project):
    state = run(project(), targets=["student"])
    assert set(names(state)) == {"teacher", "student@half", "student@thin"}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"targets": ["pupil"]}, "stage pupil"),
        ({"profile": "nowhere"}, "profile 'nowhere'"),
        ({"overrides": ["students.half.layers"]}, "override 'students.half.layers'"),
        ({"overrides": ["students.half.layrs=2"]}, "students.half.layrs"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(project, parameters, named):
    folder = project()
    state = run(folder, **parameters)
    assert state.is_failed() and named in state.message and "\n" not in state.message
    assert not tasks(state) and not list((folder / ".bigfoot").glob("worktrees/*"))


def test_a_refused_run_leaves_no_worktree(project):
    folder = project()
    state = run(folder, profile="digits", targets=["pupil"])
    assert state.is_failed() and "stage pupil" in state.message
    assert not list((folder / ".bigfoot").glob("worktrees/*"))
    state = run(folder, force=True, spread=True)
    assert state.is_failed() and "force and spread" in state.message


def test_a_measurement_waits_until_the_host_is_free(tmp_path):
    output, stop = [], threading.Event()
    other = threading.Thread(target=process.run, args=(["sleep", "3"], tmp_path, print, stop))
    other.start()
    time.sleep(1)
    assert process.run(["echo", "measured"], tmp_path, output.append, stop, alone=True) == 0
    assert not other.is_alive() or other.join(1) is None
    assert len(output) == 2 and output[0].startswith("waiting for this host") and output[1] == "measured"


def test_a_run_with_overrides_leaves_the_project_unchanged_and_becomes_an_experiment(project):
    folder = project()
    run(folder)
    before = {name: (folder / name).read_bytes() for name in ("params.yaml", "dvc.lock", "timings.json")}
    state = run(folder, overrides=["students.half.layers=3"])
    assert state.is_completed() and names(state)["student@half"] == "Completed" and names(state)["teacher"] == "Cached"
    assert before == {name: (folder / name).read_bytes() for name in before}
    listed = subprocess.run([sys.executable, "-m", "dvc", "exp", "list"], cwd=folder, capture_output=True, text=True).stdout
    assert state.message.rpartition(" ")[2] in listed
    assert not list((folder / ".bigfoot/worktrees").iterdir())


def test_the_worktree_of_a_failed_run_stays_and_is_named(project):
    folder = project(student="exit 3")
    state = run(folder, overrides=["students.half.layers=3"])
    (kept,) = (folder / ".bigfoot/worktrees").iterdir()
    assert state.is_failed() and str(kept) in state.message


def test_a_stage_that_takes_longer_than_its_limit_is_ended(project):
    folder = project(student="sleep 61")
    params = folder / "params.yaml"
    params.write_text(params.read_text() + f"\ntime_limits: {{student: {3 / 3600}}}\n")
    state = run(folder, targets=["student"])
    assert state.is_failed() and "time_limits" in state.message
    assert not _sleepers("61")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_flow_that_ends_leaves_no_process_and_no_lock(project, how):
    folder = project(teacher="sleep 62 && mkdir -p models && echo 1 > models/teacher")
    from prefect.settings import PREFECT_API_URL

    code = f"from flows.shrink import shrink; shrink(project={str(folder)!r})"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": PREFECT_API_URL.value()}
    flow = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_accept_sigint)  # fmt: skip
    deadline = time.monotonic() + 90
    while not _sleepers("62"):
        assert flow.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(flow.pid, how)
    flow.wait(60)
    deadline = time.monotonic() + 15
    while _sleepers("62"):
        assert time.monotonic() < deadline, "the stage outlived its flow"
        time.sleep(0.2)
    subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=folder, check=True, capture_output=True)


def _accept_sigint() -> None:
    """A shell's background jobs and their children ignore SIGINT, and these tests may run in such a job."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _sleepers(seconds: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", seconds]]


def test_a_task_starts_after_its_dependencies_have_ended(project):
    ran = tasks(run(project()))
    end: datetime = ran["teacher"].end_time
    assert all(ran[f"student@{name}"].start_time >= end for name in ("half", "thin"))
