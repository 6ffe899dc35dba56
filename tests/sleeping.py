"""Planted faults: a worker process whose variant, if it is called sleepy, sleeps before each pass of its runtime; and, with
arguments, a cold start that sleeps before anything else."""

import sys
import time

from pipeline.benchmark import cold_start, worker

SECONDS = 0.05
START_SECONDS = 1.0


class Sleeping(worker.Worker):
    def load(self, folder, threads):
        recognizer = super().load(folder, threads)
        if folder.name.startswith("sleepy."):
            awake = recognizer._run
            recognizer._run = lambda *heard: time.sleep(SECONDS) or awake(*heard)
        return recognizer


if __name__ == "__main__":
    if sys.argv[1:]:
        time.sleep(START_SECONDS)
        cold_start.main(*sys.argv[1:])
    else:
        worker.main(Sleeping())
