"""What share of a forward pass's multiply-accumulates the runtime does in int8, read from what it executed.

Decision: a scheme's name promises nothing. A runtime may leave a product in float, or fall back to it on a CPU without int8. So
each runtime hears SECONDS of silence and tells which operations it ran, with shapes and element types: ONNX Runtime in its
profile, OpenVINO in its runtime graph, PyTorch in its dispatcher. A product counts as int8 where both its factors are; weights
that are only stored in a lower precision don't. ONNX Runtime's MatMulNBits may round activations to int8 inside, depending on
its bits, its block and the CPU. No profile shows that, so it is tried out.

Runtimes fuse operations, and what is fused is easily overlooked. So the products that were found are compared with those that
the model's shape needs (`pipeline.models.operations`). Where more than 1% is missing, and where a runtime tells nothing, the
share is None.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.benchmark import profile
from pipeline.models.operations import SECONDS
from pipeline.recognition.runtimes import Opened
from pipeline.speech.audio import SAMPLE_RATE

LEAST_FOUND = 0.99  # of the products that the shape needs; a padding-invariant graph has a few more

ONNX_INT8 = {
    "ConvInteger", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QGemm", "QLinearConv", "QLinearMatMul",
}  # fmt: skip
ONNX_WEIGHT = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}  # convolutions, and which input is the weight
NBITS, FLOAT_LEVEL = "MatMulNBits", 1  # and the accuracy level at which it leaves activations in float32
ONNX_PRODUCTS = ONNX_INT8 | {"FusedGemm", "FusedMatMul", "Gemm", "MatMul", NBITS}
OPENVINO_INT8 = {"i8", "u8"}

Shape = Sequence[int]


class Product(NamedTuple):
    """The multiply-accumulates of an operation that was executed."""

    macs: float
    is_int8: bool


def share(recognizer, folder: Path, threads: int) -> float | None:
    """The share in an open variant, from 0 to 1; None where it can't be known (see this module's docstring)."""
    info, waveform = recognizer.info, np.zeros(round(SECONDS * SAMPLE_RATE), dtype=np.float32)
    if info["runtime"] == "torch":
        products = torch_products(recognizer._run.model, waveform)
    elif info["runtime"] == "onnxruntime":
        products = onnxruntime_products(folder / info["file"], threads, waveform)
    elif info["runtime"] == "openvino":
        products = openvino_products(recognizer._run, waveform)
    else:
        return None
    needed = info.get("macs_per_second")
    return of(products, needed * SECONDS) if needed else None


def of(products: Iterable[Product], needed: float) -> float | None:
    """The share in int8 of the products that were found; None where they are fewer than the model's shape needs."""
    products = list(products)
    found = sum(product.macs for product in products)
    if found < LEAST_FOUND * needed:
        return None
    return sum(product.macs for product in products if product.is_int8) / found


def _matmul(first: Shape, out: Shape) -> float:
    """A matrix [..., m, k], or its transpose, times another one is [..., m, n]: m x n x k."""
    return math.prod(out) * (first[-1] if first[-2] == out[-2] else first[-2])


def _convolution(weight: Shape, out: Shape, channels: int) -> float:
    """The weight's size per output channel, of which there are `channels`, for each value of the output."""
    return math.prod(out) * math.prod(weight) / channels


def onnxruntime_products(file: Path, threads: int, waveform: np.ndarray) -> list[Product]:
    """Those of the optimized graph."""
    events = profile.onnxruntime_nodes(file, threads, [waveform], is_as_written=True)
    rounding = _rounding(file) if any(event["args"]["op_name"] == NBITS for event in events) else ()
    products = []
    for event in events:
        kind = event["args"]["op_name"]
        inputs, (out, *_) = (
            [shape for value in event["args"][f"{side}_type_shape"] for shape in value.values()] for side in ("input", "output")
        )
        if kind in ONNX_WEIGHT:
            weight = inputs[ONNX_WEIGHT[kind]]  # its output may have its channels last
            products.append(Product(_convolution(weight, out, weight[0]), kind in ONNX_INT8))
        elif kind in ONNX_PRODUCTS:
            is_int8 = kind in ONNX_INT8 or event["name"].removesuffix("_kernel_time") in rounding
            products.append(Product(_matmul(inputs[0], out), is_int8))
    return products


def _rounding(file: Path) -> set[str]:
    """The names of a graph's MatMulNBits whose activations this CPU rounds to int8."""
    import onnx

    nodes = [node for node in onnx.load(file, load_external_data=False).graph.node if node.op_type == NBITS]
    settings = {node.name: {each.name: each.i for each in node.attribute} for node in nodes}
    return {name for name, has in settings.items() if _rounds(has["bits"], has["block_size"], has.get("accuracy_level", 0))}


@cache
def _rounds(bits: int, block: int, level: int) -> bool:
    """Whether a MatMulNBits gives something else than at FLOAT_LEVEL, where nothing but the weights is rounded."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rows, outputs, rng = 8, 64, np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.integers(0, 256, (outputs, 1, block * bits // 8), np.uint8), "levels"),
        numpy_helper.from_array(np.ones(outputs, np.float32), "scales"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, block])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    activations, found = rng.standard_normal((rows, block), np.float32), []
    for each in (level, FLOAT_LEVEL):
        node = helper.make_node(
            NBITS, ["x", "levels", "scales"], ["y"], domain="com.microsoft",
            K=block, N=outputs, bits=bits, block_size=block, accuracy_level=each,
        )  # fmt: skip
        graph = helper.make_graph([node], "one", [x], [y], weights)
        versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        file = helper.make_model(graph, opset_imports=versions, ir_version=9).SerializeToString()
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        found.append(session.run(None, {"x": activations})[0])
    return not np.array_equal(*found)


def openvino_products(run: Opened, waveform: np.ndarray) -> list[Product]:
    """Those of the graph that was compiled for this CPU, which has the shapes and types of what it ran last."""
    profile.hear(run, waveform)
    products, nodes = [], run.model.get_runtime_model().get_ordered_ops()
    for node in nodes:
        kind, names = (node.get_rt_info()[key].astype(str) for key in ("layerType", "originalLayersNames"))
        factors = [_factor(port) for port in node.input_values()]
        if kind == "Convolution":
            out = node.get_output_shape(0)  # its weight may have its channels in two dimensions, by groups
            products.append(Product(_convolution(factors[1][0], out, out[1]), _are_int8(factors[:2])))
        elif kind in ("FullyConnected", "MatMul"):
            products.append(Product(_matmul(factors[0][0], node.get_output_shape(0)), _are_int8(factors[:2])))
        elif kind == "Subgraph" and "softmax" in names.lower():
            products += _fused_attention(factors, node.get_output_shape(0), frames=nodes[-1].get_input_shape(0)[1])
    return products


def _factor(port) -> tuple[Shape, str]:
    """The shape and the element type of an input."""
    return port.get_partial_shape().get_min_shape(), port.get_element_type().get_type_name()


def _are_int8(factors: Sequence[tuple[Shape, str]]) -> bool:
    return all(kind in OPENVINO_INT8 for _, kind in factors)


def _fused_attention(factors: Sequence[tuple[Shape, str]], out: Shape, frames: int) -> list[Product]:
    """Queries times keys, and their softmax times the values, in one operation: all have the size of `out`, a mask has not.

    [] where it isn't that. The softmax is quantized again where the values are in int8.
    """
    size = math.prod(out)
    operands = [factor for factor in factors if math.prod(factor[0]) == size]
    if len(operands) != 3:
        return []
    *scored, values = operands
    return [Product(size * frames, _are_int8(scored)), Product(size * frames, _are_int8([values]))]


def torch_products(model, waveform: np.ndarray) -> list[Product]:
    """Those that PyTorch's own counter finds, and those in int8, which it doesn't know."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    int8 = {
        torch.ops.quantized.linear_dynamic: lambda first, *_, out_shape: 2 * _matmul(first, out_shape),
        torch.ops.aten._int_mm: lambda first, *_, out_shape: 2 * _matmul(first, out_shape),  # torchao's
    }
    attention = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda *shapes, **_: sdpa_flop_count(*shapes[:3]),
    }
    with FlopCounterMode(display=False, custom_mapping=int8 | attention) as counter, torch.inference_mode():
        model(torch.from_numpy(waveform[None]).to(model.dtype))
    counted = counter.get_flop_counts()["Global"]  # two for a multiply-accumulate
    return [Product(flops / 2, operation in int8) for operation, flops in counted.items()]
