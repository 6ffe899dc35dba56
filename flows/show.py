"""Artifacts of a run in Prefect: the progress of training, the comparison, and a link to MLflow."""

import json
import logging
import os
import re
import time
import urllib.parse
import urllib.request
from http.client import HTTPException
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

from pipeline.common.addresses import request, safe
from pipeline.common.errors import BigfootError
from pipeline.common.files import again, read_json, read_text
from pipeline.common.shapes import problem
from pipeline.project import Project

log = logging.getLogger(__name__)
STEP = re.compile(r"\bstep (\d+)/(\d+)\b")
SECONDS_BETWEEN = 5.0


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
        try:
            if self.artifact is None:
                key, description = f"progress-{slug(self.stage)}", f"Training steps of {self.stage}"
                self.artifact = cast(UUID, create_progress_artifact(percent, key=key, description=description))
            else:
                update_progress_artifact(self.artifact, percent)
        except Exception as error:  # a server that is away raises errors of several libraries: the training goes on
            log.debug("no progress shown: %s", error)


def comparison(folder: Path, profile: str, experiment: str) -> None:
    """Publish the comparison of the project in `folder` as a table and a report, with a link to MLflow if it is a server."""
    project, name = Project(folder), slug(profile)
    table = read_json(project.table_rows, "dvc repro compare", list)
    if not table or problem(table, list[dict[str, str]]):
        raise BigfootError(f"{project.table_rows} is not a table of variants: {again('dvc repro compare')}")
    create_table_artifact(table, key=f"comparison-{name}", description=f"All variants of profile {profile}")
    create_markdown_artifact(read_text(project.report, "dvc repro compare"), key=f"report-{name}")
    if link := mlflow_address(experiment):
        create_link_artifact(link, key=f"mlflow-{name}", link_text="All runs in MLflow")


def mlflow_address(experiment: str) -> str | None:
    """The experiment's page on the MLflow server; None where there is no server, or it has no such experiment."""
    server = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    if not server.startswith("http"):
        return None
    query = urllib.parse.urlencode({"experiment_name": experiment})
    try:
        asked = request(f"{server}/api/2.0/mlflow/experiments/get-by-name?{query}")
        with urllib.request.urlopen(asked, timeout=3) as answer:
            return f"{safe(server)}/#/experiments/{json.load(answer)['experiment']['experiment_id']}"
    except (OSError, ValueError, KeyError, HTTPException):
        return None


def slug(name: str) -> str:
    """A name in the form of Prefect's artifact keys: [a-z0-9-]."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
