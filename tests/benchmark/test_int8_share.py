"""The share of products in int8 is what the runtime executed: hand-counted graphs, and real variants against their shape."""

import json
from types import SimpleNamespace

import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

from pipeline.benchmark import int8_share
from pipeline.benchmark.int8_share import Product
from pipeline.models.operations import macs
from pipeline.quantize.run import quantize
from pipeline.recognition import torch_model, torchao_model
from pipeline.recognition.recognizer import Recognizer
from pipeline.recognition.runtimes import openvino_run, openvino_settings
from tests.tiny import TrainingAudio, save_model

CONVOLUTION = 8000 * 4 * 10  # [1, 1, 80000], a kernel of 10 with stride 10 and 4 channels -> [1, 4, 8000]
FIRST, SECOND = 800 * 40 * 20, 800 * 20 * 10  # [800, 40] x [40, 20] x [20, 10]
ALL = CONVOLUTION + FIRST + SECOND
WAVEFORM = np.random.default_rng(0).standard_normal(80_000).astype(np.float32)


@pytest.fixture
def graph(tmp_path):
    """waveform [batch, samples] -> a convolution and two matrix products -> logits, in float."""
    random = np.random.default_rng(1)
    shapes = {"kernel": (4, 1, 10), "A": (40, 20), "B": (20, 10)}
    weights = [numpy_helper.from_array(random.standard_normal(s).astype(np.float32), name) for name, s in shapes.items()]
    sizes = {"wide": [1, 1, -1], "tall": [1, -1, 40]}
    weights += [numpy_helper.from_array(np.array(size), name) for name, size in sizes.items()]
    nodes = [
        helper.make_node("Reshape", ["waveform", "wide"], ["signal"]),
        helper.make_node("Conv", ["signal", "kernel"], ["features"], "convolution", strides=[10]),
        helper.make_node("Reshape", ["features", "tall"], ["frames"]),
        helper.make_node("MatMul", ["frames", "A"], ["hidden"], "first"),
        helper.make_node("MatMul", ["hidden", "B"], ["logits"], "second"),
    ]
    return save(nodes, weights, tmp_path / "float.onnx")


def save(nodes, weights, file):
    waveform = helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [waveform], [logits], weights), opset_imports=opsets), file)
    return file


def static(graph, out, **settings):
    class Reader(CalibrationDataReader):
        inputs = iter([{"waveform": WAVEFORM[None]}])

        def get_next(self):
            return next(self.inputs, None)

    settings = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "reduce_range": True, **settings}
    quantize_static(graph, out, Reader(), **settings)
    return out


def onnx_share(file):
    return int8_share.of(int8_share.onnxruntime_products(file, 1, WAVEFORM), ALL)


# ---------------------------------------------------------------- hand-counted


@pytest.mark.parametrize(
    ("settings", "int8"),
    [
        ({"op_types_to_quantize": ["MatMul"]}, FIRST + SECOND),
        ({"nodes_to_quantize": ["second"]}, SECOND),
        ({"op_types_to_quantize": ["Conv"]}, CONVOLUTION),  # ConvInteger
    ],
)
def test_onnx_runtime_in_dynamic_int8(graph, tmp_path, settings, int8):
    assert onnx_share(graph) == 0
    quantize_dynamic(graph, tmp_path / "int8.onnx", weight_type=QuantType.QInt8, **settings)
    assert onnx_share(tmp_path / "int8.onnx") == pytest.approx(int8 / ALL)


def test_onnx_runtime_in_static_int8(graph, tmp_path):
    assert onnx_share(static(graph, tmp_path / "all.onnx")) == 1  # QLinearConv, QLinearMatMul
    assert onnx_share(static(graph, tmp_path / "first.onnx", nodes_to_quantize=["first"])) == pytest.approx(FIRST / ALL)


def test_channels_that_fill_no_block_of_16_are_counted_as_they_are(tmp_path):
    """ONNX Runtime fills them up with zeros where it lays convolutions out in blocks."""
    quantize("int8-onnx", {}, save_model(tmp_path / "model", channels=24), TrainingAudio(), tmp_path / "int8-onnx")
    products = int8_share.onnxruntime_products(tmp_path / "int8-onnx/model.onnx", 1, WAVEFORM)
    frames = (len(WAVEFORM) - 10) // 5 + 1
    assert Product(24 * 24 * 3 * ((frames - 3) // 2 + 1), False) in products


@pytest.mark.parametrize(("level", "is_int8"), [(1, False), (4, True)])
def test_weights_in_four_bits_multiply_in_int8_where_activations_are_rounded_too(tmp_path, level, is_int8):
    packed, scales = np.full((16, 1, 16), 0x99, dtype=np.uint8), np.ones(16, dtype=np.float32)
    weights = [numpy_helper.from_array(array, name) for name, array in {"W": packed, "s": scales}.items()]
    weights.append(numpy_helper.from_array(np.array([1, -1, 32]), "tall"))
    bits = {"K": 32, "N": 16, "bits": 4, "block_size": 32, "accuracy_level": level}
    nodes = [
        helper.make_node("Reshape", ["waveform", "tall"], ["frames"]),
        helper.make_node("MatMulNBits", ["frames", "W", "s"], ["logits"], "four", domain="com.microsoft", **bits),
    ]
    products = int8_share.onnxruntime_products(save(nodes, weights, tmp_path / "four.onnx"), 1, WAVEFORM)
    assert products == [Product(2500 * 32 * 16, is_int8)]


def test_openvino_shows_what_it_falls_back_to(graph, tmp_path):
    file = static(graph, tmp_path / "first.onnx", nodes_to_quantize=["first"])

    def share(path, **settings):
        compiled = openvino.Core().compile_model(path, "CPU", openvino_settings(1) | settings)
        return int8_share.of(int8_share.openvino_products(openvino_run(compiled), WAVEFORM), ALL)

    assert share(graph) == 0 and share(file) == pytest.approx(FIRST / ALL)
    assert share(file, LP_TRANSFORMS_MODE="NO") == 0  # the same file, as on a CPU where OpenVINO has no int8


class Torch(torch.nn.Module):
    dtype = torch.float32

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv1d(1, 4, 10, 10)
        self.first, self.second = torch.nn.Linear(40, 20), torch.nn.Linear(20, 10)

    def forward(self, waveform):
        return self.second(self.first(self.convolution(waveform[:, None]).reshape(1, -1, 40)))


def test_pytorch_dynamic_and_torchao():
    def share(model):
        return int8_share.of(int8_share.torch_products(model, WAVEFORM), ALL)

    assert share(Torch()) == 0
    assert share(torch_model.quantize_linears(Torch())) == pytest.approx((FIRST + SECOND) / ALL)
    model = Torch()
    torchao_model.quantize_linears(model.first, reduce_range=True)
    assert share(model) == pytest.approx(FIRST / ALL)


# ---------------------------------------------------------------- what can't be known


def test_where_products_are_missing_the_share_is_not_known():
    assert int8_share.of([Product(100, True)], 100) == 1 and int8_share.of([Product(98, True)], 100) is None


@pytest.mark.parametrize("runtime", ["ctranslate2", "sherpa_onnx"])
def test_a_runtime_that_tells_nothing_has_none(runtime, tmp_path):
    recognizer = SimpleNamespace(info={"runtime": runtime, "file": "model.onnx", "macs_per_second": 1e6})
    assert int8_share.share(recognizer, tmp_path, 1) is None


# ---------------------------------------------------------------- real variants


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """With layer norm: its graphs have no more products than its shape."""
    return save_model(tmp_path_factory.mktemp("models") / "teacher", "layer", hidden=64)


@pytest.mark.parametrize(
    ("scheme", "in_int8"),
    [
        ("fp32", {}),
        ("int8-torch", {"linears": 1}),
        ("int8-torchao", {"linears": 1}),
        ("fp32-onnx", {}),
        ("int8-onnx", {"linears": 1}),
        ("int8-onnx-static", {"linears": 1}),
        ("int8-openvino", {"linears": 1, "attention": 0.5}),  # queries and keys, not the weighted sums
        ("int4w-openvino", {}),
    ],
)
def test_a_variants_share_is_that_of_the_parts_that_its_scheme_lowers(scheme, in_int8, model, tmp_path):
    settings = {"group_size": 32} if scheme == "int4w-openvino" else {}
    quantize(scheme, settings, model, TrainingAudio(), tmp_path / scheme)
    share = int8_share.share(Recognizer.load(tmp_path / scheme, 1), tmp_path / scheme, 1)
    parts = macs(json.loads((model / "config.json").read_text()), 80_000)
    # OpenVINO's positional convolution has one zero more in its kernel (pipeline.quantize.odd_kernels).
    assert share == pytest.approx(sum(part * parts[name] for name, part in in_int8.items()) / sum(parts.values()), abs=4e-3)
