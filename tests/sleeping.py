"""A worker process whose variant, if it is called sleepy, sleeps before each pass of its runtime: a planted fault."""

import time

from pipeline.benchmark import worker

SECONDS = 0.05


class Sleeping(worker.Worker):
    def load(self, folder, threads):
        recognizer = super().load(folder, threads)
        if folder.name.startswith("sleepy."):
            awake = recognizer._run
            recognizer._run = lambda *heard: time.sleep(SECONDS) or awake(*heard)
        return recognizer


if __name__ == "__main__":
    worker.main(Sleeping())
