"""The processes of a flow: one that ends early, or takes too long, leaves none behind, and a measurement has the host alone."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from flows import process
from tests.flows.conftest import ROOT
from tests.flows.runs import run


def test_a_measurement_waits_until_the_host_is_free(tmp_path):
    """The other command ends once the measurement waits; had the measurement not waited, it would not find the file `ended`."""
    messages, stop, began = [], threading.Event(), threading.Event()
    other = "echo began; until [ -e waiting ]; do sleep 0.1; done; sleep 0.5; touch ended"
    thread = threading.Thread(target=process.run, args=(["sh", "-c", other], tmp_path, lambda _: began.set(), stop))
    thread.start()
    assert began.wait(60)

    def say(line: str) -> None:
        messages.append(line)
        (tmp_path / "waiting").touch()

    assert process.run(["sh", "-c", "test -e ended && echo measured"], tmp_path, say, stop, alone=True) == 0
    thread.join()
    assert messages == ["waiting for this host: other stages are running", "measured"]


def test_a_stage_that_takes_longer_than_its_limit_is_ended(project):
    folder = project(student="sleep 61")
    params = folder / "params.yaml"
    params.write_text(params.read_text() + f"\ntime_limits: {{student: {3 / 3600}}}\n")
    state = run(folder, targets=["student"])
    assert state.is_failed() and "its limit in params.yaml" in state.message
    assert not _sleepers("61")


@pytest.mark.shows("killed", "a Prefect flow, by signals 2, 9 and 15", "no process and no lock left")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_flow_that_ends_leaves_no_process_and_no_lock(project, how):
    folder = project(teacher="sleep 6200 && mkdir -p models && echo 1 > models/teacher")
    from prefect.settings import PREFECT_API_URL

    code = f"from flows.shrink import shrink; shrink(project={str(folder)!r})"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": PREFECT_API_URL.value()}
    flow = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_heed_ctrl_c)  # fmt: skip
    while not (sleepers := _sleepers("6200")):
        assert flow.poll() is None
        time.sleep(0.2)
    os.kill(flow.pid, how)
    flow.wait()
    psutil.wait_procs(sleepers)  # where the stage outlives its flow, the suite's time limit ends this
    subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=folder, check=True, capture_output=True)


def _heed_ctrl_c() -> None:
    """A shell's background job ignores SIGINT, and so do its children: these tests may run in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _sleepers(seconds: str) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", seconds]]
