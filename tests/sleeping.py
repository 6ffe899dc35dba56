"""Planted faults: a worker process whose variant, if its model is called sleepy, sleeps before each pass of its runtime; and,
with arguments, a cold start that sleeps before anything else."""

import sys
import time
from pathlib import Path

from pipeline.benchmark import cold_start, worker

SECONDS = 0.05
START_SECONDS = 1.0


class Sleeping(worker.Worker):
    def open(self, folder, threads, files):
        answer = super().open(folder, threads, files)
        if Path(folder).name.startswith("sleepy."):
            awake = self.recognizer._run
            self.recognizer._run = lambda *batch: time.sleep(SECONDS) or awake(*batch)
        return answer


if __name__ == "__main__":
    if sys.argv[1:]:
        time.sleep(START_SECONDS)
        cold_start.main(*sys.argv[1:])
    else:
        worker.main(Sleeping())
