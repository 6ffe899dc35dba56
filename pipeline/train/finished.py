"""The checkpoints of a training whose model is saved: under DVC they stay until dvc.lock has the model.

DVC removes a model that it has not recorded, and starts its stage again: after a kill, or where the disk was full. Then the
training only has to save its model once more.
"""

import json
import os
import shutil
from pathlib import Path

from pipeline.common import graph
from pipeline.common.files import read_text, write_whole

SAVED = "saved"  # beside the checkpoints: what dvc.lock said of the model before


def end(folder: Path, lock: Path) -> None:
    """Remove a training's checkpoints, .bigfoot/checkpoints/MODEL/FINGERPRINT; under DVC only mark them."""
    if "DVC_STAGE" in os.environ:
        write_whole(folder / SAVED, _recorded(folder, lock))
    else:
        shutil.rmtree(folder, ignore_errors=True)


def remove_recorded(checkpoints: Path, lock: Path) -> None:
    """Remove those that `end` marked and whose model DVC has recorded since."""
    for mark in checkpoints.glob(f"*/*/{SAVED}"):
        if read_text(mark, None) != _recorded(mark.parent, lock):
            shutil.rmtree(mark.parent, ignore_errors=True)


def _recorded(folder: Path, lock: Path) -> str:
    model = folder.parent.name
    stage = "teacher" if model == "teacher" else f"student@{model}"
    return json.dumps(graph.recorded(lock).get(stage, {}).get("outs"))
