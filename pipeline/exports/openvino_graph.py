"""Rewires a variant's OpenVINO graph as `pipeline.exports.graph` does an ONNX one: raw audio in, logits out."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.exports.graph import INPUT, NEVER, OUTPUT, channels, silent_tokens
from pipeline.recognition import seal

if TYPE_CHECKING:
    from openvino import Model, Output

OPERATION = re.compile(r"/conv_layers\.(\d+)/")  # low precision gives weights other names


def rewired(source: Path, info: dict) -> "tuple[Model, list[int]]":
    """The rewired graph of a variant's file, and the widths of its feature encoder's convolutions."""
    import openvino
    from openvino import opset13 as ops

    model = openvino.Core().read_model(source)
    audio = ops.parameter([-1, -1], np.float32, name=INPUT)
    audio.output(0).set_names({INPUT})
    shape = ops.shape_of(audio, "i64")
    samples, batch = (ops.gather(shape, np.array([axis]), np.int64(0)) for axis in (1, 0))
    enough = ops.maximum(samples, np.array([seal.receptive_field(info)], dtype=np.int64))
    pads = ops.concat([np.array([0], dtype=np.int64), ops.subtract(enough, samples)], 0)
    waveform = ops.pad(
        _normalized(audio) if info["normalize"] else audio, np.zeros(2, np.int64), pads, "constant", np.float32(0)
    )
    for name, value in (("waveform", waveform), ("lengths", ops.broadcast(enough, batch))):
        for target in model.input(name).get_target_inputs():
            target.replace_source_output(value.output(0))
    convolutions = [node for node in model.get_ops() if node.get_type_name() == "Convolution"]
    weights = [(node.get_friendly_name(), list(node.get_input_partial_shape(1).get_min_shape())) for node in convolutions]
    raw = model.output(OUTPUT).get_node().input_value(0)
    raw.set_names({"raw"})
    logits = _folded(raw, info)
    logits.set_names({OUTPUT})
    widths = channels(weights, len(info["conv_kernels"]), OPERATION)
    return openvino.Model([ops.result(logits)], [audio], info["variant"]), widths


def _normalized(audio):
    from openvino import opset13 as ops

    axis = np.array([1])
    centered = ops.subtract(audio, ops.reduce_mean(audio, axis, True))
    variance = ops.reduce_mean(ops.multiply(centered, centered), axis, True)
    return ops.divide(centered, ops.sqrt(ops.add(variance, np.float32(1e-7))))


def _folded(raw: "Output", info: dict) -> "Output":
    """The scores, in which of the tokens that write nothing only the blank may win; of any kind, to be named anew."""
    from openvino import opset13 as ops

    silent, ids = silent_tokens(info), np.arange(len(info["vocab"]))
    best = ops.reduce_max(ops.gather(raw, np.array([info["blank"], *silent]), np.int64(2)), np.array([2]), True)
    others = ops.select(np.isin(ids, silent), np.float32(NEVER), raw)
    return ops.select(ids == info["blank"], best, others).output(0)
