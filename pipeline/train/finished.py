"""The checkpoints of a training whose model is saved: under DVC they stay until dvc.lock has the model.

DVC removes a model that it has not recorded, and starts its stage again: after a kill, or where the disk was full. Then the
training only has to save its model once more.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.common import graph
from pipeline.common.command import DVC_STAGE
from pipeline.common.files import read_text, write_whole

SAVED = "saved"  # beside the checkpoints: what dvc.lock said of the model before


def end(folder: Path, lock: Path) -> None:
    """Remove a training's checkpoints, .bigfoot/checkpoints/MODEL/FINGERPRINT; under DVC only mark them."""
    if DVC_STAGE in os.environ:
        write_whole(folder / SAVED, _outs(folder, graph.recorded(lock)))
    else:
        shutil.rmtree(folder, ignore_errors=True)


def remove_recorded(checkpoints: Path, lock: Path) -> None:
    """Remove those that `end` marked and whose model DVC has recorded since."""
    marks = list(checkpoints.glob(f"*/*/{SAVED}"))
    recorded = graph.recorded(lock) if marks else {}
    for mark in marks:
        if read_text(mark, None) != _outs(mark.parent, recorded):
            shutil.rmtree(mark.parent, ignore_errors=True)


def _outs(folder: Path, recorded: Mapping[str, dict]) -> str:
    """What dvc.lock has of the model whose checkpoints are in the folder."""
    return json.dumps(recorded.get(graph.stage_of(folder.parent.name), {}).get("outs"))
