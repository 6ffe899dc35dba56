"""`peer-executorch` and `peer-executorch-int8`: programs that ExecuTorch runs with XNNPACK, as on phones.

A program takes audio of any length up to 30 s (pipeline.quantize.raw_audio). It is made from PyTorch, since ExecuTorch takes no
ONNX graph, and is deployed as it was measured: the layout `executorch` copies it.
"""

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.models.description import describe
from pipeline.quantize import raw_audio
from pipeline.quantize.peers import Peer
from pipeline.recognition import torch_model

if TYPE_CHECKING:
    from torch import nn


class PeerExecutorch(Peer):
    """ExecuTorch with XNNPACK, in float32.

    Lowers: nothing
    Granularity: none
    Hardware: any CPU; on phones without PyTorch
    Limits: audio of up to 30 s in one pass; a recording at a time; here it runs through PyTorch, which phones don't need
    """

    runtime = "executorch"
    file = "model.pte"
    packages = ("torch", "torchao", "transformers", "executorch")
    runs_on = ("executorch",)
    extra = "peers"

    def write(self, model_folder: Path, corpus, out: Path) -> dict:
        model, info = torch_model.load_float(model_folder, attention="eager"), describe(model_folder)
        self.lower(model)
        (out / self.file).write_bytes(_program(model, info))
        return {"longest": raw_audio.longest(info)}

    def lower(self, model: "nn.Module") -> None:
        """Lower the precision of a model in place."""


class PeerExecutorchInt8(PeerExecutorch):
    """ExecuTorch with XNNPACK and torchao's Int8DynamicActivationIntxWeightConfig, as its makers advise.

    Lowers: every Linear, to int8; convolutions stay in float32
    Granularity: weights symmetric, one scale per output; activations int8, one range per frame, set at run time
    Hardware: any CPU; on phones without PyTorch
    Limits: as peer-executorch
    """

    def lower(self, model: "nn.Module") -> None:
        import torch
        from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_
        from torchao.quantization.granularity import PerAxis

        quantize_(model, Int8DynamicActivationIntxWeightConfig(torch.int8, PerAxis(0)))


def _program(model: "nn.Module", info: dict) -> bytes:
    """The program of a model, as a .pte file."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    hop = raw_audio.hop(info)
    frames = torch.export.Dim("frames", min=2, max=math.ceil(raw_audio.longest(info) / hop))
    example = (torch.zeros(1, 100 * hop), torch.tensor([99 * hop]))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        exported = torch.export.export(
            raw_audio.module(model, info), example, dynamic_shapes={"audio": {1: hop * frames}, "length": None}
        )
        return to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch().buffer
