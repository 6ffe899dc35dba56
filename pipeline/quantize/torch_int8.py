"""`int8-torch`: the paper's quantization, PyTorch's dynamic int8 for every Linear."""

import shutil
from pathlib import Path

from pipeline.quantize.base import VNNI, Scheme
from pipeline.recognition import torch_model


class TorchInt8(Scheme):
    """Needs no calibration. pipeline.recognition.torch_model documents the file.

    Lowers: every Linear, to int8; convolutions stay in float32
    Granularity: weights symmetric, one scale per matrix; activations one scale per call, set at run time
    Hardware: any CPU; faster with VNNI
    Limits: a batch holds equal lengths only; needs PyTorch, which takes seconds and hundreds of MB to load
    """

    runtime = "torch"
    file = torch_model.INT8_FILE
    padding = "exact"
    packages = ("torch", "transformers")
    features, otherwise = VNNI, "int8 gains less, or nothing"

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        torch_model.save_int8(torch_model.quantize_linears(torch_model.load_float(model_folder)), out)
        shutil.copyfile(model_folder / "config.json", out / "config.json")
