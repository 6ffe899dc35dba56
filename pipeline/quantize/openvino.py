"""`fp32-openvino`, `bf16-openvino`, `int8-openvino`, `int4w-openvino`: for OpenVINO (model.xml, model.bin).

int8 is NNCF's static post-training quantization for transformers, with ranges calibrated on training audio. All convolutions
are computed in float, at the cost of about a quarter of the speed-up: the activations of a group-norm feature encoder follow
the waveform's amplitude, a uniform grid erases its quiet sounds, and a trained model's word error rate went from 0.03 to 0.18.
Only their weights are in int8 (pipeline.quantize.convolutions). Weights of Linears use half of int8's range (NNCF's overflow
fix): CPUs with AVX2 or AVX-512 and without VNNI add two products in 16 bits, which overflows with the full range, and a tiny
model's logits moved by 20% of their spread instead of 3%.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.common.errors import BigfootError
from pipeline.common.files import read_json
from pipeline.quantize import convolutions, export, odd_kernels, onnx_nbits
from pipeline.quantize.base import BF16, VNNI, Scheme
from pipeline.quantize.calibration import Calibrated

if TYPE_CHECKING:
    from openvino import Model

    from pipeline.models import few_bits
    from pipeline.params import Student
    from pipeline.speech.corpus import Corpus

FILE = "model.xml"
LEAST_GROUP = 16  # weights that share a scale in int4
# The windows and products of a group-norm feature encoder (pipeline.models.forward); nodes inside layers have longer names.
FIRST_CONVOLUTION = "^/(Conv|MatMul(_[0-9]+)?)$"


class OpenvinoFp32(Scheme):
    """The float32 graph.

    Lowers: nothing
    Granularity: none
    Hardware: any CPU
    Limits: compiles convolutions for each new half second of length
    """

    runtime = "openvino"
    file = FILE
    packages = ("torch", "transformers", "onnx", "openvino")

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        save(convert(model_folder, out), out)


class OpenvinoBf16(Scheme):
    """The file holds float16, which has the size of bfloat16 and more bits; the CPU rounds it to bfloat16.

    Lowers: all weights, to float16 on disk; all computation, to bfloat16
    Granularity: none: each value by itself
    Hardware: CPUs with AVX512-BF16, AMX-BF16 or ARM's BF16
    Limits: other CPUs compute in float32 with the float16 weights: half the size, but not faster
    """

    runtime = "openvino"
    file = FILE
    precision = "bf16"
    packages = ("torch", "transformers", "onnx", "openvino")
    features, otherwise = BF16, "OpenVINO computes in float32"

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        save(convert(model_folder, out), out, half=True)


class OpenvinoInt8(Calibrated):
    """NNCF's static post-training quantization for transformers.

    Lowers: every Linear, and the products of queries and keys, to int8; the weights of convolutions, to int8 in the
    file alone
    Granularity: weights symmetric, one scale per output, those of Linears in 7 of 8 bits; activations one calibrated range per
    tensor
    Hardware: any CPU; faster with VNNI or AMX
    Limits: calibrates on training audio; audio unlike it may exceed the ranges
    """

    runtime = "openvino"
    file = FILE
    packages = ("torch", "transformers", "onnx", "openvino", "nncf")
    features, otherwise = VNNI, "int8 gains less, or nothing"

    def write(self, model_folder: Path, corpus: "Corpus | None", out: Path) -> None:
        inputs = self.inputs(corpus, model_folder)
        model = quantized(convert(model_folder, out), inputs, types=convolutions.OPENVINO_TYPES)
        save(convolutions.lower_openvino(model), out)


class OpenvinoInt4Weights(Scheme):
    """Saves size only: nothing is computed in int4. `kept_int8` in variant.json lists the operations that stay in int8.

    Lowers: the weights of every Linear except the head, to int4; the weights of head and convolutions, to int8; computation
    stays in float32
    Granularity: int4 asymmetric, one scale and zero point per `group_size` inputs of an output; int8 one per output channel
    Hardware: any CPU
    Limits: `group_size` has to divide hidden and feed-forward width; where it doesn't divide the feature projection's width,
    the projection uses a smaller group, down to 16, or int8. A student with few_bits gets the bits and blocks of its training,
    as in int4w-onnx, with the weights of convolutions in int8, and float32 elsewhere
    """

    runtime = "openvino"
    file = FILE
    packages = ("torch", "transformers", "onnx", "openvino", "nncf")

    group_size: int = Field(64, ge=LEAST_GROUP, le=4_096, description="has to divide the model's hidden and feed-forward width")

    def write(self, model_folder: Path, corpus, out: Path) -> dict:
        from pipeline.models import few_bits

        if rounding := few_bits.read(model_folder):
            save(convolutions.lower_openvino(_as_trained(model_folder, rounding, out)), out)
            return {"few_bits": rounding}
        import nncf

        if reason := self.obstacle(read_json(model_folder / "config.json", None), None):
            raise BigfootError(f"{model_folder.name}: {reason}")
        model = convert(model_folder, out)
        _hush()
        small = nncf.compress_weights(
            model,
            mode=nncf.CompressWeightsMode.INT4_ASYM,
            group_size=self.group_size,
            # The feature projection has the feature encoder's width; where the group size doesn't divide it, use a smaller one.
            advanced_parameters=nncf.AdvancedCompressionParameters(
                group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST, min_adjusted_group_size=LEAST_GROUP
            ),
        )
        save(small, out)
        return {"kept_int8": [name for name, kind in weight_types(small).items() if kind in ("i8", "u8")]}

    def obstacle(self, config: Mapping, student: "Student | None") -> str | None:
        if not config or (student is not None and student.few_bits):
            return None
        hidden, feed_forward = config["hidden_size"], config["intermediate_size"]
        common = math.gcd(hidden, feed_forward)
        if common % self.group_size == 0:
            return None
        divisors = [size for size in range(LEAST_GROUP, common + 1) if common % size == 0]
        instead = f"choose one of {', '.join(map(str, divisors))}" if divisors else "use int8-openvino"
        return (
            f"group_size {self.group_size} doesn't divide hidden and feed-forward width, {hidden} and {feed_forward}: {instead}"
        )


def _as_trained(model_folder: Path, rounding: "few_bits.Rounding", out: Path) -> "Model":
    """The graph of a student that was trained in few bits, converted from ONNX Runtime's, whose operator OpenVINO knows."""
    import onnx
    import openvino

    with export.float_graph(model_folder, out) as full:
        odd_kernels.lengthen(full)
        small = full.with_name("small.onnx")
        onnx.save(onnx_nbits.as_trained(full, rounding), small, save_as_external_data=export.is_large(full), location="weights")
        return openvino.convert_model(small)


def quantized(model: "Model", inputs: list[dict], names: Sequence[str] = (), types: Sequence[str] = ()) -> "Model":
    """The graph in static int8, except operations of these names and types and a group-norm encoder's first convolution."""
    import nncf

    _hush()
    return nncf.quantize(
        model,
        nncf.Dataset(inputs),
        subset_size=len(inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=nncf.IgnoredScope(names=list(names), types=list(types), patterns=[FIRST_CONVOLUTION], validate=False),
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
    )


def weight_types(model: "Model") -> dict[str, str]:
    """{operation: element type of its constant factor}, for all convolutions and products that have one."""
    types: dict[str, str] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() in ("MatMul", *convolutions.OPENVINO_TYPES):
            constants = [kind for value in node.input_values() if (kind := _constant(value.get_node()))]
            types |= {node.get_friendly_name(): constants[0]} if constants else {}
    return types


def _constant(node) -> str | None:
    """The element type of the constant that a weight is unpacked from; None where the node depends on an input."""
    if node.get_type_name() == "Constant":
        return node.get_element_type().get_type_name()
    if node.get_type_name() not in ("Convert", "Subtract", "Multiply", "Reshape", "Transpose", "FakeQuantize"):
        return None
    constants = [_constant(value.get_node()) for value in node.input_values()]
    return constants[0] if all(constants) else None


def _hush() -> None:
    """Show only errors of NNCF; nncf.set_log_level would change handlers that other code installed."""
    logging.getLogger("nncf").setLevel(logging.ERROR)


def convert(model_folder: Path, out: Path) -> "Model":
    """The float32 graph, converted from a temporary ONNX file, with odd kernels: who opens it may compute it in bfloat16."""
    import openvino

    with export.float_graph(model_folder, out) as graph:
        odd_kernels.lengthen(graph)
        return openvino.convert_model(graph)


def save(model: "Model", out: Path, half: bool = False) -> None:
    import openvino

    openvino.save_model(model, out / FILE, compress_to_fp16=half)
