"""`fp32-openvino`, `bf16-openvino`, `int8-openvino`, `int4w-openvino`: for OpenVINO (model.xml, model.bin).

int8 is NNCF's static post-training quantization for transformers, with ranges calibrated on training audio. All
convolutions stay in float: a group-norm front end follows the waveform's amplitude, a uniform grid wipes out its
quiet sounds, and a trained model's word error rate went from 0.03 to 0.18. The price is about a quarter of the
speed-up. Weights take half of int8's range (NNCF's overflow fix): CPUs with AVX2 or AVX-512 and without VNNI add two
products in 16 bits, which overflow otherwise, and a tiny model's logits moved by 20% of their spread instead of 3%.
"""

import contextlib
import json
import logging
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.common.errors import BigfootError
from pipeline.quantize import export
from pipeline.quantize.base import BF16, VNNI, Scheme
from pipeline.quantize.calibration import Calibrated

if TYPE_CHECKING:
    from openvino import Model

    from pipeline.speech.corpus import Corpus

FILE = "model.xml"
LEAST_GROUP = 16  # weights that share a scale in int4
FLOAT_OPERATIONS = ["Convolution", "GroupConvolution"]
# A group-norm front end's, see pipeline.models.forward: its windows and its products; what is in the layers has longer names.
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
    """The file holds float16, half the size too and with more bits than bfloat16: the CPU rounds it once more.

    Lowers: all weights, to float16 on disk; what is computed, to bfloat16
    Granularity: none: each value by itself
    Hardware: CPUs with AVX512-BF16, AMX-BF16 or ARM's BF16
    Limits: elsewhere OpenVINO computes in float32, with the float16 weights: half the size, no faster
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

    Lowers: every Linear, and the products of queries and keys, to int8; convolutions stay in float32
    Granularity: weights symmetric, 7 of 8 bits, one scale an output; activations one calibrated range a tensor
    Hardware: any CPU; faster with VNNI or AMX
    Limits: calibrates on training audio; what is unlike it may leave the ranges
    """

    runtime = "openvino"
    file = FILE
    packages = ("torch", "transformers", "onnx", "openvino", "nncf")
    features, otherwise = VNNI, "int8 gains less, or nothing"

    def write(self, model_folder: Path, corpus: "Corpus", out: Path) -> None:
        inputs = self.inputs(corpus, model_folder)
        save(quantized(convert(model_folder, out), inputs, types=FLOAT_OPERATIONS), out)


class OpenvinoInt4Weights(Scheme):
    """For size: nothing is computed in int4. What stayed in int8 is `kept_int8` in variant.json.

    Lowers: the weights of every Linear but the head, to int4, of head and convolutions, to int8; all is computed in
    float32
    Granularity: asymmetric, one scale and zero point for each `group_size` inputs of an output; int8 one an output
    channel
    Hardware: any CPU
    Limits: `group_size` divides hidden and feed-forward width; a feature projection whose width it doesn't divide
    takes a smaller group, down to 16, or int8
    """

    runtime = "openvino"
    file = FILE
    packages = ("torch", "transformers", "onnx", "openvino", "nncf")

    group_size: int = Field(64, ge=LEAST_GROUP, description="has to divide the model's hidden and feed-forward width")

    def write(self, model_folder: Path, corpus, out: Path) -> dict:
        import nncf

        self._check(model_folder)
        model = convert(model_folder, out)
        _hush()
        small = nncf.compress_weights(
            model,
            mode=nncf.CompressWeightsMode.INT4_ASYM,
            group_size=self.group_size,
            # The feature projection's width is the front end's: where the group doesn't divide it, a smaller one does.
            advanced_parameters=nncf.AdvancedCompressionParameters(
                group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST, min_adjusted_group_size=LEAST_GROUP
            ),
        )
        save(small, out)
        return {"kept_int8": [name for name, kind in weight_types(small).items() if kind in ("i8", "u8")]}

    def _check(self, model_folder: Path) -> None:
        config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
        hidden, feed_forward = config["hidden_size"], config["intermediate_size"]
        common = math.gcd(hidden, feed_forward)
        if common % self.group_size:
            fitting = [size for size in range(LEAST_GROUP, common + 1) if common % size == 0]
            raise BigfootError(
                f"schemes.int4w-openvino.group_size: {self.group_size} doesn't divide the hidden and feed-forward widths of "
                f"{model_folder.name}, {hidden} and {feed_forward}: "
                + (f"choose of {', '.join(map(str, fitting))}" if fitting else "take int8-openvino")
            )


def quantized(model: "Model", inputs: list[dict], names: Sequence[str] = (), types: Sequence[str] = ()) -> "Model":
    """The graph in static int8, but for operations of these names and types and a group-norm front end's first convolution."""
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
    """The element type of the constant that each convolution and product multiplies with; those of none are left out."""
    types = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() in ("MatMul", *FLOAT_OPERATIONS):
            found = [kind for value in node.input_values() if (kind := _constant(value.get_node()))]
            types |= {node.get_friendly_name(): found[0]} if found else {}
    return types


def _constant(node) -> str | None:
    """The element type of the constant that a weight is made of, by way of what unpacks it; None where anything varies."""
    if node.get_type_name() == "Constant":
        return node.get_element_type().get_type_name()
    if node.get_type_name() not in ("Convert", "Subtract", "Multiply", "Reshape", "Transpose", "FakeQuantize"):
        return None
    found = [_constant(value.get_node()) for value in node.input_values()]
    return found[0] if all(found) else None


def _hush() -> None:
    """Nothing but errors of NNCF's; nncf.set_log_level would change handlers that others put there."""
    logging.getLogger("nncf").setLevel(logging.ERROR)


@contextlib.contextmanager
def _unreported() -> Iterator[None]:
    """OpenVINO's converter sends usage data but in what calls itself a CI job, for which there is no other switch."""
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        os.environ.pop("CI")
        if before is not None:
            os.environ["CI"] = before


def convert(model_folder: Path, out: Path) -> "Model":
    """The float32 graph, by way of an ONNX file that doesn't stay."""
    import openvino

    graph = out / "fp32.onnx"
    export.to_onnx(model_folder, graph)
    with _unreported():
        model = openvino.convert_model(graph)
    graph.unlink()
    return model


def save(model: "Model", out: Path, half: bool = False) -> None:
    import openvino

    openvino.save_model(model, out / FILE, compress_to_fp16=half)
