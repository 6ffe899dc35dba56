"""The flow on a real Prefect server and real DVC stages: what runs, what doesn't, what fails, and that nothing is left over."""

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
    """{stage: its task run}, of a finished flow run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    async def ask():
        async with get_client() as client:
            only = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
            return await client.read_task_runs(flow_run_filter=only)

    return {one.name: one for one in asyncio.run(ask())}


def names(state) -> dict[str, str]:
    """Of each stage the name of its last state; the server hears of states by events, which may come after the flow's end."""
    deadline = time.monotonic() + 30
    while True:
        found = tasks(state)
        if all(one.state.is_final() or one.state.is_pending() for one in found.values()) or time.monotonic() > deadline:
            return {stage: one.state.name for stage, one in found.items()}
        time.sleep(0.2)


def test_every_stage_runs_once_and_then_none_has_to(project):
    folder = project()
    first = run(folder)
    assert first.is_completed() and first.message.startswith("4 stages run")
    assert names(first) == dict.fromkeys(("teacher", "student@half", "student@thin", "benchmark"), "Completed")
    second = run(folder)
    assert second.is_completed() and set(names(second).values()) == {"Cached"}


def test_only_what_changed_and_what_follows_runs_again(project):
    folder = project()
    run(folder)
    params = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(params.replace("layers: 2", "layers: 3"))
    again = run(folder)
    assert names(again) == {
        "teacher": "Cached", "student@half": "Completed", "student@thin": "Cached", "benchmark": "Completed",
    }  # fmt: skip


def test_a_failing_student_ends_its_own_branch_only_and_is_named(project):
    broken = "if [ ${item} = half ]; then echo 'error: no such layer' >&2; exit 1; fi; mkdir -p models; echo 1 > models/${item}"
    folder = project(student=broken)
    state = run(folder)
    assert state.is_failed() and "student@half: no such layer" in state.message
    assert names(state) == {
        "teacher": "Completed", "student@half": "Failed", "student@thin": "Completed", "benchmark": "NotRun",
    }  # fmt: skip


def test_what_the_net_may_give_later_is_tried_again_and_a_bug_is_not(project):
    """A stage exits with status 75 where the hub is away."""
    folder = project(teacher="mkdir -p models; if [ -e tried ]; then echo 1 > models/teacher; else touch tried; exit 75; fi")
    state = run(folder, targets=["teacher"])
    assert state.is_completed() and tasks(state)["teacher"].run_count == 2
    (folder / "dvc.yaml").write_text((folder / "dvc.yaml").read_text().replace("exit 75", "exit 1"))
    (folder / "tried").unlink()
    state = run(folder, targets=["teacher"])
    assert state.is_failed() and tasks(state)["teacher"].run_count == 1


def test_mlflow_is_caught_up_with_once_it_is_back_and_its_absence_fails_nothing(project, monkeypatch):
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
    """Where both may run, each student waits until the other one is there, which two in turn never are."""
    meet = "touch at-${item}; timeout 60 sh -c 'until [ -e at-half ] && [ -e at-thin ]; do sleep 0.1; done' || exit 1"
    folder = project(student=f"if [ ! -e apart ]; then {meet}; fi; mkdir -p models; echo 1 > models/${{item}}")
    together = run(folder, targets=["student"], concurrency=2)
    assert together.is_completed(), together.message
    (folder / "apart").touch()
    alone = run(folder, targets=["student"], concurrency=1, force=True)
    half, thin = (tasks(alone)[f"student@{name}"] for name in ("half", "thin"))
    assert half.end_time <= thin.start_time or thin.end_time <= half.start_time


def test_targets_end_the_run_where_they_say(project):
    state = run(project(), targets=["student"])
    assert set(names(state)) == {"teacher", "student@half", "student@thin"}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"targets": ["pupil"]}, "there is no stage pupil"),
        ({"profile": "nowhere"}, "there is no profile 'nowhere', known are: digits, quickstart"),
        ({"overrides": ["students.half.layers"]}, "override 'students.half.layers'"),
        ({"overrides": ["students.half.layrs=2"]}, r"students.half.layrs: is no parameter"),
    ],
)
def test_nonsense_is_refused_before_anything_runs(project, parameters, said):
    folder = project()
    state = run(folder, **parameters)
    assert state.is_failed() and said in state.message and "\n" not in state.message
    assert not tasks(state) and not list((folder / ".bigfoot").glob("worktrees/*"))


def test_a_refused_run_of_its_own_leaves_no_worktree(project):
    folder = project()
    state = run(folder, profile="digits", targets=["pupil"])
    assert state.is_failed() and "there is no stage pupil" in state.message
    assert not list((folder / ".bigfoot").glob("worktrees/*"))
    state = run(folder, force=True, spread=True)
    assert state.is_failed() and "force and spread" in state.message


def test_a_measurement_waits_until_the_host_is_free(tmp_path):
    """The other command ends once the measurement waits; had the measurement not waited, it would not find the file `ended`."""
    said, stop, began = [], threading.Event(), threading.Event()
    other = "echo began; until [ -e waiting ]; do sleep 0.1; done; sleep 0.5; touch ended"
    thread = threading.Thread(target=process.run, args=(["sh", "-c", other], tmp_path, lambda _: began.set(), stop))
    thread.start()
    assert began.wait(60)

    def say(line: str) -> None:
        said.append(line)
        (tmp_path / "waiting").touch()

    assert process.run(["sh", "-c", "test -e ended && echo measured"], tmp_path, say, stop, alone=True) == 0
    thread.join()
    assert said == ["waiting for this host: other stages are running", "measured"]


def test_a_run_with_overrides_leaves_the_project_alone_and_becomes_an_experiment(project):
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
    (stays,) = (folder / ".bigfoot/worktrees").iterdir()
    assert state.is_failed() and str(stays) in state.message


def test_a_stage_that_takes_longer_than_its_limit_is_ended(project):
    folder = project(student="sleep 61")
    params = folder / "params.yaml"
    params.write_text(params.read_text() + f"\ntime_limits: {{student: {3 / 3600}}}\n")
    state = run(folder, targets=["student"])
    assert state.is_failed() and "its limit in params.yaml" in state.message
    assert not _sleepers("61")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_flow_that_ends_leaves_no_process_and_no_lock(project, how):
    folder = project(teacher="sleep 62 && mkdir -p models && echo 1 > models/teacher")
    from prefect.settings import PREFECT_API_URL

    code = f"from flows.shrink import shrink; shrink(project={str(folder)!r})"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": PREFECT_API_URL.value()}
    flow = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_hear_ctrl_c)  # fmt: skip
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


def _hear_ctrl_c() -> None:
    """A shell's background job is born deaf to SIGINT, and so are its children: these tests may run in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _sleepers(seconds: str) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", seconds]]


def test_times_of_tasks_are_in_order(project):
    """A task starts once what it needs has ended."""
    found = tasks(run(project()))
    end: datetime = found["teacher"].end_time
    assert all(found[f"student@{name}"].start_time >= end for name in ("half", "thin"))
