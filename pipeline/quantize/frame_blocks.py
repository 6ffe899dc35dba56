"""Computes narrow grouped convolutions, as the positional ones of small models are, several frames at a time.

Decision: ONNX Runtime computes groups of 16 channels, or multiples, two to three times faster than groups of 8, in which a
student of 128 channels spent a fifth of its time (docs/speed.md). So some frames that follow each other are read as one frame
of as many times the channels, and written likewise: the same sums of products, with some zeros among them.

The file holds the weights as they were. The runtime rearranges them once, when it loads the file. The signal is rearranged with
its channels last, in runs of a group: swapping a channel's frames and blocks would start every thread for each channel.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.models.tensors import tensors
from pipeline.quantize import convolutions

if TYPE_CHECKING:
    import onnx

BLOCK, WIDEST = 16, 64  # channels per group with joined frames: a multiple of the first, at most the second, were always faster
SHORTEST = 16  # frames of a kernel: with shorter ones too many of the products are with zeros


def join(graph: "onnx.GraphProto") -> None:
    """Join frames in a graph, in place, whose convolutions were lowered, if they are: sums change their order alone."""
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        weight = shapes.get(convolutions.stored(node.input[1])) if node.op_type == "Conv" else None
        nodes += _joined(node, weight, graph) if weight and _is_narrow(node, weight) else [node]
    del graph.node[:]
    graph.node.extend(nodes)


def frames_joined(inputs: int, kernel: int) -> int:
    """How many frames are joined in a convolution with so many inputs per group; 1: none are."""
    widths = ((frames, frames * inputs) for frames in (2, 4, 8))
    fitting = (frames for frames, width in widths if width % BLOCK == 0 and width <= WIDEST)
    return next(fitting, 1) if kernel >= SHORTEST else 1


def joins(config: dict) -> bool:
    """Whether frames are joined in the positional convolutions of a model with this config.json."""
    return any(frames_joined(inputs, kernel) > 1 for _, inputs, kernel in tensors(config).positional)


def _is_narrow(node: "onnx.NodeProto", weight: Sequence[int]) -> bool:
    """Whether a convolution with this weight, [outputs, inputs of a group, kernel], is positional and gains."""
    settings = _settings(node)
    is_plain = len(weight) == 3 and settings["group"] > 1 and {*settings["strides"], *settings["dilations"]} == {1}
    return is_plain and frames_joined(*weight[1:]) > 1


def _settings(node: "onnx.NodeProto") -> dict:
    from onnx import helper

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _joined(node: "onnx.NodeProto", weight: Sequence[int], graph: "onnx.GraphProto") -> "list[onnx.NodeProto]":
    """The nodes that take this one's place.

    In each group y[o, P b + p] = sum of w[o, i, k] x[i, P b + p + k] becomes output (p, o) of block b, a sum over inputs (q, i)
    of the blocks b + t, with the weight w[o, i, P t + q - p], 0 outside the kernel.
    """
    from onnx import helper, numpy_helper

    nodes: list[onnx.NodeProto] = []
    (outputs, inputs, kernel), settings = weight, _settings(node)
    frames, groups, (before, after) = frames_joined(inputs, kernel), settings["group"], settings["pads"]
    taps, first = -(-(kernel + frames - 1) // frames), len(graph.initializer)
    most = after - kernel + taps * frames  # frames after the signal that the last block may read
    most += -(before + most) % frames

    def constant(*values: int) -> str:
        return stored(np.array(values))

    def stored(values: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(values, f"joined{len(graph.initializer)}"))
        return graph.initializer[-1].name

    def made(kind: str, *read: str, **attributes) -> str:
        nodes.append(helper.make_node(kind, read, [f"joined{first}.{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    # [outputs, inputs, kernel] -> [(groups, P, outputs), (P, inputs), 1, taps]; all of it is constant
    p, q = np.ogrid[:frames, :frames]
    offsets = made("Add", stored((q - p + frames - 1)[..., None]), stored(frames * np.arange(taps)))
    padded = made("Pad", node.input[1], constant(0, 0, frames - 1, 0, 0, taps * frames - kernel))
    blocks = made("Gather", padded, offsets, axis=2)
    blocks = made("Reshape", blocks, constant(groups, outputs // groups, inputs, frames, frames, taps))
    blocks = made("Transpose", blocks, perm=[0, 3, 1, 4, 2, 5])
    blocks = made("Reshape", blocks, constant(outputs * frames, inputs * frames, 1, taps))
    bias = made("Reshape", node.input[2], constant(groups, 1, outputs // groups))
    bias = made("Reshape", made("Expand", bias, constant(1, frames, 1)), constant(-1))

    # [batch, channels, frames] -> [batch, (groups, P, channels), 1, blocks], and back
    length = made("Shape", node.input[0], start=2)
    end = made("Sub", constant(most), made("Mod", length, constant(frames)))
    signal = made("Transpose", node.input[0], perm=[0, 2, 1])
    signal = made("Pad", signal, made("Concat", constant(0, before, 0, 0), end, constant(0), axis=0))
    signal = made("Reshape", signal, constant(0, -1, frames, groups, inputs))
    signal = made("Transpose", signal, perm=[0, 1, 3, 2, 4])
    signal = made("Transpose", made("Reshape", signal, constant(0, -1, groups * frames * inputs)), perm=[0, 2, 1])
    signal = made("Unsqueeze", signal, constant(2))
    signal = made("Conv", signal, blocks, bias, group=groups, kernel_shape=[1, taps])
    signal = made("Transpose", made("Squeeze", signal, constant(2)), perm=[0, 2, 1])
    signal = made("Reshape", signal, constant(0, -1, groups, frames, outputs // groups))
    signal = made("Transpose", signal, perm=[0, 1, 3, 2, 4])
    signal = made("Transpose", made("Reshape", signal, constant(0, -1, outputs)), perm=[0, 2, 1])
    length = made("Add", length, constant(before + after - kernel + 1))
    made("Slice", signal, constant(0), length, constant(2))
    nodes[-1].output[0] = node.output[0]
    return nodes
