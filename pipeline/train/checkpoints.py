"""The checkpoints of a training: each with ledger.json, which is written last and has the sums of the others.

Decision: one is written at every measurement on dev, and between two of them every five minutes, so that a kill costs no more.
A training resumes from the newest checkpoint that is whole, if the best one so far, which it may end with, is whole too. One
that a kill left incomplete, or that was damaged since, is removed, with a line in the log, and the training goes on from the
one before. So a damaged file costs the steps since that one, and never changes the model.
"""

import json
import logging
import shutil
import time
from pathlib import Path
from typing import TypedDict

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from pipeline.common import shapes, sums
from pipeline.common.errors import BigfootError
from pipeline.common.files import sealed, write_whole

LEDGER = "ledger.json"
KEPT = ("*.safetensors", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth", "trainer_state.json")
SECONDS = 300.0  # of training without a checkpoint, after which one is written
log = logging.getLogger(__name__)


class Regularly(TrainerCallback):
    """Asks for a checkpoint where the last one is older than SECONDS, at a step whose loss is logged.

    At no other step, so that a resumed run logs the same losses, each the mean since the last one; and since all processes have
    to save at the same step, the first one decides, which would delay every step.
    """

    def on_train_begin(self, args, state, control, **_):
        self.saved = time.monotonic()

    def on_log(self, args, state, control, logs, **_):
        if "loss" in logs:
            is_due = time.monotonic() - self.saved >= SECONDS
            control.should_save |= broadcast_object_list([is_due])[0]

    def on_save(self, args, state, control, **_):
        self.saved = time.monotonic()


class Spent(TypedDict):
    """What a training has taken so far; `wh` is None where the meter has no reading."""

    seconds: float
    wh: float | None


class Ledger(TypedDict):
    curve: list[dict]
    before: Spent
    files: dict[str, dict]


def write(folder: Path, curve: list[dict], before: dict) -> None:
    """Complete a checkpoint by its ledger."""
    files = sums.of(folder, (file for pattern in KEPT for file in folder.glob(pattern)))
    write_whole(folder / LEDGER, json.dumps(sealed({"curve": curve, "before": before, "files": files})))


def read(folder: Path) -> dict:
    """The ledger of a checkpoint; raises BigfootError where it is not whole, or a file is not the one that was saved."""
    ledger = shapes.read(folder / LEDGER, Ledger, None)
    sums.check(folder, ledger["files"], "the checkpoint", "it is removed")
    return ledger


def latest(folder: Path) -> Path | None:
    """The newest checkpoint to resume from; those that are not whole are removed."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for checkpoint in checkpoints:
        try:
            read(checkpoint)
        except BigfootError as error:
            if (checkpoint / LEDGER).exists():  # otherwise a kill left it incomplete
                log.warning("checkpoint removed: %s", error)
            shutil.rmtree(checkpoint, ignore_errors=True)
    for checkpoint in reversed(checkpoints):
        if checkpoint.is_dir():
            if (best := _best(checkpoint)) is None or best.is_dir():
                return checkpoint
            log.warning("checkpoint removed: %s goes on to a best one that is lost, %s", checkpoint, best.name)
            shutil.rmtree(checkpoint, ignore_errors=True)
    return None


def last_step(checkpoint: Path) -> int | None:
    """The step of a checkpoint at which its training ended, as where patience ran out; None where the training goes on."""
    state = _state(checkpoint)
    is_end = state["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"]
    return state["global_step"] if is_end else None


def keep_only(folder: Path, names: set[str]) -> None:
    """Remove all checkpoints but these; after a new one is whole, since the Trainer would remove the old ones first."""
    for checkpoint in folder.glob("checkpoint-*"):
        if checkpoint.name not in names:
            shutil.rmtree(checkpoint)


def _best(checkpoint: Path) -> Path | None:
    """The best checkpoint at the time of this one; None where none was evaluated."""
    best = _state(checkpoint)["best_model_checkpoint"]
    return checkpoint.with_name(Path(best).name) if best else None


def _state(checkpoint: Path) -> dict:
    """What the Trainer wrote of its state."""
    return json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
