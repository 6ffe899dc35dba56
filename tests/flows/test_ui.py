"""`make ui` with real servers: a deployment that runs to its end, one that is canceled, and no process left behind."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from flows.service import free_port
from flows.ui import _port
from pipeline.common.errors import BigfootError
from pipeline.lab.pictures import asked
from tests.flows.conftest import add_code

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


class Ui:
    """`python -m flows.ui` in a project, and Prefect's API."""

    def __init__(self, folder: Path):
        self.folder, self.prefect, self.mlflow = folder, free_port(), free_port()
        if not (folder / "flows").exists():
            add_code(folder)
        environment = os.environ | {"BIGFOOT_PREFECT_PORT": str(self.prefect), "BIGFOOT_MLFLOW_PORT": str(self.mlflow)}
        for name in ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI", "PREFECT_API_DATABASE_CONNECTION_URL"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.ui"], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        for line in self.process.stdout:
            if "ctrl-C" in line:
                return
        raise AssertionError(f"it did not start: {[p.read_text()[-500:] for p in folder.glob('.bigfoot/prefect/*.log')]}")

    def api(self, path: str, body: dict | None = None) -> dict:
        return asked(f"http://127.0.0.1:{self.prefect}", path, body)

    def start(self, deployment: str, **parameters) -> str:
        registered = self.api(f"deployments/name/shrink/{deployment}")
        return self.api(f"deployments/{registered['id']}/create_flow_run", {"parameters": parameters})["id"]

    def wait_for(self, run: str, *states: str, seconds: float = 120) -> dict:
        deadline = time.monotonic() + seconds
        while True:
            state = self.api(f"flow_runs/{run}")["state"]
            if state["name"] in states:
                return state
            assert time.monotonic() < deadline, state
            time.sleep(0.5)


@pytest.fixture
def ui(project):
    started = []

    def start(**commands) -> Ui:
        started.append(Ui(project(**commands)))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGINT)
        running.process.wait(60)
        left = [p for p in psutil.process_iter(["cmdline"]) if str(running.folder) in " ".join(p.info["cmdline"] or [])]
        assert not left, left


def test_a_deployment_runs_to_its_end_and_shows_its_stages(ui):
    running = ui()
    run = running.start("nightly")
    state = running.wait_for(run, "Completed", "Failed", "Crashed")
    assert state["name"] == "Completed" and state["message"].startswith("4 stages run"), state
    tasks = running.api("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
    assert {task["name"]: task["state_name"] for task in tasks}["student@half"] == "Completed"
    logs = running.api("logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}})
    teacher = next(task["id"] for task in tasks if task["name"] == "teacher")
    assert "hello from teacher" in {log["message"] for log in logs if log["task_run_id"] == teacher}
    urllib.request.urlopen(f"http://127.0.0.1:{running.mlflow}/health", timeout=60).close()
    with urllib.request.urlopen(f"http://127.0.0.1:{running.prefect}/ui-settings", timeout=60) as answer:
        assert json.load(answer)["api_url"] == f"http://127.0.0.1:{running.prefect}/api"  # the address that its pages call


def test_a_canceled_run_ends_its_stage_and_leaves_dvc_unlocked(ui):
    running = ui(teacher="sleep 6300 && mkdir -p models && echo 1 > models/teacher")
    run = running.start("nightly")
    while not (sleepers := _sleepers()):
        time.sleep(0.3)
    running.api(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    running.wait_for(run, "Cancelled")
    psutil.wait_procs(sleepers)  # where the stage outlives its flow run, the suite's time limit ends this
    subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=running.folder, check=True, capture_output=True)


def test_a_run_whose_worker_is_killed_ends(ui, tmp_path):
    """With the worker all of `make ui` ends; when it is back, the automation finds that the run sends no heartbeat."""
    running = ui(teacher="sleep 6300 && mkdir -p models && echo 1 > models/teacher")
    run = running.start("nightly")
    while not (sleepers := _sleepers()):
        time.sleep(0.3)
    time.sleep(31)  # its first heartbeat
    for process in psutil.Process(running.process.pid).children(recursive=True) + sleepers:
        with contextlib.suppress(psutil.NoSuchProcess):  # ended by the kill of another, or a zombie
            if any(word in " ".join(process.cmdline()) for word in ("worker", "engine", "sleep", "dvc", "guard")):
                process.kill()
    running.process.wait(60)
    again = Ui(running.folder)
    try:
        assert "no heartbeat" in again.wait_for(run, "Crashed", seconds=400)["message"]
    finally:
        again.process.send_signal(signal.SIGINT)
        again.process.wait(60)


def test_a_broken_database_is_said_before_a_server_opens_it(tmp_path):
    (tmp_path / "mlflow.db").write_text("no database")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "flows.ui"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    why, error = done.stderr.splitlines()
    assert done.returncode == 1 and "`bigfoot track --rebuild` makes it anew" in why and "mlflow.db can't be opened" in error


def test_a_port_in_use_is_an_error_of_one_line(project, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = os.environ | {"BIGFOOT_PREFECT_PORT": str(taken.getsockname()[1]), "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-m", "flows.ui"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: port") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("given", ["abc", "99999", "0", "-1"])
def test_a_port_that_is_none_is_an_error_of_one_line(monkeypatch, given):
    monkeypatch.setenv("BIGFOOT_MLFLOW_PORT", given)
    with pytest.raises(BigfootError, match=f"^BIGFOOT_MLFLOW_PORT is {given}, not a port: set it to a number from 1 to 65535$"):
        _port("BIGFOOT_MLFLOW_PORT", 5000)


def _sleepers() -> list:
    return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "6300"]]
