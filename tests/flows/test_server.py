"""Prefect's server is restarted while a flow runs: the flow goes on without it, and the server knows how it ended."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.docs import services
from tests.flows.conftest import ROOT

pytestmark = pytest.mark.slow
JSON = {"Content-Type": "application/json"}


@pytest.mark.shows("killed", "Prefect's server, by signals 9 and 15, during a stage and longer", "the flow completes")
@pytest.mark.parametrize(("how", "seconds"), [(signal.SIGKILL, 2), (signal.SIGTERM, 40)], ids=["during a stage", "beyond it"])
def test_a_flow_goes_on_while_its_server_is_away(project, tmp_path, how, seconds):
    steps = "for n in 1 2 3; do echo step $n/3; sleep 7; done"  # each moves the progress bar, which the server keeps
    folder = project(teacher=f"touch began && {steps} && mkdir -p models && echo 1 > models/teacher")
    port = services.free_port()
    environment = os.environ | {
        "PREFECT_HOME": str(tmp_path / "home"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    code = f"from flows.shrink import shrink; print(shrink(project={str(folder)!r}, return_state=True).message)"
    with server(port, environment, tmp_path / "first.log") as first:
        flow = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, start_new_session=True, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        while not (folder / "began").exists():
            assert flow.poll() is None
            time.sleep(0.2)
        os.killpg(first, how)
    time.sleep(seconds)
    with server(port, environment, tmp_path / "second.log"):
        output, _ = flow.communicate(timeout=500)
        assert flow.returncode == 0 and "4 stages run, 0 were up to date" in output
        asked = urllib.request.Request(f"{environment['PREFECT_API_URL']}/flow_runs/filter", b"{}", JSON)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert [run["state_type"] for run in json.load(answer)] == ["COMPLETED"]


def server(port: int, environment: dict, log: Path):
    """A real server."""
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    is_up = lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2).status == 200  # noqa: E731
    return services.process(command, log, is_up, env=environment)
