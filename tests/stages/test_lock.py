"""A stage works on its outs alone: a second start is one line, and what a killed process held is free at once."""

import os
import subprocess
import sys

import pytest

from pipeline import stages
from pipeline.common.errors import Busy
from tests.planted import ROOT

HOLD = """
import time
from pipeline import stages
with stages._lock("student@half"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_start_says_who_runs_the_stage(holder, monkeypatch):
    monkeypatch.setattr(stages, "DYING_SECONDS", 0.2)
    with pytest.raises(Busy) as refused, stages._lock("student@half"):
        pass
    assert str(refused.value) == f"student@half runs here already, as process {holder.pid}: wait for it, or stop it"
    with stages._lock("student@thin"):  # another stage's outs are free
        pass


def test_a_killed_process_holds_nothing(holder):
    holder.kill()
    with stages._lock("student@half"):
        assert (holder.wait(), os.listdir(".bigfoot/locks")) == (-9, ["student@half.lock"])
