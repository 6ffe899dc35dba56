"""`fp32-onnx`, `int8-onnx` (dynamic) and `int8-onnx-static`: for ONNX Runtime.

Only MatMuls with a constant weight, the Linear layers, are computed in int8. Convolutions are computed in float, with weights
stored in int8 (pipeline.quantize.convolutions): dynamic int8 would make them ConvInteger, which is nearly three times slower
than float, and static int8 would lose quiet sounds (see pipeline.quantize.openvino).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.quantize import convolutions, export, frame_blocks
from pipeline.quantize.base import VNNI, Scheme
from pipeline.quantize.calibration import Calibrated

if TYPE_CHECKING:
    from pipeline.speech.corpus import Corpus

FILE = "model.onnx"


class OnnxFp32(Scheme):
    """The float32 graph.

    Lowers: nothing
    Granularity: none
    Hardware: any CPU
    Limits: above 1.9 GB the weights are in a file of their own, model.onnx.data
    """

    runtime = "onnxruntime"
    file = FILE
    packages = ("torch", "transformers", "onnx", "onnxruntime")

    def write(self, model_folder: Path, corpus, out: Path) -> dict | None:
        import onnx

        with export.float_graph(model_folder, out) as full:
            with export.rewritten(full) as model:
                frame_blocks.join(model.graph)
            if export.is_large(full):
                onnx.save(onnx.load(full), out / FILE, save_as_external_data=True, location=f"{FILE}.data")
            else:
                full.rename(out / FILE)
        return None


class OnnxInt8(Scheme):
    """Dynamic: needs no calibration. Seven bits, for the same reason as the static form.

    Lowers: every Linear, to int8; the weights of convolutions, to int8 in the file alone
    Granularity: weights symmetric, one scale per output, those of Linears in 7 of 8 bits; activations uint8, one range per
    call, set at run time
    Hardware: any CPU; faster with VNNI
    Limits: the range is computed over a batch, so a batch moves logits within int8's error
    """

    runtime = "onnxruntime"
    file = FILE
    packages = ("torch", "transformers", "onnx", "onnxruntime")
    features, otherwise = VNNI, "int8 gains less, or nothing"

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        with export.float_graph(model_folder, out) as full:
            lower_convolutions(full)
            quantize_linears(full, out / FILE)


def lower_convolutions(full: Path) -> None:
    """Rewrite a float32 graph, in a `temporary` file: weights of convolutions in int8, narrow ones with joined frames."""
    with export.rewritten(full) as model:
        convolutions.lower_onnx(model.graph)
        frame_blocks.join(model.graph)


def quantize_linears(full: Path, out: Path) -> None:
    """Write a float32 graph, in a `temporary` file, with its Linears in dynamic int8."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with export.hushed():
        quantize_dynamic(
            full,
            out,
            use_external_data_format=export.is_large(full),
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
    _strip(out)


def _strip(file: Path) -> None:
    """Remove the shapes of all intermediate values, which the quantizer leaves in a graph: 3% of a small student's file."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    del model.graph.value_info[:]
    onnx.save(model, file)


class OnnxInt8Static(Calibrated):
    """Static: ranges are calibrated. Seven bits, because CPUs with AVX2 and without VNNI add two products of uint8 and int8 in
    16 bits. With eight bits the sum overflows (a tiny model's logits moved by 9% of their spread instead of 3%); with seven
    it can't.

    Lowers: every Linear, to int8; the weights of convolutions, to int8 in the file alone
    Granularity: weights symmetric, one scale per output, those of Linears in 7 of 8 bits; activations uint8, one calibrated
    range per tensor
    Hardware: any CPU; faster with VNNI
    Limits: calibrates on training audio; audio unlike it may exceed the ranges
    """

    runtime = "onnxruntime"
    file = FILE
    packages = ("torch", "transformers", "onnx", "onnxruntime")
    features, otherwise = VNNI, "int8 gains less, or nothing"

    def write(self, model_folder: Path, corpus: "Corpus | None", out: Path) -> None:
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        inputs = self.inputs(corpus, model_folder)
        with export.hushed(), export.float_graph(model_folder, out) as full:
            lower_convolutions(full)
            quantize_static(
                full,
                out / FILE,
                _reader(inputs),
                use_external_data_format=export.is_large(full),
                quant_format=QuantFormat.QDQ,
                nodes_to_quantize=linears(full),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # A product's output stays in float, because the bias, norm or softmax that reads it is in float.
                extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul"]},
            )
        _strip(out / FILE)


def linears(graph: Path) -> list[str]:
    """The names of the MatMuls whose weight is constant."""
    import onnx

    graph = onnx.load(graph, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    return [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] in constants]


def _reader(inputs: list[dict]):
    """Calibration inputs in onnxruntime's form: `get_next` returns one input after the other, then None."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.remaining = iter(inputs)

        def get_next(self):
            return next(self.remaining, None)

    return Reader()
