"""Exports a model folder as a padding-invariant ONNX graph.

    waveform float32 [batch, samples], lengths int64 [batch] (samples without padding) -> logits [batch, frames, vocab]

All axes are dynamic. The graph computes the forward pass of pipeline.models.forward. This costs a few per cent of speed at
one fixed length. In return, batches may hold any lengths, and runtimes that compile for every shape see few shapes (see
pipeline.recognition.runtimes).

The tracing exporter (dynamo=False) is exact; the newer exporter fails on dynamic lengths. Nodes keep their modules' names: the
feature encoder's are `/conv_layers.N/...`, except a group-norm encoder's first convolution, which lies at the top level. The
graph does not normalize the waveform.

The feature encoder convolves in two dimensions, of which one has size 1: ONNX Runtime computes such convolutions in blocks of
channels, which is faster, and OpenVINO is not slower with them (docs/speed.md).

An ONNX file holds 2 GB at most. The exporter writes the weights of a larger model into hundreds of files beside the graph, so
it always exports into a temporary folder.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.models.families import is_group_norm
from pipeline.models.forward import padding_invariant
from pipeline.recognition import torch_model

if TYPE_CHECKING:
    import onnx
    import torch
    from torch import nn

LARGEST = 1_900_000_000  # bytes of weights in an ONNX file, with room for the graph below protobuf's limit of 2 GB


@contextmanager
def temporary(out: Path) -> Iterator[Path]:
    """The path of an ONNX file in a folder of its own within `out`, which is removed at the end."""
    with tempfile.TemporaryDirectory(dir=out) as folder:
        yield Path(folder) / "fp32.onnx"


@contextmanager
def float_graph(model_folder: Path, out: Path) -> Iterator[Path]:
    """The float32 graph of a model folder, in a temporary ONNX file."""
    with temporary(out) as path:
        to_onnx(model_folder, path)
        yield path


@contextmanager
def rewritten(full: Path) -> Iterator["onnx.ModelProto"]:
    """The graph in a `temporary` file, to be changed in place; it is saved there again at the end."""
    import onnx

    large, model = is_large(full), onnx.load(full)
    yield model
    for file in full.parent.iterdir():  # the weights of a large model
        file.unlink()
    onnx.save(model, full, save_as_external_data=large, location="weights")


@contextmanager
def hushed() -> Iterator[None]:
    """Hide onnxruntime's warning that recommends a pre-processing for image models."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def is_large(path: Path) -> bool:
    """Whether the weights of a graph in a `temporary` file don't fit into one ONNX file."""
    return sum(file.stat().st_size for file in path.parent.iterdir()) > LARGEST


def to_onnx(model_folder: Path, path: Path) -> None:
    """Write the float32 graph of a model folder to `path`, and the weights of a large one beside it."""
    import torch

    model = torch_model.load_float(model_folder, attention="eager")
    _convolve_in_two_dimensions(model)
    graph = padding_invariant(model).eval()
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


def _convolve_in_two_dimensions(model: "nn.Module") -> None:
    """Give the feature encoder's signals a height of 1, but for a group-norm encoder's first convolution."""
    layers = list(model.base_model.feature_extractor.conv_layers)
    if is_group_norm(model.config):
        del layers[0]
    for layer in layers:
        layer.conv = _two_dimensional(layer.conv)
        if hasattr(layer, "layer_norm"):
            layer.forward = partial(_channels_last, layer)
    for first, last in zip(layers[:1], layers[-1:], strict=True):
        first.register_forward_pre_hook(lambda _, inputs: inputs[0].unsqueeze(2))
        last.register_forward_hook(lambda _, __, output: output.squeeze(2))


def _channels_last(layer: "nn.Module", signal: "torch.Tensor") -> "torch.Tensor":
    """A convolution with a layer norm over its channels, of [batch, channels, 1, frames].

    The channels come first again after the activation, not before it, so that ONNX Runtime needs no transposition for that.
    """
    frames = layer.layer_norm(layer.conv(signal).permute(0, 2, 3, 1))
    return layer.activation(frames).permute(0, 3, 1, 2)


def _two_dimensional(conv: "nn.Conv1d") -> "nn.Conv2d":
    """The same convolution of [batch, channels, 1, frames]."""
    import torch

    (kernel,), (stride,) = conv.kernel_size, conv.stride
    flat = torch.nn.Conv2d(conv.in_channels, conv.out_channels, (1, kernel), (1, stride), bias=conv.bias is not None)
    flat.weight.data = conv.weight.data[:, :, None]
    flat.bias = conv.bias
    return flat
