"""The folder of a variant, which is given by its path, its name in the project, or as an MLflow model.

A LoggedModel holds the variant's folder below artifacts/ (see pipeline/tracking/log.py), beside the code that serving needs.
Only the folder is used, with this Bigfoot's own Recognizer, so no downloaded code is run.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.common import shapes
from pipeline.common.addresses import safe
from pipeline.common.errors import Away, BigfootError, is_away
from pipeline.project import Project
from pipeline.recognition import seal
from pipeline.speech.normalization import TextRules

SCHEMES = ("models:/", "runs:/", "mlflow-artifacts:/")


@contextmanager
def opened(variant: str, project: Project) -> Iterator[Path]:
    """The folder of a variant, by its path, name or MLflow URI; a downloaded one is removed afterwards.

    An MLflow model is in MLFLOW_TRACKING_URI, otherwise in the project's own store. Raises BigfootError where it
    can't be fetched, Away where the server can't be reached.
    """
    if not variant:
        raise BigfootError("the name of the variant is empty: give a folder of variants/, or models:/NAME@champion")
    if not variant.startswith(SCHEMES):
        named = project.variant(project.variant_name(variant))
        yield named if os.path.isdir(named) and not os.path.isdir(variant) else Path(variant)
        return
    with tempfile.TemporaryDirectory(prefix="bigfoot-") as scratch:
        yield _fetched(variant, project, Path(scratch))


def require_text_rules(info: dict, name: str | Path) -> None:
    """Raise BigfootError where a variant.json doesn't say by which rules its texts are written."""
    if "text" not in info or "language" not in info:
        raise BigfootError(f"{name}: variant.json has no text rules: run `dvc repro`, or quantize the model again")
    if found := shapes.problem(info["text"], TextRules):
        raise BigfootError(f"{name}: variant.json: text{found}: {seal.REMEDY}")


def _fetched(uri: str, project: Project, target: Path) -> Path:
    from pipeline.tracking import database
    from pipeline.tracking.store import settle

    store = os.environ.get("MLFLOW_TRACKING_URI") or project.store
    own = database.path_of(store)
    if own and not own.is_file():  # MLflow would create an empty one
        raise BigfootError(f"{uri}: {own} is missing: run this in the project's folder, or set MLFLOW_TRACKING_URI")
    settle()
    if own:
        database.mend(own)
    import mlflow

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    mlflow.set_tracking_uri(store)
    try:
        mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(target))
    except Exception as error:  # each kind of store raises errors of its own
        reason = safe(" ".join(str(error).split()))[:200]
        kind = Away if is_away(error) else BigfootError
        raise kind(f"{uri} can't be fetched from {safe(store)}: {reason}") from None
    folders = sorted(path.parent for path in target.rglob("variant.json"))
    if len(folders) != 1:
        raise BigfootError(f"{uri} holds {len(folders) or 'no'} variants: name a model that `bigfoot track` has logged")
    return folders[0]
