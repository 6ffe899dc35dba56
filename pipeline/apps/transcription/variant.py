"""Where a variant is: a folder, or an MLflow model, whose files are fetched and of which nothing is run but the variant.

A LoggedModel holds the variant's folder below artifacts/ (see pipeline/tracking/log.py), beside code that serving needs. Only
the folder is used, with this Bigfoot's own Recognizer, so no stranger's code is run.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.common.errors import Away, BigfootError, is_away
from pipeline.project import Project

SCHEMES = ("models:/", "runs:/", "mlflow-artifacts:/")


@contextmanager
def opened(variant: str) -> Iterator[Path]:
    """The folder of a variant that is named by its path or by an MLflow URI; a fetched one is gone afterwards."""
    if not variant.startswith(SCHEMES):
        yield Path(variant)
        return
    with tempfile.TemporaryDirectory(prefix="bigfoot-") as scratch:
        yield _fetched(variant, scratch)


def _fetched(uri: str, target: str) -> Path:
    database = Project().database
    store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database}"
    if store == f"sqlite:///{database}" and not database.is_file():  # mlflow would make an empty one
        raise BigfootError(f"{uri}: {database} is not in this folder: run it in the project's, or set MLFLOW_TRACKING_URI")

    from pipeline.tracking.store import safe, settle

    settle()
    import mlflow

    for talker in ("alembic", "mlflow"):
        logging.getLogger(talker).setLevel(logging.ERROR)
    mlflow.set_tracking_uri(store)
    try:
        mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=target)
    except Exception as error:  # MLflow raises as many kinds as it has stores
        reason = safe(" ".join(str(error).split()))[:200]
        kind = Away if is_away(error) else BigfootError
        raise kind(f"{uri} can't be fetched from {safe(store)}: {reason}") from None
    found = sorted(path.parent for path in Path(target).rglob("variant.json"))
    if len(found) != 1:
        raise BigfootError(f"{uri} holds {len(found) or 'no'} variants: name a model that `bigfoot track` has logged")
    return found[0]
