"""`fp32-onnx` and `int8-onnx`: for ONNX Runtime.

int8 is dynamic and takes the MatMuls with a constant weight alone, which are the Linear layers. Convolutions would
become ConvInteger, which is nearly three times slower than float.
"""

import logging
from pathlib import Path

from pipeline.schemes import export
from pipeline.schemes.base import Scheme

FILE = "model.onnx"


class OnnxFp32(Scheme):
    runtime = "onnxruntime"
    file = FILE
    packages = ("torch", "transformers", "onnx", "onnxruntime")

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        export.to_onnx(model_folder, out / FILE)


class OnnxInt8(Scheme):
    """Weights are symmetric int8, one scale a matrix; activations uint8, their range taken at run time."""

    runtime = "onnxruntime"
    file = FILE
    packages = ("torch", "transformers", "onnx", "onnxruntime")

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        full = out / "fp32.onnx"
        export.to_onnx(model_folder, full)
        logging.disable(logging.WARNING)  # it advises a pre-processing for image models
        try:
            quantize_dynamic(full, out / FILE, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
        finally:
            logging.disable(logging.NOTSET)
        full.unlink()
