"""Canceling a run whose stage waits, on a real Prefect server: it does not wait to the end."""

import signal
import subprocess

import pytest
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency

from tests.flows.conftest import in_a_process
from tests.flows.runs import names, run


@pytest.fixture
def gpu(monkeypatch):
    """A machine with one GPU: the limit of its tag is 1."""
    monkeypatch.setattr("flows.repro._has_gpu", lambda: True)
    with get_client(sync_client=True) as client:
        client.create_concurrency_limit("gpu", 1)
        yield
        client.delete_concurrency_limit_by_tag("gpu")


def _ends_after_sigterm(flow: subprocess.Popen, once: str) -> bool:
    lines = [""]
    while once not in lines[-1]:
        lines.append(flow.stdout.readline())
        assert lines[-1], lines
    flow.send_signal(signal.SIGTERM)
    try:
        flow.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        flow.kill()
        return False
    return True


def test_a_canceled_run_does_not_wait_for_a_gpu(project, gpu):
    with concurrency("tag:gpu"):
        flow = in_a_process(project(), "from flows import repro; repro._has_gpu = lambda: True", targets=["teacher"])
        assert _ends_after_sigterm(flow, "waiting for a slot of the limit 'gpu'")


def test_a_canceled_run_does_not_wait_for_another_try(project):
    flow = in_a_process(project(teacher="exit 75"), "from flows import waiting; waiting.DELAYS = (9000,)", targets=["teacher"])
    assert _ends_after_sigterm(flow, "another try in 9000 s")


@pytest.mark.slow
def test_trainings_take_turns_where_there_is_one_gpu(project, gpu):
    folder = project(student="mkdir busy || exit 1; sleep 3; rmdir busy; mkdir -p models; echo 1 > models/${item}")
    state = run(folder, targets=["student"])
    assert state.is_completed(), state.message
    assert set(names(state).values()) == {"Completed"}
