"""`int8-torchao`: int8 in PyTorch by torchao, the successor of torch.ao.quantization; finer scales than `int8-torch`."""

import shutil
from pathlib import Path

from pipeline.quantize.base import VNNI, Scheme
from pipeline.recognition import torch_model, torchao_model


class TorchaoInt8(Scheme):
    """Needs no calibration. pipeline.recognition.torchao_model documents the file.

    Lowers: every Linear, to int8; convolutions stay in float32
    Granularity: weights symmetric, one scale per output; activations symmetric, one scale per frame, set at run time
    Hardware: any CPU; faster with VNNI
    Limits: seven of eight bits, to be correct on any CPU; runs eagerly, without torch.compile; a batch holds equal lengths
    only; needs PyTorch, which takes seconds and hundreds of MB to load
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
