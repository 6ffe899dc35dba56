"""Exports a model folder as a padding-invariant ONNX graph.

    waveform float32 [batch, samples], lengths int64 [batch] (samples without padding) -> logits [batch, frames, vocab]

All axes are dynamic. The graph computes the forward pass of pipeline.models.forward. This costs a few per cent of speed at
one fixed length. In return, batches may hold any lengths, and runtimes that compile for every shape see few shapes (see
pipeline.recognition.runtimes).

The tracing exporter (dynamo=False) is exact; the newer exporter fails on dynamic lengths. Nodes keep their modules' names: the
feature encoder's are `/conv_layers.N/...`, except a group-norm encoder's first convolution, which lies at the top level. The
graph does not normalize the waveform.
"""

import warnings
from pathlib import Path

from pipeline.models.forward import padding_invariant
from pipeline.recognition import torch_model


def to_onnx(model_folder: Path, path: Path) -> None:
    """Write the float32 graph of a model folder to `path`."""
    import torch

    graph = padding_invariant(torch_model.load_float(model_folder, attention="eager")).eval()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            graph,
            (torch.zeros(2, 16_000), torch.tensor([16_000, 12_000])),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["waveform", "lengths"],
            output_names=["logits"],
            dynamic_axes={
                "waveform": {0: "batch", 1: "samples"},
                "lengths": {0: "batch"},
                "logits": {0: "batch", 1: "frames"},
            },
        )
