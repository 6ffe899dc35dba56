"""`int8-torchao`: int8 in PyTorch by torchao, which takes the place of torch.ao.quantization; finer than `int8-torch`."""

import shutil
from pathlib import Path

from pipeline.quantize.base import VNNI, Scheme
from pipeline.recognition import torch_model, torchao_model


class TorchaoInt8(Scheme):
    """Needs no calibration. See pipeline.recognition.torchao_model for what is on disk.

    Lowers: every Linear, to int8; convolutions stay in float32
    Granularity: weights symmetric, one scale an output; activations symmetric, one scale a frame, taken at run time
    Hardware: any CPU; faster with VNNI
    Limits: seven of eight bits, to be right on any CPU; runs eagerly, without torch.compile; a batch holds equal lengths only;
    opens PyTorch, which takes seconds and hundreds of MB
    """

    runtime = "torch"
    file = torchao_model.FILE
    padding = "exact"
    packages = ("torch", "torchao", "transformers")
    runs_on = ("torchao",)
    features, otherwise = VNNI, "int8 gains less, or nothing"

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        model = torch_model.load_float(model_folder)
        torchao_model.quantize_linears(model, reduce_range=True)
        torchao_model.save(model, out)
        shutil.copyfile(model_folder / "config.json", out / "config.json")
