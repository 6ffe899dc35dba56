"""A variant that needs no PyTorch to be made: one convolution, so that a frame's logits are of its own samples."""

import json

import numpy as np
import pytest

from tests.tiny import TEXTS

FIELD, HOP = 400, 320
SHAPE = {"conv_kernels": [10, 3, 3, 3, 3, 2, 2], "conv_strides": [5, 2, 2, 2, 2, 2, 2]}


@pytest.fixture(scope="session")
def variant(tmp_path_factory):
    """Its folder: ONNX, with the waveform normalized."""
    weights = np.random.default_rng(0).standard_normal((len(TEXTS), 1, FIELD)).astype(np.float32) / 10
    return save_variant(tmp_path_factory.mktemp("variants"), weights, HOP, SHAPE)


def save_variant(parent, weights: np.ndarray, hop: int, shape: dict):
    """Its folder in `parent`, with the convolution `weights` [tokens, 1, field], which stands for the several of `shape`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "axis"], ["channel"]),
        helper.make_node("Conv", ["channel", "weights"], ["scores"], strides=[hop]),
        helper.make_node("Transpose", ["scores"], ["logits"], perm=[0, 2, 1]),
    ]
    inputs = [
        helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "frames", len(TEXTS)])]
    constants = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1]), "axis")]
    graph = helper.make_graph(nodes, "local", inputs, outputs, constants)
    folder = parent / "local.fp32-onnx"
    folder.mkdir()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx")
    info = {
        "variant": folder.name, "runtime": "onnxruntime", "file": "model.onnx", "vocab": TEXTS, "blank": 0,
        "normalize": True, "padding": "mask", "precision": "f32", "sample_rate": 16_000, **shape,
    }  # fmt: skip
    (folder / "variant.json").write_text(json.dumps(info))
    return folder
