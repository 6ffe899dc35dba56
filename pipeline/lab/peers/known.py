"""The peers: each makes a folder of a model with its own tools, and runs that folder.

    prepare(model folder, out)        writes what it needs, and nothing needless, into the empty folder `out`
    start(folder, threads) -> run     run(waveforms float32 [batch, samples], lengths) -> logits, as in recognition.runtimes

Decision: a peer is used as its makers advise for this kind of model, and not as Bigfoot would do it, with one exception:
normalizing the waveform and greedy decoding are the same code for all (pipeline.recognition.recognizer), so that texts differ
by logits alone. They run transformers' plain forward, in which padding is heard, so a batch is of equal lengths.

What can't run raises, and whatever it raises becomes the row's reason. Nothing is saved as a pickle, which shuts out
torch.save; torchao's weights go to safetensors.
"""

import json
import logging
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipeline.common import host
from pipeline.common.errors import BigfootError
from pipeline.models.description import describe
from pipeline.quantize.base import VNNI
from pipeline.quantize.schemes import make
from pipeline.recognition import runtimes, torch_model, torchao_model
from pipeline.recognition.recognizer import Recognizer
from pipeline.recognition.runtimes import Run

REFERENCE = "torch-fp32"
ABOUT = "peer.json"


class Peer:
    """One way to run a model; the docstring of each is what its row says about it."""

    packages: tuple[str, ...]  # what has to be installed, named as it is imported

    def prepare(self, model_folder: Path, out: Path) -> None:
        raise NotImplementedError

    def start(self, folder: Path, threads: int) -> Run:
        raise NotImplementedError


class TorchFp32(Peer):
    """PyTorch float32, eager, SDPA attention."""

    packages = ("torch",)

    def prepare(self, model_folder: Path, out: Path) -> None:
        make("fp32").write(model_folder, None, out)

    def start(self, folder: Path, threads: int) -> Run:
        return runtimes.start(folder, "torch", "model.safetensors", threads)


class TorchInt8(Peer):
    """torch.ao.quantization.quantize_dynamic of every Linear, eager."""

    packages = ("torch",)

    def prepare(self, model_folder: Path, out: Path) -> None:
        make("int8-torch").write(model_folder, None, out)

    def start(self, folder: Path, threads: int) -> Run:
        return runtimes.start(folder, "torch", torch_model.INT8_FILE, threads)


class TorchaoInt8(Peer):
    """torchao's quantize_ with Int8DynamicActivationInt8WeightConfig on every Linear, eager: without torch.compile."""

    packages = ("torch", "torchao")

    def prepare(self, model_folder: Path, out: Path) -> None:
        model = torch_model.load_float(model_folder)
        torchao_model.quantize_linears(model, reduce_range=not set(VNNI) & set(host.features()))
        torchao_model.save(model, out)
        shutil.copyfile(model_folder / "config.json", out / "config.json")

    def start(self, folder: Path, threads: int) -> Run:
        return runtimes.start(folder, "torch", torchao_model.FILE, threads)


class OrtOptimum(Peer):
    """ONNX Runtime, as Optimum's ORTQuantizer makes it by default for this CPU: dynamic int8 of every operator it can take,
    convolutions among them. Made by the calls that Optimum makes, since optimum-onnx 0.1.0 refuses transformers 5."""

    packages = ("torch", "onnx", "onnxruntime")
    file = "model_quantized.onnx"
    operators: list[str] | None = None

    def prepare(self, model_folder: Path, out: Path) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.registry import IntegerOpsRegistry

        _plain_onnx(model_folder, out / "fp32.onnx")
        vnni = "avx512_vnni" in host.features()
        logging.disable(logging.WARNING)  # it advises a pre-processing for image models
        try:
            quantize_dynamic(
                out / "fp32.onnx",
                out / self.file,
                op_types_to_quantize=self.operators or list(IntegerOpsRegistry),
                per_channel=True,
                weight_type=QuantType.QInt8 if vnni else QuantType.QUInt8,  # Optimum's avx512_vnni() and avx2()
                extra_options={"WeightSymmetric": True, "ActivationSymmetric": False, "MatMulConstBOnly": False},
            )
        finally:
            logging.disable(logging.NOTSET)
        (out / "fp32.onnx").unlink()

    def start(self, folder: Path, threads: int) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        session = onnxruntime.InferenceSession(folder / self.file, options, providers=["CPUExecutionProvider"])
        return lambda waveforms, lengths: session.run(["logits"], {"input_values": waveforms})[0]


class OrtOptimumMatMul(OrtOptimum):
    """The same with operators_to_quantize=["MatMul"], as is usual for speech models: convolutions stay in float."""

    operators = ["MatMul"]


class CTranslate2Int8(Peer):
    """CTranslate2, converted with quantization="int8": Linear layers and convolutions."""

    packages = ("torch", "ctranslate2")

    def prepare(self, model_folder: Path, out: Path) -> None:
        config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
        if config["feat_extract_norm"] != "layer":
            raise BigfootError("its Wav2Vec2 knows front ends with layer norm only, and this model's has group norm")
        if not config["do_stable_layer_norm"]:
            raise BigfootError("its Wav2Vec2 knows pre-norm layers only (do_stable_layer_norm), this model's are post-norm")
        positions = (config["num_conv_pos_embeddings"], config["num_conv_pos_embedding_groups"])
        if positions != (128, 16):
            raise BigfootError(
                "its Wav2Vec2 knows positional convolutions of 128 frames in 16 groups only, "
                f"this model's has {positions[0]} in {positions[1]}"
            )
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(str(model_folder)).convert(str(out), quantization="int8", force=True)

    def start(self, folder: Path, threads: int) -> Run:
        import ctranslate2

        model = ctranslate2.models.Wav2Vec2(
            str(folder), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
        )

        def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
            heard = ctranslate2.StorageView.from_array(np.ascontiguousarray(waveforms[:, None]))
            return np.array(model.encode(heard))

        return run


class OpenvinoFp32(Peer):
    """OpenVINO float32, of the plain ONNX graph, weights uncompressed."""

    packages = ("torch", "onnx", "openvino")
    precision = "f32"

    def prepare(self, model_folder: Path, out: Path) -> None:
        import openvino

        _plain_onnx(model_folder, out / "fp32.onnx")
        graph = openvino.Core().read_model(out / "fp32.onnx")  # convert_model would do the same, and send usage data
        openvino.save_model(graph, out / "model.xml", compress_to_fp16=False)
        (out / "fp32.onnx").unlink()

    def start(self, folder: Path, threads: int) -> Run:
        import openvino

        core = openvino.Core()
        if self.precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise BigfootError("this CPU has no bfloat16 (avx512_bf16, amx_bf16), OpenVINO would run in float32")
        settings = {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": self.precision, "INFERENCE_NUM_THREADS": threads,
        }  # fmt: skip
        request = core.compile_model(folder / "model.xml", "CPU", settings).create_infer_request()
        return lambda waveforms, lengths: request.infer({"input_values": waveforms})["logits"]


class OpenvinoBf16(OpenvinoFp32):
    """OpenVINO bfloat16: the same file, computed in bfloat16, which is what it chooses by itself on a CPU that has it."""

    precision = "bf16"


PEERS: dict[str, Peer] = {
    REFERENCE: TorchFp32(),
    "torch-int8": TorchInt8(),
    "torchao-int8": TorchaoInt8(),
    "ort-int8-optimum": OrtOptimum(),
    "ort-int8-optimum-matmul": OrtOptimumMatMul(),
    "ctranslate2-int8": CTranslate2Int8(),
    "openvino-fp32": OpenvinoFp32(),
    "openvino-bf16": OpenvinoBf16(),
}


def about(name: str) -> str:
    """What the row of a peer says about it, in one line."""
    return " ".join(type(PEERS[name]).__doc__.split())


def prepare(name: str, model_folder: Path, out: Path) -> None:
    """Make the folder that `load` opens; raises BigfootError where a package is missing, or what the peer's tools raise."""
    missing = [package for package in PEERS[name].packages if find_spec(package) is None]
    if missing:
        raise BigfootError(f"{missing[0]} is not installed: `make peers` installs it")
    out.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PEERS[name].prepare(model_folder, out)
    info = {"peer": name, "padding": "exact", **describe(model_folder)}
    (out / ABOUT).write_text(json.dumps(info, ensure_ascii=False), encoding="utf-8")


def load(folder: Path, threads: int) -> Recognizer:
    """A folder that `prepare` made, or a variant of Bigfoot's, opened."""
    if not (folder / ABOUT).is_file():
        return Recognizer.load(folder, threads)
    info = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return Recognizer(info, PEERS[info["peer"]].start(folder, threads))


def _plain_onnx(model_folder: Path, path: Path) -> None:
    """Wav2Vec2ForCTC as it is, float32, the way Optimum exports it: input_values [batch, samples] -> logits, opset 18."""
    import torch

    class Logits(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, input_values):
            return self.model(input_values).logits

    graph = Logits(torch_model.load_float(model_folder, attention="eager")).eval()
    with torch.inference_mode():
        torch.onnx.export(
            graph,
            (torch.zeros(2, 16_000),),
            str(path),
            dynamo=False,
            opset_version=18,
            input_names=["input_values"],
            output_names=["logits"],
            dynamic_axes={"input_values": {0: "batch", 1: "samples"}, "logits": {0: "batch", 1: "frames"}},
        )
