"""A model folder as an ONNX graph, `waveform` [batch, samples] -> `logits` [batch, frames, vocab], both axes free.

By the tracing exporter (dynamo=False), which is exact to about 3e-6; the newer one fails on free lengths. The graph
has no attention mask and no normalisation: a batch holds equal lengths, and the recogniser normalises. Nodes keep
their modules' names, so the convolutional front end is what has `/feature_extractor/` in its name.
"""

import warnings
from pathlib import Path

from pipeline import torch_model


def to_onnx(model_folder: Path, path: Path) -> None:
    """Write the float32 graph of a model folder to `path`."""
    import torch

    class Logits(torch.nn.Module):
        """The model with one input and one output, as the exporter wants it."""

        def __init__(self, model: torch.nn.Module):
            super().__init__()
            self.model = model

        def forward(self, waveform: torch.Tensor) -> torch.Tensor:
            return self.model(waveform).logits

    graph = Logits(torch_model.load_float(model_folder, attention="eager")).eval()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            graph,
            (torch.zeros(2, 16_000),),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["waveform"],
            output_names=["logits"],
            dynamic_axes={"waveform": {0: "batch", 1: "samples"}, "logits": {0: "batch", 1: "frames"}},
        )
