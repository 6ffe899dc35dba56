"""`int8qat-openvino`: int8 in the feature encoder too, with the ranges of its training (pipeline.distill.fake_int8).

NNCF quantizes the other operations as in int8-openvino. The feature encoder's convolutions, except the first, get exactly the
rounding of their training, as FakeQuantize operations that OpenVINO turns into int8 kernels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.common import shapes
from pipeline.common.errors import BigfootError
from pipeline.common.files import read_json
from pipeline.models.int8_ranges import LEVELS, RANGES, WEIGHT_STEPS, Range
from pipeline.quantize import convolutions, openvino
from pipeline.quantize.base import VNNI
from pipeline.quantize.calibration import Calibrated

if TYPE_CHECKING:
    from openvino import Model

    from pipeline.params import Student
    from pipeline.speech.corpus import Corpus


class OpenvinoInt8Trained(Calibrated):
    """For students with quantize_aware: true; the dev WER of their training includes this rounding.

    Lowers: every Linear, the products of queries and keys, and all convolutions of the feature encoder except the first, to
    int8
    Granularity: weights symmetric, 7 of 8 bits, one scale per output; activations one range per tensor, learned in the feature
    encoder and calibrated elsewhere
    Hardware: any CPU; faster with VNNI or AMX
    Limits: the model has to be trained for it; without VNNI int8 convolutions are slower than float32
    """

    runtime = "openvino"
    file = openvino.FILE
    packages = ("torch", "transformers", "onnx", "openvino", "nncf")
    features, otherwise = VNNI, "int8 gains less, or nothing"

    def obstacle(self, config: Mapping, student: "Student | None") -> str | None:
        if student is not None and student.quantize_aware:
            return None
        return "it is for students that are trained for it: set quantize_aware: true for the student, or use int8-openvino"

    def write(self, model_folder: Path, corpus: "Corpus | None", out: Path) -> dict:
        ranges = _ranges(model_folder)
        inputs = self.inputs(corpus, model_folder)
        model = openvino.quantized(openvino.convert(model_folder, out), inputs, types=convolutions.OPENVINO_TYPES)
        lowered = [_lower(model, name, ends) for name, ends in ranges.items()]
        _pack(model)
        openvino.save(model, out)
        return {"int8_convolutions": lowered}


def _ranges(model_folder: Path) -> dict[str, Range]:
    file = model_folder / RANGES
    if not file.is_file():
        raise BigfootError(
            f"{model_folder} was not trained for int8 convolutions ({RANGES} is missing): set quantize_aware: true for the "
            "student, or use int8-openvino"
        )
    ranges = read_json(file, None)
    if found := shapes.problem(ranges, dict[str, Range]) or (None if ranges else " has no ranges"):
        raise BigfootError(f"{file}{found}: train the student again")
    return ranges


def _lower(model: "Model", name: str, ends: Range) -> str:
    """Round the input and the weight of layer `name`'s convolution; returns the operation's name."""
    from openvino import opset13 as ops

    nodes = [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Convolution" and f"/{name}/" in f"{node.get_friendly_name()}/"
    ]
    if len(nodes) != 1:
        raise BigfootError(f"{RANGES} names {name}, but the graph has {len(nodes)} such convolutions: train the student again")
    (node,) = nodes
    low, high = np.float32(ends["low"]), np.float32(ends["high"])
    signal = node.input(0)
    signal.replace_source_output(ops.fake_quantize(signal.get_source_output(), low, high, low, high, LEVELS).output(0))
    weight = node.input(1)
    values = weight.get_source_output().get_node().get_data()
    most = np.maximum(convolutions.largest(values), 1e-8).astype(np.float32)
    # Twice the range of the weights, so that they use only half of int8's values.
    edge = most * np.float32(127 / WEIGHT_STEPS)
    weight.replace_source_output(ops.fake_quantize(weight.get_source_output(), -edge, edge, -edge, edge, LEVELS - 1).output(0))
    return node.get_friendly_name()


def _pack(model: "Model") -> None:
    """Store rounded weights as int8, as NNCF does with the weights that it quantizes."""
    from openvino._offline_transformations import compress_quantize_weights_transformation

    compress_quantize_weights_transformation(model)
