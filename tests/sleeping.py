"""Planted faults: a worker process whose variant, if its model is called sleepy, sleeps before each pass of its runtime, every
second such process for longer where UNEVEN names a folder to count them in; and, with arguments, a cold start that sleeps
before anything else."""

import os
import sys
import time
from pathlib import Path

from pipeline.benchmark import cold_start, worker

SECONDS = 0.05
START_SECONDS = 1.0
UNEVEN = "BIGFOOT_TEST_UNEVEN"


class Sleeping(worker.Worker):
    def open(self, folder, threads, files, untimed=None):
        answer = super().open(folder, threads, files, untimed)
        if Path(folder).name.startswith("sleepy."):
            awake, seconds = self.recognizer._run, SECONDS * _share()
            self.recognizer._run = lambda *batch: time.sleep(seconds) or awake(*batch)
        return answer


def _share() -> float:
    if not os.environ.get(UNEVEN):
        return 1.0
    folder = Path(os.environ[UNEVEN])
    number = len(list(folder.iterdir()))
    (folder / str(number)).touch()
    return 1.0 + 2 * (number % 2)


if __name__ == "__main__":
    if sys.argv[1:]:
        time.sleep(START_SECONDS)
        cold_start.main(*sys.argv[1:])
    else:
        worker.main(Sleeping())
