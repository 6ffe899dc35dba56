"""Rewires a variant's ONNX graph for runtimes that hand over raw audio and take logits, and nothing else.

    input_values float32 [batch, samples], 16 kHz -> logits float32 [batch, frames, vocabulary]

Decision: the variant is not exported anew. Nodes before and after its own do what the recognizer does around it, and its
weights stay as they are, byte for byte, so what was measured is what is deployed. The price is 2 kB and no masks: a batch
holds recordings of one length.

- Normalization (where the model was trained so) and padding of audio that is too short for one frame are in the graph. A
  runtime that normalizes too changes nothing: normalized audio stays as it is, but for recordings near digital silence.
- A token that writes nothing (<unk>, <s>) is CTC's blank for the recognizer. Runtimes print such tokens, or drop them before
  they merge repeats. So in each frame the blank gets the highest score of them all, and the others one that never wins.
"""

import math
import re
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.common.errors import BigfootError
from pipeline.recognition import seal

INPUT, OUTPUT = "input_values", "logits"
NEVER = -1e4  # a score that no token of a model has; not infinite, which log-softmax and float16 don't bear
PREFIX = "export_"  # of the names of new nodes and values


def rewire(model: onnx.ModelProto, info: dict) -> None:
    """Rewire a variant's graph in place; raises BigfootError where it isn't a graph that Bigfoot made."""
    graph = model.graph
    names = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    if names != {"waveform", "lengths"} or [value.name for value in graph.output] != [OUTPUT]:
        raise BigfootError(f"{info['variant']} has inputs {', '.join(sorted(names))}, not Bigfoot's: quantize the model again")
    before = _before(info)
    for node in graph.node:
        node.output[:] = [f"{PREFIX}raw" if name == OUTPUT else name for name in node.output]
        node.input[:] = [f"{PREFIX}raw" if name == OUTPUT else name for name in node.input]
    after = _after(info)
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*before.constants, *after.constants])
    shape: list[str | int | None] = ["batch", "frames", len(info["vocab"])]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", "samples"]))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape))


def name_weights(model: onnx.ModelProto, name: str) -> str | None:
    """Name another file for weights that lie beside the graph, of a large model; returns the present one, None without any."""
    entries = [entry for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"]
    present = {entry.value for entry in entries}
    for entry in entries:
        entry.value = name
    return present.pop() if present else None


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether the graph holds int8 weights."""
    return any(
        tensor.data_type in (TensorProto.INT8, TensorProto.UINT8) and math.prod(tensor.dims) > 1
        for tensor in model.graph.initializer
    )


def channels(model: onnx.ModelProto, convolutions: int) -> list[int]:
    """The widths of the feature encoder's convolutions, read from their weights [out, in, kernel]."""
    found = {}
    for tensor in model.graph.initializer:
        if match := re.search(r"feature_extractor\.conv_layers\.(\d+)\.conv\.weight$", tensor.name):
            layer, (out, taken, _) = int(match[1]), tensor.dims
            found[layer] = out
            if layer:
                found.setdefault(layer - 1, taken)  # the exporter computes a group-norm encoder's first weights anew
    return [found[layer] for layer in range(convolutions)]


class _Nodes:
    """Nodes and their constants, in the order in which they are computed."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes) -> str:
        """Add a node with one output, or the first of several; returns the output's name."""
        output = name if name in ("waveform", "lengths", OUTPUT) else PREFIX + name
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"/{PREFIX}{name}", **attributes))
        return output

    def constant(self, name: str, value) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), PREFIX + name))
        return PREFIX + name


def _before(info: dict) -> _Nodes:
    """input_values -> the variant's own inputs."""
    nodes = _Nodes()
    add, constant = nodes.add, nodes.constant
    least = constant("least", np.array([seal.receptive_field(info)], dtype=np.int64))
    shape = add("Shape", [INPUT], "shape")
    samples = add("Gather", [shape, constant("one", np.array([1], dtype=np.int64))], "samples")
    audio = _normalized(nodes, samples) if info["normalize"] else INPUT
    enough = add("Max", [samples, least], "enough")
    lacking = add("Sub", [enough, samples], "lacking")
    pads = add("Concat", [constant("nowhere", np.zeros(3, dtype=np.int64)), lacking], "pads", axis=0)
    add("Pad", [audio, pads], "waveform")
    batch = add("Gather", [shape, constant("zero", np.array([0], dtype=np.int64))], "batch")
    add("Expand", [enough, batch], "lengths")
    return nodes


def _normalized(nodes: _Nodes, samples: str) -> str:
    """The audio with zero mean and unit variance, as the recognizer computes it."""
    add, axis = nodes.add, nodes.constant("axis", np.array([1], dtype=np.int64))
    count = add("Cast", [samples], "count", to=TensorProto.FLOAT)
    mean = add("Div", [add("ReduceSum", [INPUT, axis], "sum"), count], "mean")
    centered = add("Sub", [INPUT, mean], "centered")
    squares = add("ReduceSum", [add("Mul", [centered, centered], "squared"), axis], "squares")
    variance = add(
        "Add", [add("Div", [squares, count], "spread"), nodes.constant("least_variance", np.float32(1e-7))], "variance"
    )
    return add("Div", [centered, add("Sqrt", [variance], "deviation")], "normalized")


def _after(info: dict) -> _Nodes:
    """The variant's own scores, export_raw -> logits, in which of the tokens that write nothing only the blank may win."""
    nodes = _Nodes()
    silent = silent_tokens(info)
    if not silent:
        nodes.add("Identity", [f"{PREFIX}raw"], OUTPUT)
        return nodes
    ids = np.arange(len(info["vocab"]))
    scores = nodes.add(
        "Gather", [f"{PREFIX}raw", nodes.constant("silent", np.array([info["blank"], *silent]))], "scores", axis=2
    )
    best, never = f"{PREFIX}best", nodes.constant("never", np.float32(NEVER))
    one = nodes.constant("first", np.array([1], dtype=np.int64))
    nodes.nodes.append(helper.make_node("TopK", [scores, one], [best, f"{PREFIX}which"], name=f"/{PREFIX}best", axis=2))
    others = nodes.add("Where", [nodes.constant("is_silent", np.isin(ids, silent)), never, f"{PREFIX}raw"], "others")
    nodes.add("Where", [nodes.constant("is_blank", ids == info["blank"]), best, others], OUTPUT)
    return nodes


def silent_tokens(info: dict) -> list[int]:
    """The ids, but the blank's, that write nothing."""
    return [index for index, text in enumerate(info["vocab"]) if not text and index != info["blank"]]
