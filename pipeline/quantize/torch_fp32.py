"""`fp32`: PyTorch in float32: the model's own folder, as transformers loads it. The teacher's is what all are compared with."""

import shutil
from pathlib import Path

from pipeline.models.description import copy_processor
from pipeline.quantize.base import Scheme


class TorchFp32(Scheme):
    """Nothing is changed, so nothing heavy is imported.

    Lowers: nothing
    Granularity: none
    Hardware: any CPU
    Limits: a batch holds equal lengths only, as PyTorch hears padding
    """

    runtime = "torch"
    file = "model.safetensors"
    padding = "exact"
    packages = ("torch", "transformers")

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        for name in ("model.safetensors", "config.json"):
            shutil.copyfile(model_folder / name, out / name)
        copy_processor(model_folder, out)
