"""A worker ends with the benchmark that it works for, whatever it is doing."""

import os
import subprocess
import sys

from tests.planted import ROOT

BUSY = """
import sys, time
from pipeline.benchmark import worker

class Busy(worker.Worker):
    def sleep(self):
        print("busy", file=sys.stderr, flush=True)
        time.sleep(600)

worker.main(Busy())
"""


def test_the_end_of_its_input_ends_a_worker_in_the_middle_of_a_command():
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdin.write('{"do": "sleep"}\n')
    process.stdin.flush()
    assert process.stderr.readline() == "busy\n"
    process.stdin.close()
    assert process.wait(60) == 0
