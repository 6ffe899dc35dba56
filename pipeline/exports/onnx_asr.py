"""Rewires a variant's ONNX graph for onnx-asr, which hands over batches of any lengths and takes log-probabilities.

    input_values float32 [batch, samples], input_lengths int64 [batch] -> logprobs float32 [batch, frames, vocabulary]

onnx-asr counts a frame too many, and those of the padding of shorter recordings: there the blank is certain. Its time of a
frame is 10 ms times config.json's subsampling_factor.
"""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper

from pipeline.common.errors import BigfootError
from pipeline.exports.graph import INPUT, NEVER, RAW, Nodes, folded, pad, scaled, surround
from pipeline.recognition import seal

LENGTHS, OUTPUT = "input_lengths", "logprobs"
STEP = 160  # samples: its unit of time


def config(info: dict) -> dict:
    """config.json; raises BigfootError where a frame isn't a multiple of 10 ms."""
    hop = math.prod(info["conv_strides"])
    if hop % STEP:
        raise BigfootError(f"{info['variant']} has frames of {hop / 16:g} ms, and onnx-asr takes multiples of 10 ms")
    return {"model_type": "wav2vec2-ctc", "subsampling_factor": hop // STEP}


def rewire(model: onnx.ModelProto, info: dict) -> None:
    """Rewire a variant's graph in place; raises BigfootError where it isn't a graph that Bigfoot made."""
    inputs = [
        helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", "samples"]),
        helper.make_tensor_value_info(LENGTHS, TensorProto.INT64, ["batch"]),
    ]
    surround(model, info, inputs, _before(info), _after(info), OUTPUT)


def _before(info: dict) -> Nodes:
    """The variant's own inputs, with audio normalized over each recording."""
    nodes = Nodes()
    add, integers = nodes.add, nodes.integers
    samples = add("Gather", [add("Shape", [INPUT], "shape"), integers("one", 1)], "samples")
    audio = INPUT
    if info["normalize"]:
        axis = integers("axis", 1)
        count = add("Cast", [add("Unsqueeze", [LENGTHS, axis], "column")], "count", to=TensorProto.FLOAT)
        inside = add("Cast", [_before_end(nodes, samples, LENGTHS, "sample")], "inside", to=TensorProto.FLOAT)
        total = add("ReduceSum", [add("Mul", [INPUT, inside], "real"), axis], "sum")
        centered = add("Sub", [INPUT, add("Div", [total, count], "mean")], "moved")
        audio = scaled(nodes, add("Mul", [centered, inside], "centered"), count, axis)
    pad(nodes, audio, samples, info)
    add("Max", [LENGTHS, integers("shortest", seal.receptive_field(info))], "lengths", is_named=True)
    return nodes


def _after(info: dict) -> Nodes:
    """The variant's own scores -> log-probabilities, and a certain blank after a recording's end."""
    nodes = Nodes()
    add, integers = nodes.add, nodes.integers
    probable = add("LogSoftmax", [folded(nodes, info)], "probable", axis=2)
    beyond = add("Sub", ["lengths", integers("field", seal.receptive_field(info))], "beyond")
    steps = add("Div", [beyond, integers("hop", math.prod(info["conv_strides"]))], "steps")
    frames = add("Add", [steps, integers("first_frame", 1)], "frames")
    most = add("Gather", [add("Shape", [RAW], "raw_shape"), integers("frame_axis", 1)], "most")
    real = add("Unsqueeze", [_before_end(nodes, most, frames, "frame"), integers("last", 2)], "real_frames")
    silence = np.where(np.arange(len(info["vocab"])) == info["blank"], 0.0, NEVER).astype(np.float32)
    add("Where", [real, probable, nodes.constant("silence", silence)], OUTPUT, is_named=True)
    return nodes


def _before_end(nodes: Nodes, size: str, ends: str, name: str) -> str:
    """Booleans [batch, size]: which of the positions lie before each row's end."""
    scalar = [nodes.add("Squeeze", [size], f"{name}_count"), *(nodes.constant(f"{name}_{n}", np.int64(n)) for n in (0, 1))]
    positions = nodes.add("Range", [scalar[1], scalar[0], scalar[2]], f"{name}_positions")
    column = nodes.add("Unsqueeze", [ends, nodes.integers(f"{name}_column_axis", 1)], f"{name}_ends")
    return nodes.add("Less", [positions, column], f"{name}_inside")
