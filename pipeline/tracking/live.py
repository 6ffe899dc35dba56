"""A training run's curve, sent to MLflow while it trains: what is logged waits in memory, and a thread sends it every 10 s."""

import atexit
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from pipeline.common.git import origin
from pipeline.tracking.store import Store, final_figures, warn

FLUSH_SECONDS = 10.0


def training_run(model: str, key: str, params: Mapping, experiment: str, root: Path | str = ".") -> "LiveRun":
    """The MLflow run of a training run, to which its curve goes while it goes on.

    `key` is the training run's fingerprint: taken up again after a kill, it is the same run. Where the server is away
    the result takes everything and logs nothing, after one warning.
    """
    try:
        store = Store(experiment, root)
        run = store.run("training", key, f"train {model}", {"model": model, **origin(store.root)}, params)
        store.client.update_run(run.info.run_id, status="RUNNING")
        return LiveRun(store, run)
    except Exception as error:  # whatever a store or server does, training goes on
        warn(error)
        return LiveRun(None, None)


class LiveRun:
    """A training run's line to MLflow: what is logged waits in memory, and a thread sends it every 10 s."""

    def __init__(self, store: Store | None, run):
        self.store = store
        self.run_id = run.info.run_id if run else None
        self._logged = store.logged_steps(run) if store else {}
        self._waiting: deque[dict] = deque()
        self._done = threading.Event()
        self._sending = threading.Lock()
        if store:
            self._thread = threading.Thread(target=self._send_now_and_then, name="mlflow", daemon=True)
            self._thread.start()
            atexit.register(self._end, "FAILED")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log values at a step; returns at once. Steps that the run has from before a kill are left out."""
        if self.store:
            self._waiting.append({"step": step, **values})

    def finish(self, metrics: Mapping[str, float] | None = None) -> None:
        """Send what waits and the run's final figures, and close it."""
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

    def _send_now_and_then(self) -> None:
        while not self._done.wait(FLUSH_SECONDS):
            self._send()

    def _send(self) -> None:
        with self._sending:
            rows = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not self.store or not rows:
                return
            try:
                self.store.log_curve(self.run_id, rows, self._logged)
            except Exception as error:  # lost midway: the curve is in models/NAME/curve.jsonl for `sync`
                warn(error)
                self.store = None
