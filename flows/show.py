"""Artifacts of a run in Prefect: the progress of training, the comparison, and a link to MLflow."""

import json
import os
import re
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from pipeline.common.files import read_json
from pipeline.project import Project

STEP = re.compile(r"\bstep (\d+)/(\d+)\b")
SECONDS_BETWEEN = 5.0
COLUMNS = {  # heading: (key in comparison.json, factor, digits)
    "{} %": ("{}", 100, 2),
    "{} low": ("{}_low", 100, 2),
    "{} high": ("{}_high", 100, 2),
    "MB": ("disk_mb", 1, 2),
    "smaller": ("shrink", 1, 1),
    "p50 ms": ("latency_p50_ms", 1, 1),
    "faster": ("speedup", 1, 1),
    "RTFx": ("rtfx", 1, 0),
}  # fmt: skip; {} is the error rate that decides, wer or cer


class Progress:
    """A progress artifact for the stage of this task, updated from lines such as `... step 25/400 ...` in its log."""

    def __init__(self, stage: str):
        self.stage, self.shown = stage, 0.0
        self.artifact: UUID | None = None

    def update(self, line: str) -> None:
        step = STEP.search(line)
        if not step or (time.monotonic() - self.shown < SECONDS_BETWEEN and step[1] != step[2]):
            return
        self.shown = time.monotonic()
        percent = 100 * int(step[1]) / int(step[2])
        if self.artifact is None:
            key, description = f"progress-{slug(self.stage)}", f"Training steps of {self.stage}"
            self.artifact = cast(UUID, create_progress_artifact(percent, key=key, description=description))
        else:
            update_progress_artifact(self.artifact, percent)


def comparison(folder: Path, profile: str) -> None:
    """Publish the comparison in `folder`/reports as a table and a report, with a link to MLflow if it is a server."""
    reports, name = Project(folder).reports, slug(profile)
    # Read as plain JSON: flows/ doesn't import the room that has the typed reader.
    rows = read_json(reports / "comparison.json", "dvc repro compare", list)
    params = read_json(reports / "params.json", "dvc repro compare")
    rate = rows[0].get("objective", "wer")
    table = [
        {"variant": row["variant"]}
        | {
            head.format(rate.upper()): _rounded(row[key.format(rate)], factor, digits)
            for head, (key, factor, digits) in COLUMNS.items()
        }
        | {"gate": row["gate"]["reason"], "champion": "yes" if row["champion"] else ""}
        for row in rows
    ]
    create_table_artifact(table, key=f"comparison-{name}", description=f"All variants of profile {profile}")
    create_markdown_artifact((reports / "comparison.md").read_text(encoding="utf-8"), key=f"report-{name}")
    if link := mlflow_address(params["tracking"]["experiment"]):
        create_link_artifact(link, key=f"mlflow-{name}", link_text="All runs in MLflow")


def mlflow_address(experiment: str) -> str | None:
    """The experiment's page on the MLflow server; None where there is no server, or it has no such experiment."""
    server = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    if not server.startswith("http"):
        return None
    query = urllib.parse.urlencode({"experiment_name": experiment})
    try:
        with urllib.request.urlopen(f"{server}/api/2.0/mlflow/experiments/get-by-name?{query}", timeout=3) as answer:
            return f"{server}/#/experiments/{json.load(answer)['experiment']['experiment_id']}"
    except (OSError, ValueError, KeyError):
        return None


def _rounded(value: float | None, factor: float, digits: int) -> float | None:
    return None if value is None else round(factor * value, digits)


def slug(name: str) -> str:
    """A name in the form of Prefect's artifact keys: [a-z0-9-]."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
