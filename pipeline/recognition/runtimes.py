"""One function per runtime: open a variant folder's weights and return the function that turns waveforms into logits.

    run(waveforms float32 [batch, samples], lengths int64 [batch]) -> logits float32 [batch, frames or more, vocab]

ONNX and OpenVINO graphs ignore padding (pipeline.quantize.export), so lengths may differ. PyTorch and peers
(pipeline.quantize.peers) run transformers' own forward pass, or take no lengths, so there all lengths equal `samples`. ONNX
Runtime, OpenVINO, CTranslate2 and sherpa-onnx open in half a second, without PyTorch or transformers. All run on the CPU, and
PyTorch and ONNX Runtime on a GPU too (pipeline.recognition.gpu).
Operations outside int8 use the variant's `precision`: float32, or bfloat16 where the variant asks for it. OpenVINO's defaults
would choose bfloat16 where the CPU has it, and would quantize the inputs of int8 and int4 weights to int8 where the CPU has
VNNI; both are turned off. A CPU without bfloat16 still runs a bfloat16 variant: OpenVINO in float32, PyTorch in a slow
emulation.

OpenVINO compiles convolutions for every new length, which takes 10 to 30 ms, several times a small student's run time. So
lengths are rounded up to half a second: at most 60 shapes, each compiled once, for 5 to 10% more computation.
"""

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.recognition import gpu, seal

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Opened:
    """A `Run` with the runtime's own objects: the model (session, compiled model) and, of OpenVINO, its infer request."""

    run: Run
    model: Any
    request: Any = None

    def __call__(self, waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return self.run(waveforms, lengths)


OPENVINO_STEP = 8000  # samples
MOST_THREADS = 1_024  # a runtime starts them all when it opens a file, and many more take minutes
TOKENS = "tokens.txt"  # beside the graph that sherpa-onnx opens
SHERPA_FRAME = 0.02  # seconds that it takes for a frame, whatever the model's frames are
LEAST_HOP = 100  # samples; frames beyond a recording's are cut off
PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}  # OpenVINO's and variant.json's name: PyTorch's name


def start(
    folder: Path, runtime: str, file: str, threads: int | None = None, precision: str = "f32", device: str = "cpu"
) -> Run:
    """Open `file` in `folder` on `runtime` ('torch', 'onnxruntime', 'openvino' ...); `threads`: None lets it choose.

    `precision` ("f32", "bf16" or "f16") is that of the computation; ONNX Runtime uses its graph's. `device`: "cpu" or "cuda".
    PyTorch's number of threads belongs to the process, not to the model: the last value holds for all models.
    """
    openers = ON_GPU if device == gpu.CUDA else RUNTIMES
    if runtime not in openers:
        raise BigfootError(f"{folder}: unknown runtime '{runtime}' in variant.json, known: {', '.join(openers)}")
    if precision not in PRECISIONS:
        raise BigfootError(f"{folder}: unknown precision '{precision}' in variant.json, known: {', '.join(PRECISIONS)}")
    if threads is not None and not 0 < threads <= MOST_THREADS:
        raise BigfootError(f"{threads} threads can't be used: give a number from 1 to {MOST_THREADS}")
    if not (folder / file).is_file():
        raise BigfootError(f"{folder}: {file} is missing, the variant is incomplete: copy it again, or quantize again")
    try:
        return openers[runtime](folder, file, threads, precision)
    except BigfootError:
        raise
    except Exception as error:  # for a damaged file each runtime raises its own kind of error
        reason = " ".join(str(error).split())[:200]
        raise BigfootError(f"{folder}: {file} can't be opened, copy it again or quantize again ({reason})") from None


def openvino_settings(threads: int | None, precision: str = "f32") -> dict:
    """OpenVINO's settings, the same wherever a variant is opened."""
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision, "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    return settings | ({"INFERENCE_NUM_THREADS": threads} if threads else {})


def _torch(folder: Path, file: str, threads: int | None, precision: str) -> Run:
    import torch

    from pipeline.models import bf16
    from pipeline.recognition import torch_half, torch_model, torchao_model

    if threads:
        torch.set_num_threads(threads)
    if file == torch_half.FILE:  # of a variant for a GPU, which is scored here
        model = torch_half.load(folder)
        if precision == "bf16":
            bf16.mend(model)
        return Opened(torch_half.padded(model, precision), model)
    int8 = {torch_model.INT8_FILE: torch_model.load_int8, torchao_model.FILE: torchao_model.load}
    model = int8[file](folder) if file in int8 else torch_model.load_float(folder, dtype=PRECISIONS[precision])

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(waveforms).to(model.dtype)).logits.float().numpy()

    return Opened(run, model)


def _torch_on_gpu(folder: Path, file: str, threads: int | None, precision: str) -> Run:
    import torch

    from pipeline.recognition import torch_half, torch_model

    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # on by default, for convolutions: 10 bits instead of 23
    model = torch_half.load(folder) if file == torch_half.FILE else torch_model.load_float(folder)
    return Opened(torch_half.padded(model.to(gpu.DEVICE), precision), model)


def _onnxruntime(folder: Path, file: str, threads: int | None, precision: str) -> Run:
    import onnxruntime

    options = onnxruntime_options(onnxruntime.SessionOptions(), threads)
    return onnxruntime_run(onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"]))


def _onnxruntime_on_gpu(folder: Path, file: str, threads: int | None, precision: str) -> Run:
    """Where the provider can't be loaded, ONNX Runtime would run on the CPU and say so in a log alone."""
    import onnxruntime

    onnxruntime.preload_dlls()  # CUDA's libraries, which PyTorch's packages bring
    settings = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}  # by default each new length is tried exhaustively
    options = onnxruntime_options(onnxruntime.SessionOptions(), threads)
    session = onnxruntime.InferenceSession(folder / file, options, providers=[(gpu.PROVIDER, settings)])
    if gpu.PROVIDER not in session.get_providers():
        raise BigfootError(f"{folder}: onnxruntime can't load CUDA's libraries, so it would run on the CPU: {gpu.INSTALL}")
    return onnxruntime_run(session)


def onnxruntime_options(options, threads: int | None):
    """ONNX Runtime's SessionOptions with settings that are the same wherever a variant is opened."""
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads or 0, 1, 3
    options.enable_mem_pattern = False  # it keeps a plan and a block per length of audio: docs/speed.md, "Memory"
    return options


def onnxruntime_run(session) -> Opened:
    """The function of an open session."""
    takes_lengths = "lengths" in [each.name for each in session.get_inputs()]

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return session.run(["logits"], {"waveform": waveforms} | ({"lengths": lengths} if takes_lengths else {}))[0]

    return Opened(run, session)


def _openvino(folder: Path, file: str, threads: int | None, precision: str) -> Run:
    import openvino

    compiled = openvino.Core().compile_model(folder / file, "CPU", openvino_settings(threads, precision))
    return openvino_run(compiled)


def openvino_run(compiled) -> Opened:
    """The `run` function of a compiled model."""
    request = compiled.create_infer_request()
    takes_lengths = "lengths" in [port.any_name for port in compiled.inputs]
    if not takes_lengths:  # OpenVINO 2026.4 gives wrong logits for all audio after a first one of a single frame
        request.infer({"waveform": np.zeros((1, seal.SAMPLE_RATE), dtype=np.float32)})

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        if not takes_lengths:
            return request.infer({"waveform": waveforms})["logits"]
        waveforms = np.pad(waveforms, ((0, 0), (0, -waveforms.shape[1] % OPENVINO_STEP)))
        return request.infer({"waveform": waveforms, "lengths": lengths})["logits"]

    return Opened(run, compiled, request)


def _ctranslate2(folder: Path, file: str, threads: int | None, precision: str) -> Run:
    _require_peer(folder, "ctranslate2")
    import ctranslate2

    model = ctranslate2.models.Wav2Vec2(
        str(folder), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads or 0
    )

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return np.array(model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(waveforms[:, None]))))

    return run


def _sherpa_onnx(folder: Path, file: str, threads: int | None, precision: str) -> Run:
    """sherpa-onnx tells which token it heard in which frame, but no scores: that token's is 1, the others' are 0."""
    _require_peer(folder, "sherpa_onnx")
    import sherpa_onnx

    info = seal.read_info(folder)
    ids = {text: index for index, text in enumerate(info["vocab"]) if text}
    model = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(
        model=str(folder / file), tokens=str(folder / TOKENS), num_threads=threads or os.cpu_count() or 1
    )

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        streams = [model.create_stream() for _ in waveforms]
        for stream, waveform in zip(streams, waveforms, strict=True):
            stream.accept_waveform(info["sample_rate"], waveform)
        model.decode_streams(streams)
        scores = np.zeros((len(streams), waveforms.shape[1] // LEAST_HOP + 1, len(info["vocab"])), dtype=np.float32)
        scores[:, :, info["blank"]] = 0.5
        for row, stream in zip(scores, streams, strict=True):
            for token, second in zip(stream.result.tokens, stream.result.timestamps, strict=True):
                row[round(second / SHERPA_FRAME), ids[token]] = 1.0
        return scores

    return run


def _executorch(folder: Path, file: str, threads: int | None, precision: str) -> Run:
    """Its number of threads belongs to the process, as PyTorch's does. A program takes one recording, in whole frames."""
    _require_peer(folder, "executorch")
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its Python interface may change: the extra pins it
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

    if threads:
        portable_lib._unsafe_reset_threadpool(threads)
    method = Runtime.get().load_program(folder / file).load_method("forward")
    hop = math.prod(seal.read_info(folder)["conv_strides"])

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        samples = waveforms.shape[1]
        whole = np.pad(waveforms, ((0, 0), (0, max(2 * hop - samples, -samples % hop))))
        rows = zip(torch.from_numpy(whole), torch.from_numpy(lengths), strict=True)
        return np.concatenate([method.execute([row[None], length[None]])[0].numpy() for row, length in rows])

    return run


def _ai_edge_litert(folder: Path, file: str, threads: int | None, precision: str) -> Run:
    """A recording runs in the shortest signature that holds it."""
    _require_peer(folder, "ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / file), num_threads=threads or os.cpu_count())
    runners = [interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()]
    sizes = [int(runner.get_input_details()["audio"]["shape"][1]) for runner in runners]
    by_length = sorted(zip(sizes, runners, strict=True), key=lambda each: each[0])

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        fixed, runner = next(each for each in by_length if each[0] >= waveforms.shape[1])
        whole = np.pad(waveforms, ((0, 0), (0, fixed - waveforms.shape[1])))
        rows = zip(whole, lengths.astype(np.int32), strict=True)
        return np.concatenate([runner(audio=row[None], length=length[None])["output_0"] for row, length in rows])

    return run


def _require_peer(folder: Path, package: str) -> None:
    """Raise BigfootError where a peer's package is not installed."""
    if find_spec(package) is None:
        raise BigfootError(f"{folder}: {package}, which runs it, is not installed: `make peers` installs the extra `peers`")


RUNTIMES = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "ctranslate2": _ctranslate2,
    "sherpa_onnx": _sherpa_onnx,
    "executorch": _executorch,
    "ai_edge_litert": _ai_edge_litert,
}
ON_GPU = {"torch": _torch_on_gpu, "onnxruntime": _onnxruntime_on_gpu}
