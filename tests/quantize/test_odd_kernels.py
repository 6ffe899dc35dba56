"""Odd kernels change no logits in float32, and are right in bfloat16 and int8 on every CPU."""

import numpy as np
import onnx
import openvino
import pytest

from pipeline.models import few_bits
from pipeline.quantize import odd_kernels
from pipeline.quantize.export import float_graph
from pipeline.quantize.run import quantize
from pipeline.recognition import torch_model
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


def test_the_graph_of_a_student_that_was_trained_in_few_bits_has_them_too(tmp_path):
    folder = tiny.save_model(tmp_path / "tiny", hidden=128, heads=4, channels=32, positions=(32, 16))
    linears = few_bits.linears(torch_model.load_float(folder))
    few_bits.save({"bits": dict.fromkeys(linears, 4), "block": 16}, folder)
    quantize("int4w-openvino", {}, folder, None, tmp_path / "small")
    graph = openvino.Core().read_model(tmp_path / "small" / "model.xml")
    grouped = [node for node in graph.get_ordered_ops() if node.get_type_name() == "GroupConvolution"]
    assert [node.input(1).get_shape()[-1] for node in grouped] == [33]
