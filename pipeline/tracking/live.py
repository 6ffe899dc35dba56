"""The curve of a training run, sent to MLflow during training: values wait in memory, and a thread sends them every 10 s."""

import atexit
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.git import origin
from pipeline.tracking.database import explained
from pipeline.tracking.store import Store, final_figures, warn

if TYPE_CHECKING:
    from mlflow.entities import Run

FLUSH_SECONDS = 10.0


def training_run(model: str, key: str, params: Mapping, experiment: str, root: Path) -> "LiveRun":
    """The MLflow run of a training run under `root`, which its curve is logged to during training.

    `key` is the fingerprint of the training: training that resumes after a kill continues the same run. Where the server
    can't be reached, the result accepts everything and logs nothing, after one warning.
    """
    try:
        store = Store(experiment, root)
        tags: dict[str, str | None] = {"model": model, **origin(store.root)}
        run = store.run("training", key, f"train {model}", tags, params)
        store.client.update_run(run.info.run_id, status="RUNNING")
        return LiveRun(store, run)
    except Exception as error:  # training continues whatever a store or server does
        warn(error)
        return LiveRun(None, None)


def _leave(number: int, _: object) -> None:
    """End the process, which sends the last values; a server that hangs doesn't hold it up until it is killed."""
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "3"
    sys.exit(128 + number)


class LiveRun:
    """A connection from training to its MLflow run; without a store or a run it logs nothing."""

    def __init__(self, store: Store | None, run: "Run | None"):
        self.store = store
        self.run_id: str = run.info.run_id if run else ""
        self._logged = store.logged_steps(run) if store and run else {}
        self._waiting: deque[dict] = deque()
        self._done = threading.Event()
        self._sending = threading.Lock()
        if store:
            self._thread = threading.Thread(target=self._send_repeatedly, name="mlflow", daemon=True)
            self._thread.start()
            atexit.register(self._end, "FAILED")
            if threading.current_thread() is threading.main_thread():  # a training that is stopped ends its run, too
                signal.signal(signal.SIGTERM, _leave)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log values at a step; returns at once. Steps that the run has from before a kill are left out."""
        if self.store:
            self._waiting.append({"step": step, **values})

    def finish(self, metrics: Mapping[str, float] | None = None) -> None:
        """Send the waiting values and the run's final figures, and close it."""
        if self.store and metrics:
            self._waiting.append(final_figures(metrics))
        self._end("FINISHED")

    def _end(self, status: str) -> None:
        atexit.unregister(self._end)
        self._done.set()
        self._send()
        if self.store:
            try:
                self.store.client.set_terminated(self.run_id, status)
            except Exception as error:
                warn(error)
        self.store = None

    def _send_repeatedly(self) -> None:
        while not self._done.wait(FLUSH_SECONDS):
            self._send()

    def _send(self) -> None:
        with self._sending:
            rows = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not self.store or not rows:
                return
            try:
                self.store.log_curve(self.run_id, rows, self._logged)
            except Exception as error:  # `sync` completes the curve from models/NAME/curve.jsonl
                warn(explained(error, self.store.uri))
                self.store = None
