"""Odd kernels change no logits in float32, and are right in bfloat16 and int8 on every CPU."""

import numpy as np
import onnx
import pytest

from pipeline.quantize import odd_kernels
from pipeline.quantize.export import float_graph
from pipeline.quantize.run import quantize
from pipeline.recognition.recognizer import Recognizer
from pipeline.recognition.runtimes import start
from tests import tiny


@pytest.mark.parametrize(("hidden", "positions"), [(128, (32, 16)), (64, (16, 4)), (64, (15, 4))])
def test_kernels_become_odd_and_logits_stay(tmp_path, hidden, positions):
    folder = tiny.save_model(tmp_path / "tiny", hidden=hidden, heads=4, channels=32, positions=positions)
    waveforms = np.stack([tiny.speech(2.0), tiny.speech(2.0, seed=1)])
    lengths = np.array([32_000, 20_000])
    with float_graph(folder, tmp_path) as graph:
        before = start(graph.parent, "onnxruntime", graph.name, 1)(waveforms, lengths)
        odd_kernels.lengthen(graph)
        after = start(graph.parent, "onnxruntime", graph.name, 1)(waveforms, lengths)
        kernels = {tensor.dims[2] for tensor in onnx.load(graph).graph.initializer if len(tensor.dims) == 3}
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert positions[0] | 1 in kernels and not any(kernel % 4 == 0 for kernel in kernels if kernel > 10)


@pytest.mark.parametrize("scheme", ["bf16", "bf16-openvino"])
def test_a_narrow_model_in_bf16_is_near_float32(tmp_path, scheme):
    folder = tiny.save_model(tmp_path / "tiny", hidden=128, heads=4, channels=32, positions=(32, 16))
    logits = []
    for each in ("fp32-openvino", scheme):
        quantize(each, {}, folder, tiny.TrainingAudio(), tmp_path / f"tiny.{each}")
        logits.append(Recognizer.load(tmp_path / f"tiny.{each}", threads=1).logits(tiny.speech(2.0)))
    assert np.linalg.norm(logits[1] - logits[0]) < 0.05 * np.linalg.norm(logits[0] - logits[0].mean())
