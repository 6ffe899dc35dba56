"""How the time of a forward pass divides between feature encoder and encoder, measured in a pass of its own.

Profiling slows a runtime down, so these figures are not part of the latencies, and are compared with each other only.
Of a graph, the feature encoder is what runs before the first node of the feature projection, which has its name from
transformers' model, and the encoder what runs after the last one, without the head. Names of other nodes tell little, since
fused ones have that of any of their parts. The figures are None where a runtime names no node.
"""

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.recognition.runtimes import Run, onnxruntime_options, onnxruntime_run, openvino_run, openvino_settings

BETWEEN, HEAD = "feature_projection", "lm_head"  # in transformers' module paths
Nodes = list[tuple[str, float]]  # names and seconds, in the order in which they ran


def parts(recognizer, folder: Path, threads: int, audios: list[np.ndarray]) -> dict:
    """{"cnn_ms": feature encoder, "encoder_ms": encoder}: milliseconds per utterance, as means over the utterances."""
    runtime = recognizer.info["runtime"]
    waveforms = [recognizer.waveform(audio) for audio in audios]
    if runtime == "torch":
        times = _torch(recognizer._run.model, waveforms)
    elif runtime == "onnxruntime":
        events = sorted(onnxruntime_nodes(folder / recognizer.info["file"], threads, waveforms), key=lambda event: event["ts"])
        nodes = [(event["name"], event["dur"] / 1e6) for event in events]
        size = len(nodes) // len(waveforms)  # a graph without branches runs the same nodes in every pass
        times = _by_order([nodes[begin : begin + size] for begin in range(0, len(nodes), size)])
    elif runtime == "openvino":
        times = _by_order(_openvino(recognizer.info, folder, threads, waveforms))
    else:
        times = {"cnn_ms": None, "encoder_ms": None}
    return {key: None if value is None else 1000 * value / len(audios) for key, value in times.items()}


def _by_order(passes: list[Nodes]) -> dict:
    """Seconds by place, over all passes."""
    feature_encoder = encoder = 0.0
    for nodes in passes:
        between = [place for place, (name, _) in enumerate(nodes) if BETWEEN in name]
        if not between:
            return {"cnn_ms": None, "encoder_ms": None}
        feature_encoder += sum(seconds for _, seconds in nodes[: between[0]])
        encoder += sum(seconds for name, seconds in nodes[between[-1] + 1 :] if HEAD not in name)
    return {"cnn_ms": feature_encoder, "encoder_ms": encoder}


def _torch(model, waveforms: list[np.ndarray]) -> dict:
    import torch

    spent = {"cnn_ms": 0.0, "encoder_ms": 0.0}
    hooks = []
    for key, module in (("cnn_ms", model.base_model.feature_extractor), ("encoder_ms", model.base_model.encoder)):
        began: list[float] = []
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


def hear(run: Run, waveform: np.ndarray) -> None:
    """One forward pass of one waveform [samples]."""
    run(waveform[None], np.array([waveform.size], dtype=np.int64))


def onnxruntime_nodes(file: Path, threads: int, waveforms: list[np.ndarray], is_as_written: bool = False) -> list[dict]:
    """The profile's event of every operation in a pass of each waveform.

    `is_as_written`: weights keep their shapes, which else are packed, or filled up with zeros to whole blocks of channels. The
    same operations are in int8.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime_options(onnxruntime.SessionOptions(), threads)
        if is_as_written:
            options.add_session_config_entry("session.disable_prepacking", "1")
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        for waveform in waveforms:  # once without the profiler, because the first pass allocates
            hear(onnxruntime_run(session), waveform)
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        for waveform in waveforms:
            hear(onnxruntime_run(session), waveform)
        events = json.loads(Path(session.end_profiling()).read_text())
    return [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]


def _openvino(info: dict, folder: Path, threads: int, waveforms: list[np.ndarray]) -> list[Nodes]:
    """The operations of a pass of each waveform, without what was computed when the model was loaded."""
    import openvino

    settings = openvino_settings(threads, info.get("precision", "f32")) | {"PERF_COUNT": True}
    run = openvino_run(openvino.Core().compile_model(folder / info["file"], "CPU", settings))
    passes: list[Nodes] = []
    for warm in (True, False):
        for waveform in waveforms:
            hear(run, waveform)
            if not warm:
                times = [(node.node_name, node.real_time.total_seconds()) for node in run.request.profiling_info]
                passes.append([(name, seconds) for name, seconds in times if seconds])
    return passes
