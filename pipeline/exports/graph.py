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
from collections.abc import Iterable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.common.errors import BigfootError
from pipeline.recognition import seal

INPUT, OUTPUT = "input_values", "logits"
NEVER = -1e4  # a score that no token of a model has; not infinite, which log-softmax and float16 don't bear
PREFIX = "export_"  # of the names of new nodes and values
RAW = f"{PREFIX}raw"  # the variant's own scores
WEIGHT = re.compile(r"feature_extractor\.conv_layers\.(\d+)\.conv\.weight$")


def rewire(model: onnx.ModelProto, info: dict) -> None:
    """Rewire a variant's graph in place; raises BigfootError where it isn't a graph that Bigfoot made."""
    audio = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", "samples"])
    surround(model, info, [audio], _before(info), _after(info), OUTPUT)


def surround(
    model: onnx.ModelProto, info: dict, inputs: list[onnx.ValueInfoProto], before: "Nodes", after: "Nodes", output: str
) -> None:
    """Put nodes before and after a variant's own: those before make `waveform` and `lengths`, those after read RAW."""
    graph = model.graph
    names = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    if names != {"waveform", "lengths"} or [value.name for value in graph.output] != ["logits"]:
        raise BigfootError(f"{info['variant']} has inputs {', '.join(sorted(names))}, not Bigfoot's: quantize the model again")
    for node in graph.node:
        node.output[:] = [RAW if name == "logits" else name for name in node.output]
        node.input[:] = [RAW if name == "logits" else name for name in node.input]
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*before.constants, *after.constants])
    shape: list[str | int | None] = ["batch", "frames", len(info["vocab"])]
    graph.input.extend(inputs)
    graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))


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


def channels(weights: Iterable[tuple[str, Sequence[int]]], convolutions: int, layer_of: re.Pattern = WEIGHT) -> list[int]:
    """The widths of the feature encoder's convolutions, from the names and shapes [out, in, kernel] of a graph's weights.

    `layer_of`: the names that count, and the convolution's number in them.
    """
    found: dict[int, int] = {}
    for name, shape in weights:
        if match := layer_of.search(name):
            layer, out, taken = int(match[1]), *shape[:2]
            found[layer] = out
            if layer:
                found.setdefault(layer - 1, taken)  # the exporter computes a group-norm encoder's first weights anew
    return [found[layer] for layer in range(convolutions)]


class Nodes:
    """Nodes and their constants, in the order in which they are computed."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: Sequence[str], name: str, is_named: bool = False, **attributes) -> str:
        """Add a node with one output; returns the output's name: `name` itself if it `is_named` so, else a new one."""
        output = name if is_named else PREFIX + name
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"/{PREFIX}{name}", **attributes))
        return output

    def constant(self, name: str, value) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), PREFIX + name))
        return PREFIX + name

    def integers(self, name: str, *values: int) -> str:
        """A constant of int64."""
        return self.constant(name, np.array(values, dtype=np.int64))


def _before(info: dict) -> Nodes:
    """input_values -> the variant's own inputs."""
    nodes = Nodes()
    add, integers = nodes.add, nodes.integers
    shape = add("Shape", [INPUT], "shape")
    samples = add("Gather", [shape, integers("one", 1)], "samples")
    audio = INPUT
    if info["normalize"]:
        count, axis = add("Cast", [samples], "count", to=TensorProto.FLOAT), integers("axis", 1)
        mean = add("Div", [add("ReduceSum", [INPUT, axis], "sum"), count], "mean")
        audio = scaled(nodes, add("Sub", [INPUT, mean], "centered"), count, axis)
    enough = pad(nodes, audio, samples, info)
    add("Expand", [enough, add("Gather", [shape, integers("zero", 0)], "batch")], "lengths", is_named=True)
    return nodes


def scaled(nodes: Nodes, centered: str, count: str, axis: str) -> str:
    """Centered audio with unit variance, as the recognizer computes it."""
    add = nodes.add
    squares = add("ReduceSum", [add("Mul", [centered, centered], "squared"), axis], "squares")
    spread = add("Div", [squares, count], "spread")
    variance = add("Add", [spread, nodes.constant("least_variance", np.float32(1e-7))], "variance")
    return add("Div", [centered, add("Sqrt", [variance], "deviation")], "normalized")


def pad(nodes: Nodes, audio: str, samples: str, info: dict) -> str:
    """Pad the audio to `waveform`, which is long enough for a frame; returns its samples."""
    enough = nodes.add("Max", [samples, nodes.integers("least", seal.receptive_field(info))], "enough")
    lacking = nodes.add("Sub", [enough, samples], "lacking")
    pads = nodes.add("Concat", [nodes.integers("nowhere", 0, 0, 0), lacking], "pads", axis=0)
    nodes.add("Pad", [audio, pads], "waveform", is_named=True)
    return enough


def _after(info: dict) -> Nodes:
    """The variant's own scores -> logits."""
    nodes = Nodes()
    nodes.add("Identity", [folded(nodes, info)], OUTPUT, is_named=True)
    return nodes


def folded(nodes: Nodes, info: dict) -> str:
    """The variant's own scores, in which of the tokens that write nothing only the blank may win."""
    silent = silent_tokens(info)
    if not silent:
        return RAW
    ids, best, never = np.arange(len(info["vocab"])), f"{PREFIX}best", nodes.constant("never", np.float32(NEVER))
    scores = nodes.add("Gather", [RAW, nodes.integers("silent", info["blank"], *silent)], "scores", axis=2)
    taken = [scores, nodes.integers("first", 1)]
    nodes.nodes.append(helper.make_node("TopK", taken, [best, f"{PREFIX}which"], name=f"/{PREFIX}best", axis=2))
    others = nodes.add("Where", [nodes.constant("is_silent", np.isin(ids, silent)), never, RAW], "others")
    return nodes.add("Where", [nodes.constant("is_blank", ids == info["blank"]), best, others], "folded")


def silent_tokens(info: dict) -> list[int]:
    """The ids, but the blank's, that write nothing."""
    return [index for index, text in enumerate(info["vocab"]) if not text and index != info["blank"]]
