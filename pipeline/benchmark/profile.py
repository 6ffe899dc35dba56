"""Where the time of a forward pass goes: the CNN front end against the encoder, in a pass of its own.

Profiling slows a runtime down, so these figures are not part of the latencies, and are compared with each other only.
Nodes are told apart by their names, which come from the module paths of transformers' model. None where a runtime gives no
names, or where fused nodes leave less than half of the time with a known place.
"""

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.recognition.runtimes import Run, onnxruntime_run, openvino_run, openvino_settings

FRONT_END, ENCODER = "feature_extractor", "encoder"
LEAST_KNOWN = 0.5


def parts(recognizer, folder: Path, threads: int, audios: list[np.ndarray]) -> dict:
    """{"cnn_ms": ..., "encoder_ms": ...}: means over the utterances."""
    runtime = recognizer.info["runtime"]
    waveforms = [recognizer.waveform(audio) for audio in audios]
    if runtime == "torch":
        times = _torch(recognizer._run.model, waveforms)
    elif runtime == "onnxruntime":
        times = _by_name(_onnxruntime(folder / recognizer.info["file"], threads, waveforms))
    elif runtime == "openvino":
        times = _by_name(_openvino(recognizer.info, folder, threads, waveforms))
    else:
        times = {"cnn_ms": None, "encoder_ms": None}
    return {key: None if value is None else 1000 * value / len(audios) for key, value in times.items()}


def _by_name(nodes: list[tuple[str, float]]) -> dict:
    """Seconds by place, from (node name, seconds)."""
    front = sum(seconds for name, seconds in nodes if FRONT_END in name)
    encoder = sum(seconds for name, seconds in nodes if ENCODER in name and FRONT_END not in name)
    if front + encoder < LEAST_KNOWN * sum(seconds for _, seconds in nodes) or not front or not encoder:
        return {"cnn_ms": None, "encoder_ms": None}
    return {"cnn_ms": front, "encoder_ms": encoder}


def _torch(model, waveforms: list[np.ndarray]) -> dict:
    import torch

    spent = {"cnn_ms": 0.0, "encoder_ms": 0.0}
    hooks = []
    for key, module in (("cnn_ms", model.wav2vec2.feature_extractor), ("encoder_ms", model.wav2vec2.encoder)):
        began = []
        hooks.append(module.register_forward_pre_hook(lambda *_, began=began: began.append(time.perf_counter())))

        def ended(*_, key=key, began=began):
            spent[key] += time.perf_counter() - began.pop()

        hooks.append(module.register_forward_hook(ended))
    with torch.inference_mode():
        for waveform in waveforms:
            model(torch.from_numpy(waveform[None]).to(model.dtype))
    for hook in hooks:
        hook.remove()
    return spent


def _pass(run: Run, waveform: np.ndarray) -> None:
    run(waveform[None], np.array([waveform.size], dtype=np.int64))


def _onnxruntime(file: Path, threads: int, waveforms: list[np.ndarray]) -> list[tuple[str, float]]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        for waveform in waveforms:  # once without the profiler, as the first pass allocates
            _pass(onnxruntime_run(session), waveform)
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        for waveform in waveforms:
            _pass(onnxruntime_run(session), waveform)
        events = json.loads(Path(session.end_profiling()).read_text())
    return [
        (event["name"], event["dur"] / 1e6)
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]


def _openvino(info: dict, folder: Path, threads: int, waveforms: list[np.ndarray]) -> list[tuple[str, float]]:
    import openvino

    settings = openvino_settings(threads, info.get("precision", "f32")) | {"PERF_COUNT": True}
    run = openvino_run(openvino.Core().compile_model(folder / info["file"], "CPU", settings))
    nodes: list[tuple[str, float]] = []
    for warm in (True, False):
        for waveform in waveforms:
            _pass(run, waveform)
            if not warm:
                nodes += [(info.node_name, info.real_time.total_seconds()) for info in run.request.profiling_info]
    return nodes
