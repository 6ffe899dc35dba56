"""Weights of convolutions are int8 in the file, close to what they were, and float32 again once a runtime has loaded them."""

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from onnx.numpy_helper import to_array

from pipeline.quantize import convolutions, export
from pipeline.quantize import openvino as openvino_schemes
from pipeline.quantize.openvino import weight_types
from tests.tiny import FAMILIES, save_model, speech

NORMS = ("group", "layer", "narrow")
ONNX = ("int8-onnx", "int8-onnx-static", "int4w-onnx")
CONVOLUTIONS = 8  # seven of the feature encoder, or six and the windows of a group norm's statistics; the positional one
WEIGHTS = arrays(np.float32, array_shapes(min_dims=3, max_dims=5), elements=st.floats(-1e3, 1e3, width=32))


@given(WEIGHTS, st.sampled_from([1, 2]))
def test_a_weight_moves_by_half_a_step_at_most(weight, outputs):
    levels, scales = convolutions.rounded(weight, outputs)
    assert levels.dtype == np.int8 and levels.shape == weight.shape
    assert scales.dtype == np.float32 and scales.shape == weight.shape[:outputs] + (1,) * (weight.ndim - outputs)
    assert np.all(np.abs(levels * scales - weight) <= scales * 0.5001 + 1e-30)
    assert np.all(levels[np.broadcast_to(scales, weight.shape) == 0] == 0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_logits_hardly_move(family, norm, tmp_path):
    model = save_model(tmp_path / "model", norm, family=family)
    inputs = {"waveform": speech(2.0)[None], "lengths": np.array([32_000])}
    with export.float_graph(model, tmp_path) as graph:
        before = _onnxruntime(graph).run(None, inputs)[0]
        with export.rewritten(graph) as float_model:
            convolutions.lower_onnx(float_model.graph)
        small = _onnxruntime(graph).run(None, inputs)[0]
    compiled = openvino.compile_model(convolutions.lower_openvino(openvino_schemes.convert(model, tmp_path)), "CPU")
    for after in (small, compiled(inputs)[0]):
        moved = np.sqrt(np.mean((after - before) ** 2)) / before.std()
        assert 0 < moved < 0.05, moved  # random weights; in a trained student 0.003


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scheme", ONNX)
def test_onnx_files_hold_int8_and_runs_multiply_nothing_out(variants, norm, scheme, tmp_path):
    file = variants[norm, scheme] / "model.onnx"
    graph = onnx.load(file).graph
    constants = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    assert len([node for node in graph.node if node.op_type == "Conv"]) == CONVOLUTIONS
    stored = [constants[node.input[0]] for node in graph.node if node.op_type == "Cast" and node.input[0] in constants]
    # A wide group-norm encoder's first weights are normalized for each waveform; its first convolution cuts windows.
    assert len(stored) == CONVOLUTIONS - (norm == "group") and {weight.dtype for weight in stored} == {np.dtype(np.int8)}
    assert not graph.value_info

    loaded = _loaded(file, tmp_path)
    kept = {tensor.name: to_array(tensor) for tensor in loaded.initializer}
    weights = [node.input[1] for node in loaded.node if node.op_type in ("Conv", "FusedConv")]
    assert len(weights) == CONVOLUTIONS and {kept[name].dtype for name in weights} == {np.dtype(np.float32)}


@pytest.mark.parametrize("norm", NORMS)
def test_onnx_runtime_computes_the_feature_encoder_in_blocks_of_channels(variants, norm, tmp_path):
    loaded = _loaded(variants[norm, "int8-onnx"] / "model.onnx", tmp_path)
    in_blocks = [node for node in loaded.node if node.op_type == "Conv" and node.domain == "com.microsoft.nchwc"]
    positional = 1
    assert len(in_blocks) - positional == (7 if norm == "layer" else 6)  # a group-norm encoder's first has one dimension
    between = [node for node in loaded.node if node.op_type in ("ReorderInput", "ReorderOutput")]
    # A layer norm needs the plain order; the waveform has it.
    assert len(between) - 2 * positional == (2 * 7 - 1 if norm == "layer" else 2)
    assert not [node for node in loaded.node if node.op_type == "Transpose" and "/conv_layers." in node.name]


@pytest.mark.parametrize("norm", NORMS)
def test_openvino_files_hold_int8_and_runs_multiply_nothing_out(variants, norm):
    file = variants[norm, "int8-openvino"] / "model.xml"
    types = weight_types(openvino.Core().read_model(file))
    assert [kind for name, kind in types.items() if "onv" in name] == CONVOLUTIONS * ["i8"]

    nodes = openvino.compile_model(file, "CPU").get_runtime_model().get_ordered_ops()
    found = [node for node in nodes if node.get_rt_info()["layerType"].astype(str) == "Convolution"]
    assert len(found) == CONVOLUTIONS
    for node in found:
        weight = node.input_value(1).get_node()
        assert weight.get_rt_info()["layerType"].astype(str) == "Const" and weight.get_element_type() == openvino.Type.f32


def _loaded(file, folder) -> onnx.GraphProto:
    """The graph that ONNX Runtime makes of a file."""
    _onnxruntime(file, folder / "loaded.onnx")
    return onnx.load(folder / "loaded.onnx").graph


def _onnxruntime(file, loaded=None) -> onnxruntime.InferenceSession:
    """The file, opened; the graph that ONNX Runtime makes of it is written to `loaded`."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if loaded:
        options.optimized_model_filepath = str(loaded)
    return onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
