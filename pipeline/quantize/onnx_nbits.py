"""`int4w-onnx`: weights of Linears in few bits for ONNX Runtime (its operator MatMulNBits).

A student that was trained with this rounding (`few_bits`) gets exactly its training's Linears, here and in `int4w-openvino`.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from pipeline.common.errors import BigfootError
from pipeline.quantize import export
from pipeline.quantize.onnx import FILE, OnnxFp32, linears, lower_convolutions

if TYPE_CHECKING:
    import onnx

    from pipeline.models import few_bits

DOMAIN = "com.microsoft"
INT8_PRODUCTS = 4  # the operator's accuracy level at which activations are rounded to int8


class OnnxInt4Weights(OnnxFp32):
    """Weights alone: products are computed from int8 activations, a scale per block.

    Lowers: the weights of every Linear, to four bits or `bits`; those of convolutions, to int8 in the file alone
    Granularity: weights symmetric, one scale per output and block of inputs; int8 one per output channel
    Hardware: any CPU; faster with VNNI
    Limits: narrow models gain little, since a scale takes as much as a byte per eight weights; a student with few_bits gets
    the bits and blocks of its training, which variant.json has as `few_bits`
    """

    bits: Literal[2, 4, 8] = Field(4, description="bits per weight")
    block: Literal[16, 32, 64, 128] = Field(32, description="inputs that share a scale, of 4 bytes")

    def write(self, model_folder: Path, corpus, out: Path) -> dict:
        import onnx

        from pipeline.models import few_bits

        with export.float_graph(model_folder, out) as full:
            lower_convolutions(full)
            rounding = few_bits.read(model_folder)
            model = as_trained(full, rounding) if rounding else lowered(full, lambda _: self.bits, self.block)
            is_large = model.ByteSize() > export.LARGEST
            onnx.save(model, out / FILE, save_as_external_data=is_large, location=f"{FILE}.data" if is_large else None)
        return {"few_bits": rounding} if rounding else {}


def as_trained(full: Path, rounding: "few_bits.Rounding") -> "onnx.ModelProto":
    """`lowered` to the few bits of a student's training."""
    return lowered(full, lambda node: _bits_of(node, rounding["bits"]), rounding["block"])


def lowered(full: Path, bits_of: Callable[[str], int], block: int) -> "onnx.ModelProto":
    """A float32 graph, in a `temporary` file, with its Linears in few bits: `bits_of(name)` for the MatMul of that name."""
    import onnx

    names, model = set(linears(full)), onnx.load(full)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.name in names:
            _lower(node, weights[node.input[1]], model.graph, bits_of(node.name), block)
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    return model


def _bits_of(node: str, bits: dict[str, int]) -> int:
    """Those of the Linear that a MatMul comes from: `/layers.0/attention/q_proj/MatMul` is `encoder.layers.0.attention.q_proj`.

    Raises BigfootError where there is none.
    """
    path = re.sub(r"/MatMul(_\d+)?$", "", node).replace("/", ".")
    found = [width for name, width in bits.items() if f".{name}".endswith(path)]
    if len(found) != 1:
        raise BigfootError(f"the model was not trained for few bits in {node}: train the student again")
    return found[0]


def _lower(node: "onnx.NodeProto", weight: "onnx.TensorProto", graph: "onnx.GraphProto", bits: int, block: int) -> None:
    """Turn a MatMul with a constant weight [inputs, outputs] into a MatMulNBits with that weight in few bits."""
    from onnx import helper, numpy_helper

    values = numpy_helper.to_array(weight)
    levels, scales = packed(values.T, bits, block)
    names = [f"{node.name}.{part}" for part in ("packed", "scales")]
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in zip(names, (levels, scales), strict=True))
    node.op_type, node.domain, node.input[1] = "MatMulNBits", DOMAIN, names[0]
    node.input.append(names[1])
    sizes = {"K": values.shape[0], "N": values.shape[1], "bits": bits, "block_size": block, "accuracy_level": INT8_PRODUCTS}
    node.attribute.extend(helper.make_attribute(key, value) for key, value in sizes.items())


def packed(weight: np.ndarray, bits: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """A weight float32 [outputs, inputs] in few bits (`few_bits.fitted`), as MatMulNBits wants it.

    Returns levels, the first in the lowest bits of a byte, uint8 [outputs, blocks, bytes], and scales, float32
    [outputs * blocks].
    """
    import torch

    from pipeline.models import few_bits

    fitted, scales = few_bits.fitted(torch.tensor(weight), bits, block)
    levels = fitted.numpy().astype(np.uint8).reshape(*fitted.shape[:2], -1, 8 // bits)
    shifts = bits * np.arange(8 // bits, dtype=np.uint8)
    return np.bitwise_or.reduce(levels << shifts, axis=3).astype(np.uint8), scales.numpy().reshape(-1)
