"""`python -m flows.shrink` where no Prefect server is configured: a server of its own, and an end that a person can read."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.flows.conftest import ROOT


@pytest.fixture
def start(tmp_path):
    """A function that starts the flow in a checkout with a terminal's process group; all that it starts is marked."""

    def flow(folder, **settings: str) -> subprocess.Popen:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(tmp_path / "home"),
            "BIGFOOT_TEST": str(tmp_path),
        }
        for name in ("PREFECT_API_URL", "PREFECT_API_DATABASE_CONNECTION_URL"):
            environment.pop(name, None)
        environment |= settings
        return subprocess.Popen(
            [sys.executable, "-m", "flows.shrink"], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip

    yield flow
    assert not [p for p in psutil.process_iter() if _environment(p).get("BIGFOOT_TEST") == str(tmp_path)]


def _environment(process: psutil.Process) -> dict:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def test_it_gets_a_server_for_the_run(project, start):
    output, _ = (flow := start(project())).communicate(timeout=300)
    assert flow.returncode == 0
    assert output.startswith("No Prefect server is configured: one is started for this run (`make ui` ")
    assert output.rstrip().endswith("Completed('4 stages run, 0 were up to date')")
    assert "Traceback" not in output and "ERROR" not in output
    assert "View at" not in output  # a server that is gone when the run ends


def test_ctrl_c_ends_it_at_once_and_in_few_lines(project, start):
    flow, lines = start(project(teacher="echo begun && sleep 100")), []
    for line in flow.stdout:
        lines.append(line)
        if line.endswith("- begun\n"):
            break
    began = time.monotonic()
    os.killpg(flow.pid, signal.SIGINT)
    lines = flow.communicate(timeout=300)[0].splitlines()
    assert flow.returncode == 1 and lines[-1] == "stopped: `python -m flows.shrink` goes on with what is left"
    assert len(lines) < 8 and time.monotonic() - began < 30, lines


def test_a_stage_that_fails_ends_it_with_its_name_in_the_last_line(project, start):
    output, _ = (flow := start(project(teacher="exit 3"))).communicate(timeout=300)
    assert flow.returncode == 1 and output.splitlines()[-1].startswith("error: teacher: ") and "Traceback" not in output


def test_a_configured_server_that_does_not_answer_is_named_without_its_password(project, start):
    output, _ = (flow := start(project(), PREFECT_API_URL="http://me:word@127.0.0.1:9/api")).communicate(timeout=300)
    assert flow.returncode == 1 and "Traceback" not in output and "word" not in output
    assert output.splitlines()[-1].startswith("error: http://127.0.0.1:9/api (PREFECT_API_URL) does not answer: start that")
