"""What a model folder says of its training: metrics.json, and curve.jsonl with one line per logged step."""

from pathlib import Path
from typing import Required, TypedDict

from pipeline.common import shapes
from pipeline.common.errors import BigfootError
from pipeline.common.files import again


class Metrics(TypedDict, total=False):
    """`trained`: whether the model has learned anything, here or before; the rate on dev is that of the best checkpoint."""

    trained: bool
    params: Required[int]
    steps: Required[int]
    best_step: int | None
    dev_wer: float | None
    dev_cer: float | None
    train_hours: float | None
    train_energy_wh: float | None
    energy_mode: str | None
    fingerprint: str


class Step(TypedDict, total=False):
    """A line of the curve: at a logged step the loss, at an evaluated one the rate on dev, and whatever else was logged."""

    step: Required[int]
    loss: float | None
    dev_wer: float | None
    dev_cer: float | None
    learning_rate: float | None


def read_metrics(folder: Path, command: str | None) -> dict:
    """metrics.json of a model folder; raises BigfootError where it is missing or broken. `command` makes the folder."""
    return shapes.read(folder / "metrics.json", Metrics, command)


def read_curve(folder: Path, command: str | None) -> list[dict]:
    """curve.jsonl of a model folder, [] where there is none: a model that was not trained here may have no curve.

    Raises BigfootError where it is broken, or empty although metrics.json counts steps.
    """
    path = folder / "curve.jsonl"
    if not path.is_file():
        return []
    rows: list[dict] = [*shapes.read_lines(path, Step, command)]
    if not rows and (folder / "metrics.json").is_file() and read_metrics(folder, command)["steps"]:
        raise BigfootError(f"{path} is empty: {again(command)}")
    return rows
