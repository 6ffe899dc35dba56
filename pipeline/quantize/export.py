"""A model folder as an ONNX graph that hears no padding, whatever the front end.

    waveform float32 [batch, samples], lengths int64 [batch] (samples without padding) -> logits [batch, frames, vocab]

All axes are free. What the graph computes is pipeline.models.forward's forward. The price is a few per cent of speed at one
fixed length; what it buys is batches of any lengths, and few distinct shapes for runtimes that compile for each (see
pipeline.recognition.runtimes).

By the tracing exporter (dynamo=False), which is exact; the newer one fails on free lengths. Nodes keep their modules'
names, so the convolutional front end is what has `/feature_extractor/` in its name. Normalizing the waveform is not
the graph's business.
"""

import warnings
from pathlib import Path

from pipeline.models.forward import unpadded
from pipeline.recognition import torch_model


def to_onnx(model_folder: Path, path: Path) -> None:
    """Write the float32 graph of a model folder to `path`."""
    import torch

    graph = unpadded(torch_model.load_float(model_folder, attention="eager")).eval()
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
