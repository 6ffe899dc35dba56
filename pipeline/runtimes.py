"""One function a runtime: open a variant folder's weights and return the function that turns waveforms into logits.

    run(waveforms float32 [batch, samples], lengths int64 [batch]) -> logits float32 [batch, frames or more, vocab]

ONNX and OpenVINO graphs hear no padding (pipeline.schemes.export), so lengths may differ; PyTorch runs transformers'
own forward, which does, so there all lengths equal `samples`. ONNX Runtime and OpenVINO are opened without PyTorch or
transformers, in half a second. Everything runs on the CPU, and in float32 wherever it is not int8: OpenVINO would
choose bfloat16 by itself where the CPU has it, which is a third precision that nobody asked for.

OpenVINO compiles convolutions for every new length, at 10 to 30 ms each time, which is several times what a small
student needs to run. So it is given lengths rounded up to half a second: 60 shapes at most, each paid for once, for 5
to 10% more to compute.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.errors import BigfootError

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]

OPENVINO_STEP = 8000  # samples


def start(folder: Path, runtime: str, file: str, threads: int | None = None) -> Run:
    """Open `file` in `folder` on `runtime` ('torch', 'onnxruntime' or 'openvino'); `threads`: None lets it choose.

    PyTorch's number of threads belongs to the process, not to the model: the last one set holds for all of them.
    """
    runtimes = {"torch": _torch, "onnxruntime": _onnxruntime, "openvino": _openvino}
    if runtime not in runtimes:
        raise BigfootError(f"{folder}: unknown runtime '{runtime}' in variant.json, known: {', '.join(runtimes)}")
    if not (folder / file).is_file():
        raise BigfootError(f"{folder}: {file} is missing, the variant is incomplete: copy it again, or quantise anew")
    try:
        return runtimes[runtime](folder, file, threads)
    except BigfootError:
        raise
    except Exception as error:  # a damaged file makes each runtime raise a kind of its own
        reason = " ".join(str(error).split())[:200]
        raise BigfootError(f"{folder}: {file} can't be opened, copy it again or quantise anew ({reason})") from None


def _torch(folder: Path, file: str, threads: int | None) -> Run:
    import torch

    from pipeline import torch_model

    if threads:
        torch.set_num_threads(threads)
    model = torch_model.load_int8(folder) if file == torch_model.INT8_FILE else torch_model.load_float(folder)

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(waveforms)).logits.numpy()

    run.model = model
    return run


def _onnxruntime(folder: Path, file: str, threads: int | None) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return session.run(["logits"], {"waveform": waveforms, "lengths": lengths})[0]

    run.model = session
    return run


def _openvino(folder: Path, file: str, threads: int | None) -> Run:
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    compiled = openvino.Core().compile_model(folder / file, "CPU", settings)
    request = compiled.create_infer_request()

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        waveforms = np.pad(waveforms, ((0, 0), (0, -waveforms.shape[1] % OPENVINO_STEP)))
        return request.infer({"waveform": waveforms, "lengths": lengths})["logits"]

    run.model = compiled
    return run
