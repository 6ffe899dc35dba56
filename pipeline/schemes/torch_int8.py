"""`int8-torch`: the paper's quantisation, PyTorch dynamic int8 of every Linear; convolutions stay in float."""

import shutil
from pathlib import Path

from pipeline import torch_model
from pipeline.schemes.base import Scheme


class TorchInt8(Scheme):
    """Needs no calibration: activations get their scale at run time. See pipeline.torch_model for what is on disk."""

    runtime = "torch"
    file = torch_model.INT8_FILE
    padding = "exact"
    packages = ("torch", "transformers")

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        torch_model.save_int8(torch_model.quantise_linears(torch_model.load_float(model_folder)), out)
        shutil.copyfile(model_folder / "config.json", out / "config.json")
