"""Weights of convolutions in int8 on disk, a scale per output; the runtime multiplies them out once, when it loads the file.

Decision: convolutions are computed in float32 (pipeline.quantize.onnx and openvino say why), but their weights needn't be
stored so: in float32 they were a third of a small student's int8 file, and nearly half of it in few bits. ONNX Runtime and
OpenVINO fold a constant times a constant while they load, so that a run takes as long as with float32 weights. Only the first
weights of a wide group-norm encoder stay in float32: they are normalized for each waveform (pipeline.models.forward).
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx
    from openvino import Model

OPENVINO_OUTPUTS = {"Convolution": 1, "GroupConvolution": 2}  # dimensions of a weight that tell outputs apart
OPENVINO_TYPES = list(OPENVINO_OUTPUTS)
STEPS = 127  # of int8, on either side of 0
FLOAT = ".float"  # after the name of a weight in int8: that of its values in a graph


def rounded(weight: np.ndarray, outputs: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A weight float32 in int8, and its scales, which have size 1 in all but the first `outputs` dimensions.

    These dimensions tell the outputs apart: [outputs, inputs, ...], or [groups, outputs, inputs, ...] if there are 2.
    """
    scales = largest(weight, outputs) / np.float32(STEPS)
    return np.round(weight / np.where(scales, scales, 1)).astype(np.int8), scales


def largest(weight: np.ndarray, outputs: int = 1) -> np.ndarray:
    """The largest magnitude of each output, of the shape of the scales in `rounded`."""
    return np.abs(weight).max(axis=tuple(range(outputs, weight.ndim)), keepdims=True)


def stored(name: str) -> str:
    """The name of the constant that a convolution of a graph reads its weight from, in int8 or not."""
    return name.removesuffix(FLOAT)


def lower_onnx(graph: "onnx.GraphProto") -> None:
    """Turn each constant weight of a convolution into int8, which keeps its name, in place."""
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    read = {node.input[1] for node in convolutions}
    weights = {tensor.name: tensor for tensor in graph.initializer if tensor.name in read}  # others are computed
    for node in convolutions:
        if node.input[1] in weights:
            node.input[1] += FLOAT
    nodes = [*(node for weight in weights.values() for node in _lower(weight, graph)), *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _lower(weight: "onnx.TensorProto", graph: "onnx.GraphProto") -> "list[onnx.NodeProto]":
    """Turn a constant into int8; returns the nodes that make its `.float` of it."""
    from onnx import TensorProto, helper, numpy_helper

    name, (levels, scales) = weight.name, rounded(numpy_helper.to_array(weight))
    weight.CopyFrom(numpy_helper.from_array(levels, name))
    graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scale"))
    return [
        helper.make_node("Cast", [name], [f"{name}.levels"], f"/{name}/Cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.levels", f"{name}.scale"], [f"{name}{FLOAT}"], f"/{name}/Mul"),
    ]


def lower_openvino(model: "Model") -> "Model":
    """Turn each constant weight of a convolution into int8, which keeps its name, in place; returns the same model."""
    import openvino
    from openvino import opset13 as ops

    for node in model.get_ordered_ops():
        if (kind := node.get_type_name()) not in OPENVINO_TYPES:
            continue
        constant = node.input_value(1).get_node()
        if constant.get_type_name() == "Constant" and constant.get_element_type() == openvino.Type.f32:
            levels, scales = (ops.constant(values) for values in rounded(constant.data, OPENVINO_OUTPUTS[kind]))
            levels.set_friendly_name(constant.get_friendly_name())  # pipeline.exports finds weights by their names
            node.input(1).replace_source_output(ops.multiply(ops.convert(levels, "f32"), scales).output(0))
    return model
