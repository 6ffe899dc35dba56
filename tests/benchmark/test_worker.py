"""A worker ends with the benchmark that it works for, whatever it is doing."""

import os
import subprocess
import sys

import pytest

from tests.planted import ROOT

BUSY = """
import multiprocessing, sys, time
from pipeline.benchmark import worker

class Busy(worker.Worker):
    def fork(self):
        child = multiprocessing.get_context("fork").Process(target=abs, args=(1,))
        child.start()
        child.join(30)
        return {"status": child.exitcode}

    def sleep(self):
        print("busy", file=sys.stderr, flush=True)
        time.sleep(600)

worker.main(Busy())
"""


@pytest.fixture
def process():
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.kill()
    process.wait()


def test_a_runtime_may_fork_in_a_worker(process):
    """As py-cpuinfo does; a child that closes its input must not wait for the thread that reads it."""
    process.stdin.write('{"do": "fork"}\n')
    process.stdin.flush()
    assert process.stdout.readline() == '{"status": 0}\n'


def test_the_end_of_its_input_ends_a_worker_in_the_middle_of_a_command(process):
    process.stdin.write('{"do": "sleep"}\n')
    process.stdin.flush()
    assert process.stderr.readline() == "busy\n"
    process.stdin.close()
    assert process.wait(60) == 0
