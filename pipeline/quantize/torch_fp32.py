"""`fp32`: PyTorch in float32, the model folder unchanged. All variants are compared with the teacher's."""

import shutil
from pathlib import Path

from pipeline.models.description import copy_processor
from pipeline.quantize.base import Scheme


class TorchFp32(Scheme):
    """Copies the model; imports nothing heavy.

    Lowers: nothing
    Granularity: none
    Hardware: any CPU
    Limits: a batch holds equal lengths only, because padding changes the logits in PyTorch
    """

    runtime = "torch"
    file = "model.safetensors"
    padding = "exact"
    packages = ("torch", "transformers")

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        for name in ("model.safetensors", "config.json"):
            shutil.copyfile(model_folder / name, out / name)
        copy_processor(model_folder, out)
