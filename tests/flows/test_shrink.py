"""The flow on a real Prefect server and real DVC stages: which stages run, in which order, and what a failure stops."""

from datetime import datetime

import pytest

from tests.flows.conftest import ROOT
from tests.flows.runs import names, run, tasks


def test_every_stage_runs_once_and_then_none_has_to(finished, up_to_date):
    _, first = finished
    assert first.is_completed() and first.message.startswith("4 stages run")
    assert names(first) == dict.fromkeys(("teacher", "student@half", "student@thin", "benchmark"), "Completed")
    second = run(up_to_date)
    assert second.is_completed() and set(names(second).values()) == {"Cached"}


def test_only_what_changed_and_what_follows_runs_again(up_to_date):
    params = (up_to_date / "params.yaml").read_text()
    (up_to_date / "params.yaml").write_text(params.replace("layers: 2", "layers: 3"))
    again = run(up_to_date)
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


def test_network_errors_are_retried_and_a_bug_is_not(project):
    """A stage exits with status 75 where the hub is away."""
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


COMPARE = """  compare:
    cmd: mkdir reports && echo 1 > reports/rows
    deps: [timings.json]
    outs: [reports]
"""


def test_a_run_whose_server_was_away_says_so_and_the_next_run_logs_what_is_lacking(project, monkeypatch):
    from flows.shrink import catch_up

    folder = project()
    with (folder / "dvc.yaml").open("a") as stages:
        stages.write(COMPARE)
    monkeypatch.setattr("flows.shrink.catch_up", catch_up.with_options(retry_delay_seconds=0.1, retries=1))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    away = run(folder)
    assert away.is_completed() and away.message.endswith("; MLflow lacks them: `bigfoot track`")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    back = run(folder)
    assert back.is_completed() and back.message == "0 stages run, 5 were up to date"
    assert names(back)["compare"] == "Cached" and "bigfoot track" not in tasks(back)["tracking"].state.message


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


def test_targets_end_the_run_where_they_say(up_to_date):
    state = run(up_to_date, targets=["student"])
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


def test_a_budget_makes_the_teacher_and_proposes_in_a_worktree_of_its_own(project):
    folder = project()
    before = (folder / "params.yaml").read_text()
    state = run(folder, budget={"max_mb": 1, "max_ms": 5})
    assert tasks(state)["teacher"].state.is_completed() and tasks(state)["propose"].state.is_failed()
    assert state.is_failed() and "budget: " in state.message and "run `dvc repro teacher` first" in state.message
    assert "its worktree stays" in state.message and (folder / "params.yaml").read_text() == before


def test_times_of_tasks_are_in_order(finished):
    """A task starts once what it needs has ended."""
    found = tasks(finished[1])
    end: datetime = found["teacher"].end_time
    assert all(found[f"student@{name}"].start_time >= end for name in ("half", "thin"))
