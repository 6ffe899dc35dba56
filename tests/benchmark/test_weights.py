"""The weights in a folder are counted to the byte in each format, and the rest is all else in it."""

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from safetensors.numpy import save_file

from pipeline.benchmark import weights
from pipeline.benchmark.processes import size_mb
from pipeline.quantize.run import quantize
from tests.tiny import save_model

FLOATS, BYTES = np.ones((10, 10), dtype=np.float32), np.ones((7, 3), dtype=np.int8)  # 400 and 21 bytes


def graph(*tensors):
    output = helper.make_tensor_value_info("A", onnx.TensorProto.FLOAT, [10, 10])
    return helper.make_model(helper.make_graph([], "g", [], [output], tensors))


def test_safetensors_without_their_header(tmp_path):
    save_file({"a": FLOATS, "b": BYTES}, tmp_path / "model.int8.safetensors", {"format": "pt"})
    assert weights.size_mb(tmp_path, "model.int8.safetensors") == 421 / 1e6


def test_an_onnx_graphs_initializers_in_whatever_field_they_are(tmp_path):
    scale = helper.make_tensor("s", onnx.TensorProto.FLOAT, [5], [1.0] * 5)  # 20 bytes, not raw
    zeros = helper.make_tensor("z", onnx.TensorProto.INT8, [5], [0] * 5)  # 5 bytes
    model = graph(numpy_helper.from_array(FLOATS, "A"), numpy_helper.from_array(BYTES, "B"), scale, zeros)
    onnx.save(model, tmp_path / "model.onnx")
    assert weights.size_mb(tmp_path, "model.onnx") == 446 / 1e6
    onnx.save(model, tmp_path / "large.onnx", save_as_external_data=True, location="large.onnx.data", size_threshold=100)
    assert weights.size_mb(tmp_path, "large.onnx") == 446 / 1e6


def test_openvinos_constants_lie_in_a_file_of_their_own(tmp_path):
    (tmp_path / "model.xml").write_text("<net/>")
    (tmp_path / "model.bin").write_bytes(bytes(123))
    assert weights.size_mb(tmp_path, "model.xml") == 123 / 1e6


def test_a_format_that_mixes_them_is_not_told_apart(tmp_path):
    (tmp_path / "model.bin").write_bytes(bytes(123))  # CTranslate2's
    assert weights.size_mb(tmp_path, "model.bin") is None


@pytest.mark.parametrize("scheme", ["fp32", "fp32-onnx", "int8-onnx", "fp32-openvino", "int8-torch"])
def test_a_real_variants_weights_have_four_bytes_per_parameter_or_fewer(scheme, tmp_path):
    folder = tmp_path / f"teacher.{scheme}"
    quantize(scheme, {}, save_model(tmp_path / "teacher", hidden=64), None, folder)
    stored, whole = weights.size_mb(folder, json.loads((folder / "variant.json").read_text())["file"]), size_mb(folder)
    four_bytes = 4 * json.loads((folder / "variant.json").read_text())["params"] / 1e6
    assert 0 < whole - stored < 0.12, "graph and JSON are 100 kB at most"
    if scheme == "fp32":
        assert stored == pytest.approx(four_bytes, abs=1e-12)
    elif scheme.startswith("fp32"):  # some parameters serve training alone
        assert 0.95 * four_bytes < stored <= four_bytes
    else:
        assert stored < 0.5 * four_bytes
