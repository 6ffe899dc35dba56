"""MLflow: the memory of every run, a projection of what stages wrote. Only this module and the
projection that it calls create runs.

Decision: files are the truth and MLflow shows them. Training sends its curve while it goes on; all else is logged by
`sync` from finished files. Every run carries a key (tag `bigfoot.key`) made of content, and is looked for by it, under a
file lock, before it is made: so the same thing twice is one run, and a server that is away (one probe, 3 s) costs one
warning and nothing else, because `sync` (`bigfoot track`) makes up for it. The store is MLFLOW_TRACKING_URI, else
sqlite:///mlflow.db in the project's folder. `import mlflow` takes seconds, so it happens inside functions.
"""

import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.common.errors import Away
from pipeline.project import Project

if TYPE_CHECKING:
    pass

KEY, KIND = "bigfoot.key", "bigfoot.kind"
PROBE_SECONDS = 3.0
BATCH = 1000  # MLflow's own limit of metrics a request

log = logging.getLogger(__name__)


class Store:
    """An MLflow experiment, reached: `client`, and the id of the experiment in it. Raises Away."""

    def __init__(self, experiment: str, root: Path | str = "."):
        self.root = Path(root).resolve()
        self.project = Project(self.root)
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.project.database}"
        self.experiment = experiment
        _probe(self.uri)
        settle()
        from mlflow import MlflowClient

        for talker in ("alembic", "mlflow.store.db.utils"):  # they tell every step of making an empty database
            logging.getLogger(talker).setLevel(logging.WARNING)
        with self.lock():
            self.client = MlflowClient(tracking_uri=self.uri)
            self.experiment_id = self._experiment_id()

    def lock(self):
        """Held between looking for a run and making it, so that two processes never make it twice."""
        from filelock import FileLock

        self.project.scratch.mkdir(exist_ok=True)
        return FileLock(self.project.scratch / "mlflow.lock", timeout=60)

    def find(self, kind: str, key: str):
        """The run of that kind and key, or None."""
        found = self.client.search_runs(
            [self.experiment_id], f"tags.`{KEY}` = '{key}' and tags.`{KIND}` = '{kind}'", max_results=1
        )
        return found[0] if found else None

    def run(self, kind: str, key: str, name: str, tags: Mapping[str, str] | None = None, params: Mapping | None = None):
        """The run of that kind and key: the one there is, else a new one with these tags and params."""
        with self.lock():
            run = self.find(kind, key)
            if run is None:
                tags = {KIND: kind, KEY: key, **{k: str(v) for k, v in (tags or {}).items() if v is not None}}
                run = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
        if params and not run.data.params:  # a kill may have come between a run and its params
            self.log_params(run.info.run_id, params)
        return run

    def log_params(self, run_id: str, params: Mapping) -> None:
        """Log nested params flat, as a.b.c; lists and null as JSON would write them."""
        from mlflow.entities import Param

        entries = [Param(key, str(value)) for key, value in flat(params).items()]
        for start in range(0, len(entries), 100):
            self.client.log_batch(run_id, params=entries[start : start + 100])

    def log_curve(self, run_id: str, rows: Iterable[Mapping], logged: Mapping[str, int] | None = None) -> None:
        """Log the numbers of rows {step, name: value, ...}; what `logged` says is there already is left out."""
        from mlflow.entities import Metric

        now, logged = int(time.time() * 1000), logged or {}
        metrics = [
            Metric(name, float(value), now, row["step"])
            for row in rows
            for name, value in row.items()
            if name != "step" and is_number(value) and row["step"] > logged.get(name, -1)
        ]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def logged_steps(self, run) -> dict[str, int]:
        """{metric: the last step that a run has of it}: a curve is logged in order, so what is missing is its end."""
        history = self.client.get_metric_history
        return {name: max(point.step for point in history(run.info.run_id, name)) for name in run.data.metrics}

    def _experiment_id(self) -> str:
        found = self.client.get_experiment_by_name(self.experiment)
        if found is None:
            place = None  # the server's business, or
            if self.uri.startswith("sqlite:///"):  # beside the database, wherever the process is
                database = Path(self.uri.removeprefix("sqlite:///")).resolve()
                place = (database.parent / "mlartifacts" / self.experiment).as_uri()
            return self.client.create_experiment(self.experiment, artifact_location=place)
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return found.experiment_id


def settle() -> None:
    """Set what MLflow reads from the environment, before it is imported; what the user has set stays.

    One short try a request, not seven with minutes between: a server that is away is said to be so, and what is not logged
    now is logged later. No usage data, no progress bars.
    """
    defaults = {
        "HTTP_REQUEST_MAX_RETRIES": "1", "HTTP_REQUEST_TIMEOUT": "20", "DISABLE_TELEMETRY": "true",
        "ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }  # fmt: skip
    for name, value in defaults.items():
        os.environ.setdefault(f"MLFLOW_{name}", value)


def _probe(uri: str) -> None:
    """Ask a server, once and shortly, whether it is there; raises Away. A local store always is."""
    if urlsplit(uri).scheme not in ("http", "https"):
        return
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # it answers, if only to say that it wants a password
    except (OSError, ValueError) as error:
        raise Away(f"no MLflow server at {safe(uri)} ({getattr(error, 'reason', error)})") from None


def safe(uri: str) -> str:
    """A URI without the name and password that may stand in it."""
    return re.sub(r"//[^/@]*@", "//", uri)


def warn(reason: Exception) -> None:
    """Say in one line that something is not in MLflow yet, and what catches up."""
    name = "" if isinstance(reason, Away) else f"{type(reason).__name__}: "
    log.warning("warning: not in MLflow yet, %s: `bigfoot track` catches up", name + " ".join(str(reason).split())[:300])


def is_number(value: object) -> bool:
    """Whether MLflow can keep a value as a metric: no bool, no null."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def flat(nested: Mapping, prefix: str = "") -> dict[str, object]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    out: dict[str, object] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out


def final_figures(metrics: Mapping[str, object]) -> dict[str, object]:
    """A model's metrics.json as one row: its dev WER is the best one, which is not the end of the curve of that name."""
    return {"step": 0, **{"best_dev_wer" if name == "dev_wer" else name: value for name, value in metrics.items()}}
