"""Gives narrow convolutions of a graph kernels that a CPU with AMX computes rightly in bfloat16 and int8.

The fault is described in pipeline.models.bf16. A graph can't tell OpenVINO to compute one convolution in float32, may run on
another CPU than the one that made it, and in bfloat16 where that is OpenVINO's own choice. So kernels get a zero at their end,
and signals one more frame of padding for it to meet: the products are the same.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.quantize import export

if TYPE_CHECKING:
    import onnx

MULTIPLE, NARROW = 4, 32  # of kernels, and below how many inputs per group: with room around what was seen to be wrong


def lengthen(full: Path) -> None:
    """Rewrite a graph in a `temporary` file; its logits stay the same in float32, but for the order of sums."""
    with export.rewritten(full) as model:
        _lengthen(model)


def _lengthen(model: "onnx.ModelProto") -> None:
    from onnx import helper, numpy_helper

    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
        if weight is None or weight.dims[1] % 2 or weight.dims[1] >= NARROW or weight.dims[-1] % MULTIPLE:
            continue
        settings = {attribute.name: attribute for attribute in node.attribute}
        dimensions = len(weight.dims) - 2
        pads = list(settings["pads"].ints) if "pads" in settings else [0] * (2 * dimensions)  # all befores, then all afters
        longer = np.pad(numpy_helper.to_array(weight), [(0, 0)] * (dimensions + 1) + [(0, 1)])
        weight.CopyFrom(numpy_helper.from_array(longer, weight.name))
        settings["pads"] = helper.make_attribute("pads", [*pads[:-1], pads[-1] + 1])
        settings["kernel_shape"] = helper.make_attribute("kernel_shape", longer.shape[2:])
        del node.attribute[:]
        node.attribute.extend(settings.values())
