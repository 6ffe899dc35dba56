"""`fp32-openvino` and `int8-openvino`: for OpenVINO, as its intermediate representation (model.xml, model.bin).

int8 is NNCF's static post-training quantisation for transformers, with ranges calibrated on training audio. All
convolutions stay in float: a group-norm front end follows the waveform's amplitude, a uniform grid wipes out its
quiet sounds, and a trained model's word error rate went from 0.03 to 0.18. The price is about a quarter of the
speed-up. Weights take half of int8's range (NNCF's overflow fix): CPUs with AVX2 or AVX-512 and without VNNI add two
products in 16 bits, which overflow otherwise, and a tiny model's logits moved by 20% of their spread instead of 3%.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.schemes import export
from pipeline.schemes.base import Scheme
from pipeline.schemes.calibration import Calibrated

if TYPE_CHECKING:
    from openvino import Model

    from pipeline.corpus.manifest import Corpus

FILE = "model.xml"
FLOAT_OPERATIONS = ["Convolution", "GroupConvolution"]
FIRST_CONVOLUTION = (
    "^/MatMul(_[0-9]+)?$"  # a group-norm front end's, see pipeline.unpadded; those of the layers have longer names
)


class OpenvinoFp32(Scheme):
    runtime = "openvino"
    file = FILE
    packages = ("torch", "transformers", "onnx", "openvino")

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        _save(_convert(model_folder, out), out)


class OpenvinoInt8(Calibrated):
    runtime = "openvino"
    file = FILE
    packages = ("torch", "transformers", "onnx", "openvino", "nncf")

    def write(self, model_folder: Path, corpus: "Corpus", out: Path) -> None:
        inputs = self.inputs(corpus, model_folder)
        model = _convert(model_folder, out)

        import nncf

        logging.getLogger("nncf").setLevel(logging.ERROR)  # nncf.set_log_level would change handlers that others put there
        quantised = nncf.quantize(
            model,
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=nncf.IgnoredScope(types=FLOAT_OPERATIONS, patterns=[FIRST_CONVOLUTION], validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
        )
        _save(quantised, out)


def _convert(model_folder: Path, out: Path) -> "Model":
    """The float32 graph, by way of an ONNX file that doesn't stay."""
    import openvino

    graph = out / "fp32.onnx"
    export.to_onnx(model_folder, graph)
    model = openvino.convert_model(graph)
    graph.unlink()
    return model


def _save(model: "Model", out: Path) -> None:
    import openvino

    openvino.save_model(model, out / FILE, compress_to_fp16=False)
