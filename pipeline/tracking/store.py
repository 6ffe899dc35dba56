"""The connection to MLflow: an experiment in which each run is found by its key, or created. No other module creates runs.

Decision: the files that stages wrote are the truth, and MLflow shows them. Training sends its curve while it trains; `sync`
logs everything else from finished files. Every run carries a key (tag `bigfoot.key`), a hash of its content, and is searched
for by this key, under a file lock, before it is created. So logging the same thing twice gives one run, and a server that
can't be reached (one probe, 3 s) costs one warning and nothing else, as `sync` (`bigfoot track`) catches up. The store is
MLFLOW_TRACKING_URI, otherwise sqlite:///mlflow.db in the project's folder. `import mlflow` takes seconds, so it happens
inside functions.
"""

import getpass
import json
import logging
import os
import posixpath
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from pipeline.common.addresses import request, safe
from pipeline.common.energy import range_of
from pipeline.common.errors import Away, BigfootError
from pipeline.project import Project
from pipeline.tracking import database

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow.entities import Run

KEY, KIND = "bigfoot.key", "bigfoot.kind"
NOTE = "mlflow.note.content"  # MLflow's tag of a description, in Markdown
STAGES = {"training": "train", "comparison": "compare", "variant": "compare"}  # which make the runs of a kind
ABOUT = (
    "One large wav2vec 2.0 recognizer, smaller ones made of it, and what each costs. `train MODEL` is a training with its "
    "curve; `compare PROFILE` is a comparison, and below it is one run per variant. Filter "
    "`tags.\"bigfoot.kind\" = 'variant'`, and sort by `headline/wer`. WER and CER are fractions: 0.05 is 5%. "
    "Energy, CO2 and payback are modeled, not measured, where they have a range (`_low`, `_high`)."
)
PROBE_SECONDS = 3.0
NAME = re.compile(r"[\w+. :/-]+")  # of a param, and + which becomes -
SYNC = "mlflow-sync"  # the lock of whoever logs finished files
BATCH = 1000  # MLflow's own limit of metrics per request

log = logging.getLogger(__name__)


class Store:
    """An opened MLflow experiment: `client`, and the experiment's id in it.

    `root` is the project's folder. Raises Away where the server can't be reached.
    """

    def __init__(self, experiment: str, root: Path):
        self.root = root.resolve()
        self.project = Project(self.root)
        self.uri = uri(self.root)
        self.experiment = experiment
        _probe(self.uri)
        settle()
        from mlflow import MlflowClient

        logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs every step of creating a database
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs what it raises, with a traceback
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # of a server that goes away, `warn` tells
        self.database = database.path_of(self.uri)
        try:
            with self.lock():
                if self.database:
                    database.make(self.database)
                    if database.mend(self.database):
                        log.info("MLflow: the paths in %s lead to this folder now", self.database)
                self.client = MlflowClient(tracking_uri=self.uri)
                self.experiment_id = self._experiment_id()
        except Exception as error:  # MLflow, SQLAlchemy and alembic have their own
            raise database.explained(error, self.uri) from None

    @property
    def page(self) -> str:
        """Where MLflow charts the variants, the fastest first; its own first page is the one for language models, and empty.

        A database has no page until `mlflow ui` serves it, by default at port 5000.
        """
        server = safe(self.uri.rstrip("/")) if self.uri.startswith("http") else "http://127.0.0.1:5000"
        query = {
            "workflowType": "machine_learning", "compareRunsMode": "CHART", "searchFilter": f"tags.`{KIND}` = 'variant'",
            "orderByKey": "metrics.`headline/speedup`", "orderByAsc": "false",
        }  # fmt: skip
        return f"{server}/#/experiments/{self.experiment_id}/runs?{urlencode(query, quote_via=quote)}"

    def lock(self, name: str = "mlflow", seconds: float = 60) -> "BaseFileLock":
        """Held from searching for a run to creating it, so that two processes never create it twice.

        It belongs to the database, which worktrees share, and not to a checkout. Of a server there is none: then it is the
        checkout's.
        """
        from filelock import FileLock

        scratch = Project(self.database.parent if self.database else self.root).scratch
        scratch.mkdir(exist_ok=True)
        return FileLock(scratch / f"{name}.lock", timeout=seconds)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Held by whoever logs finished files, one process after the other."""
        from filelock import Timeout

        lock = self.lock(SYNC, seconds=3600)
        try:
            lock.acquire(timeout=1)
        except Timeout:
            log.info("MLflow: another process is logging, this one waits for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def find(self, kind: str, key: str) -> "Run | None":
        """The run of that kind and key, or None."""
        runs = self.client.search_runs(
            [self.experiment_id], f"tags.`{KEY}` = '{key}' and tags.`{KIND}` = '{kind}'", max_results=1
        )
        return runs[0] if runs else None

    def run(
        self, kind: str, key: str, name: str, tags: Mapping[str, str | None] | None = None, params: Mapping | None = None
    ) -> "Run":
        """The run of that kind and key: the existing one, otherwise a new one with these tags and params.

        A tag that is None is left out. NOTE is the run's description.
        """
        with self.lock():
            run = self.find(kind, key)
            if run is None:
                known = {key: str(value) for key, value in (tags or {}).items() if value is not None}
                tags = {KIND: kind, KEY: key, **_origin(kind), **known}
                run = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
        self.log_params(run, params or {})
        return run

    def log_params(self, run: "Run", params: Mapping) -> None:
        """Log nested params flat, as a.b.c, but for those that a run has: a kill may have come between two requests.

        Lists and null are as JSON would write them, and so is a section with keys that MLflow can't name.
        """
        from mlflow.entities import Param

        named = {key.replace("+", "-"): str(value) for key, value in flat(params).items()}
        entries = [Param(key, value) for key, value in named.items() if key not in run.data.params]
        for start in range(0, len(entries), 100):
            self.client.log_batch(run.info.run_id, params=entries[start : start + 100])

    def log_curve(self, run_id: str, rows: Iterable[Mapping], logged: Mapping[str, int] | None = None) -> None:
        """Log the numbers of rows {step, name: value, ...}; those up to a metric's last step in `logged` are left out."""
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

    def logged_steps(self, run: "Run") -> dict[str, int]:
        """{metric: its last step in a run}: a curve is logged in order, so only its end can be missing."""
        history = self.client.get_metric_history
        return {name: max(point.step for point in history(run.info.run_id, name)) for name in run.data.metrics}

    def _experiment_id(self) -> str:
        experiment = self.client.get_experiment_by_name(self.experiment)
        if experiment is None:
            place = database.place(self.database, self.experiment) if self.database else None  # a server chooses it itself
            return self.client.create_experiment(self.experiment, artifact_location=place, tags={NOTE: ABOUT})
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id


def _origin(kind: str) -> dict[str, str]:
    """Who made a run, and with what, under the names that MLflow's pages show."""
    try:
        user = {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):  # in a container, of a user without a name
        user = {}
    return {**user, "mlflow.source.type": "LOCAL", "mlflow.source.name": f"bigfoot {STAGES[kind]}"}


def uri(root: Path) -> str:
    """The store of a project: MLFLOW_TRACKING_URI, otherwise its own database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or Project(root).store


def settle() -> None:
    """Set the environment variables that MLflow reads, before it is imported; those that the user has set stay.

    One short try per request instead of seven with minutes between them: what is not logged now is logged later. No usage
    data, no progress bars.
    """
    defaults = {
        "HTTP_REQUEST_MAX_RETRIES": "1", "HTTP_REQUEST_TIMEOUT": "20", "DISABLE_TELEMETRY": "true",
        "ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }  # fmt: skip
    for name, value in defaults.items():
        os.environ.setdefault(f"MLFLOW_{name}", value)
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # it prints a server's address with its password


def _probe(uri: str) -> None:
    """Raise Away where a server does not answer one short request. A local store is not probed."""
    if urlsplit(uri).scheme not in ("http", "https"):
        return
    try:
        urllib.request.urlopen(request(f"{uri.rstrip('/')}/health"), timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # it answers, for example that it needs a password
    except (OSError, ValueError, HTTPException) as error:  # HTTPException: not an address
        raise Away(f"no MLflow server at {safe(uri)} ({safe(str(getattr(error, 'reason', error)))})") from None


def warn(reason: Exception) -> None:
    """Log in one line why something is not in MLflow yet, and which command catches up."""
    name = "" if isinstance(reason, BigfootError) else f"{type(reason).__name__}: "
    log.warning("warning: not in MLflow yet, %s: `bigfoot track` catches up", name + safe(" ".join(str(reason).split()))[:300])


def is_number(value: object) -> bool:
    """Whether MLflow can keep a value as a metric: neither a bool nor null."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def flat(nested: Mapping, prefix: str = "") -> dict[str, object]:
    """{"a": {"b": 1}} -> {"a.b": 1}; a section with keys that MLflow can't name is one entry, in JSON."""
    entries: dict[str, object] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and not _are_names(value):
            entries[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False)
        elif isinstance(value, Mapping) and value:
            entries |= flat(value, f"{prefix}{key}.")
        else:
            entries[f"{prefix}{key}"] = value
    return entries


def _are_names(keys: Iterable[str]) -> bool:
    """Whether MLflow takes these keys as ends of names, which are paths to it, and keeps them apart."""
    keys = [str(key) for key in keys]
    paths = [f"section.{key}" for key in keys]
    is_plain = all(map(NAME.fullmatch, keys)) and paths == list(map(posixpath.normpath, paths))
    return is_plain and len({key.replace("+", "-") for key in keys}) == len(keys)


def final_figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """A model's metrics.json as one row of a curve; its error rate on dev is the best, not the last: training/best_dev_wer.

    Energy that was modeled has the ends of its range.
    """
    best = {name: f"best_{name}" for name in ("dev_wer", "dev_cer")}
    wh, mode = (metrics.get(name) for name in ("train_energy_wh", "energy_mode"))
    ends = dict(zip(("train_energy_wh_low", "train_energy_wh_high"), range_of(wh, mode, on_gpu=True) or (), strict=False))
    return {"step": 0, **{f"training/{best.get(name, name)}": value for name, value in {**metrics, **ends}.items()}}
