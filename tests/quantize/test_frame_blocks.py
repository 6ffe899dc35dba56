"""Positional convolutions that are computed some frames at a time: the same sums, in the kernels that are fast."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pipeline.quantize import convolutions, export, frame_blocks
from tests.quantize.test_convolutions import NORMS, ONNX, _loaded, _onnxruntime


@pytest.mark.parametrize(
    ("inputs", "kernel", "frames"),
    [(8, 32, 2), (12, 32, 4), (4, 16, 4), (6, 32, 8), (2, 19, 8), (32, 128, 2), (8, 15, 1), (5, 32, 1), (48, 128, 1)],
)
def test_so_many_frames_are_joined_that_a_group_has_whole_blocks(inputs, kernel, frames):
    assert frame_blocks.frames_joined(inputs, kernel) == frames


@settings(deadline=None, max_examples=40)
@given(data=st.data())
@pytest.mark.parametrize("is_lowered", [False, True])
def test_the_sums_stay(tmp_path_factory, is_lowered, data):
    groups, inputs, outputs = data.draw(st.tuples(st.integers(2, 4), st.sampled_from([2, 4, 6, 8, 12]), st.integers(1, 5)))
    kernel, batch = data.draw(st.integers(16, 33)), data.draw(st.integers(1, 3))
    pads = data.draw(st.tuples(st.integers(0, kernel), st.integers(0, kernel)))
    frames = data.draw(st.integers(max(1, kernel - sum(pads)), 70))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    weight = rng.standard_normal((groups * outputs, inputs, kernel)).astype(np.float32)
    signal = rng.standard_normal((batch, groups * inputs, frames)).astype(np.float32)
    folder = tmp_path_factory.mktemp("graph")
    plain, joined = (_saved(folder / name, weight, groups, pads) for name in ("plain", "joined"))
    for file in (plain, joined) if is_lowered else ():
        with export.rewritten(file) as model:
            convolutions.lower_onnx(model.graph)
    with export.rewritten(joined) as model:
        frame_blocks.join(model.graph)
    assert len(onnx.load(joined).graph.node) > len(onnx.load(plain).graph.node)
    before, after = (_onnxruntime(file).run(None, {"x": signal})[0] for file in (plain, joined))
    assert after.shape == before.shape and np.abs(after - before).max() < 1e-4 * kernel


def _saved(folder, weight, groups, pads):
    """The path of a graph that is one convolution."""
    folder.mkdir()
    bias = np.linspace(-1, 1, len(weight), dtype=np.float32)
    written = {"group": groups, "kernel_shape": weight.shape[2:], "pads": pads, "strides": [1], "dilations": [1]}
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], "/conv", **written)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", groups * weight.shape[1], "frames"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")]
    graph = helper.make_graph([node], "one", [x], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "graph.onnx")
    return folder / "graph.onnx"


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scheme", ["fp32-onnx", *ONNX])
def test_onnx_runtime_computes_positions_in_blocks_of_channels(variants, norm, scheme, tmp_path):
    loaded = _loaded(variants[norm, scheme] / "model.onnx", tmp_path)
    (found,) = [node for node in loaded.node if any(each.name == "group" and each.i > 1 for each in node.attribute)]
    assert found.domain == "com.microsoft.nchwc"
    constants = {tensor.name for tensor in loaded.initializer}
    assert {*found.input[1:]} <= constants  # rearranged once, while the file is loaded
