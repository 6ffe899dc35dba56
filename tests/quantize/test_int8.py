"""A lower precision is where it should be (every Linear, attention included), float where it must be, close, and small."""

import itertools
import json
import shutil

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch.nn.utils import parametrize

from pipeline.benchmark import weights
from pipeline.common.errors import BigfootError
from pipeline.models import few_bits
from pipeline.models.folder import write_sums
from pipeline.quantize import convolutions
from pipeline.quantize.calibration import calibration
from pipeline.quantize.openvino import weight_types
from pipeline.quantize.run import quantize
from pipeline.quantize.schemes import SCHEMES
from pipeline.recognition import torch_model, torchao_model
from pipeline.recognition.recognizer import Recognizer
from tests.tiny import FAMILIES, TrainingAudio, save_model, speech

NORMS = ("group", "layer")
LOWERED = {  # scheme: the float one on the same runtime, how far logits may be from it in parts of their spread
    "bf16": ("fp32", 0.05),
    "bf16-openvino": ("fp32-openvino", 0.05),
    "int8-torch": ("fp32", 0.05),
    "int8-torchao": ("fp32", 0.05),
    "int8-onnx": ("fp32-onnx", 0.05),
    "int8-onnx-static": ("fp32-onnx", 0.05),
    "int8-openvino": ("fp32-openvino", 0.05),
    "int4w-openvino": ("fp32-openvino", 0.25),
    "int4w-onnx": ("fp32-onnx", 0.25),
}
LINEARS = 2 * 6 + 2  # two layers of q, k, v, out and two of feed-forward; the feature projection; the head


def size(folder) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize("norm", [*NORMS, "narrow"])
@pytest.mark.parametrize("scheme", LOWERED)
def test_a_lower_precision_stays_close_to_float(variants, norm, scheme):
    audio, (reference, tolerance) = speech(2.0), LOWERED[scheme]
    full = Recognizer.load(variants[norm, reference]).logits(audio)
    small = Recognizer.load(variants[norm, scheme]).logits(audio)

    assert not np.array_equal(small, full)
    assert np.sqrt(np.mean((small - full) ** 2)) < tolerance * full.std()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scheme", LOWERED)
def test_a_lower_precision_is_much_smaller_on_disk(variants, norm, scheme):
    assert size(variants[norm, scheme]) < 0.6 * size(variants[norm, LOWERED[scheme][0]])


@pytest.mark.parametrize("norm", [*NORMS, "narrow"])
def test_convolutions_that_were_trained_for_it_are_int8_but_for_the_first(variants, norm):
    types = weight_types(_graph(variants[norm, "int8qat-openvino"]))
    listed = json.loads((variants[norm, "int8qat-openvino"] / "variant.json").read_text())["int8_convolutions"]

    assert len(listed) == 6 and {types[name] for name in listed} == {"i8"}
    assert sum(kind == "i8" for kind in types.values()) == LINEARS + 6


@pytest.mark.parametrize("norm", NORMS)
def test_int4_weights_are_those_of_the_layers_and_what_stayed_int8_is_listed(variants, norm):
    types = weight_types(_graph(variants[norm, "int4w-openvino"]))
    kept = json.loads((variants[norm, "int4w-openvino"] / "variant.json").read_text())["kept_int8"]

    assert set(types.values()) == {"u4", "u8"}
    assert sorted(kept) == sorted(name for name, kind in types.items() if kind == "u8")
    assert sum(kind == "u4" for kind in types.values()) == LINEARS - 1 and "logits" in kept
    assert not [name for name in kept if name.startswith(("/layers.", "/feature_projection"))]


def test_a_group_that_does_not_divide_the_widths_is_refused_with_those_that_do(models, tmp_path):
    with pytest.raises(BigfootError, match="group_size 48 .*, 128 and 256: .* 16, 32, 64, 128"):
        quantize("int4w-openvino", {"group_size": 48}, models["group"], None, tmp_path / "out")


def test_a_feature_encoder_too_narrow_for_groups_leaves_its_projection_in_int8_as_listed(tmp_path):
    model = save_model(tmp_path / "narrow", "group", hidden=64, channels=12)
    info = quantize("int4w-openvino", {"group_size": 32}, model, None, tmp_path / "out")
    assert "/feature_projection/projection/MatMul" in info["kept_int8"]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_in_few_bits_are_those_that_a_student_trains_with(models, tmp_path, bits):
    """The graph's products with the unpacked weights are PyTorch's with `rounded` ones; the feature encoder has 20 channels."""
    import onnx

    model = save_model(tmp_path / "model", "group", channels=20)
    quantize("int4w-onnx", {"bits": bits, "block": 16}, model, None, tmp_path / "small")
    graph = onnx.load(tmp_path / "small" / "model.onnx").graph
    nodes = [node for node in graph.node if node.op_type == "MatMulNBits"]
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert len(nodes) == LINEARS and not any(node.op_type == "MatMul" and node.input[1] in arrays for node in graph.node)

    trained = torch_model.load_float(model)
    few_bits.attach(trained, {"bits": dict.fromkeys(few_bits.linears(trained), bits), "block": 16})
    weight = trained.wav2vec2.feature_projection.projection.weight
    node = next(node for node in nodes if "feature_projection" in node.name)
    levels = arrays[node.input[1]][..., None] >> bits * np.arange(8 // bits, dtype=np.uint8) & (2**bits - 1)
    scales = arrays[node.input[2]].reshape(len(weight), -1, 1)
    unpacked = ((levels.reshape(len(weight), -1, 16).astype(int) - 2 ** (bits - 1)) * scales).reshape(len(weight), -1)
    assert np.allclose(unpacked[:, : weight.shape[1]], few_bits.rounded(weight, bits, 16).detach(), atol=1e-6)
    assert not unpacked[:, weight.shape[1] :].any()

    reference = trained(torch.from_numpy(speech(2.0))[None]).logits.detach().numpy()[0]
    got = Recognizer.load(tmp_path / "small").logits(speech(2.0))
    assert np.sqrt(np.mean((got - reference) ** 2)) < 0.05 * reference.std()  # activations are int8 there


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_that_was_trained_in_few_bits_gets_its_own_in_both_runtimes(family, tmp_path):
    model = save_model(tmp_path / "model", "layer", family=family, hidden=64)
    trained = torch_model.load_float(model)
    _round_convolutions(trained)
    widths = itertools.cycle([2, 4, 8])
    rounding = {"bits": {name: next(widths) for name in few_bits.linears(trained)}, "block": 16}
    few_bits.save(rounding, model)
    few_bits.attach(trained, rounding)
    audio = (speech(2.0) - speech(2.0).mean()) / speech(2.0).std()  # as data2vec's processor makes it
    reference = trained(torch.from_numpy(audio)[None]).logits.detach().numpy()[0]
    sizes = {}
    for scheme, tolerance in (("int4w-onnx", 0.05), ("int4w-openvino", 1e-3)):  # activations are int8 in ONNX Runtime alone
        info = quantize(scheme, {}, model, None, tmp_path / scheme)
        assert info["few_bits"] == rounding
        got = Recognizer.load(tmp_path / scheme).logits(audio)
        assert np.sqrt(np.mean((got - reference) ** 2)) < tolerance * reference.std(), scheme
        sizes[scheme] = weights.size_mb(tmp_path / scheme, info["file"])
    full = weights.size_mb(model, "model.safetensors")
    assert sizes["int4w-onnx"] < 0.5 * full and sizes["int4w-openvino"] < 0.6 * full


def _round_convolutions(model):
    """As the schemes store them."""
    for module in [module for module in model.modules() if isinstance(module, torch.nn.Conv1d)]:
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")
        levels, scales = convolutions.rounded(module.weight.detach().numpy())
        module.weight.data.copy_(torch.tensor(levels * scales))


def test_few_bits_of_another_model_are_refused(tmp_path):
    model = save_model(tmp_path / "model")
    few_bits.save({"bits": {"lm_head": 4}, "block": 16}, model)
    with pytest.raises(BigfootError, match="train the student again"):
        quantize("int4w-onnx", {}, model, None, tmp_path / "out")
    (model / few_bits.FEW_BITS).write_text('{"bits": {"lm_head": "four"}, "block": 16}')
    with pytest.raises(BigfootError, match="few_bits.json is cut off or damaged"):
        quantize("int4w-onnx", {}, model, None, tmp_path / "other")
    write_sums(model)
    with pytest.raises(BigfootError, match=r"few_bits.json: bits.lm_head is a string"):
        quantize("int4w-onnx", {}, model, None, tmp_path / "other")


def test_torch_bf16_holds_and_computes_nothing_else(variants):
    import torch

    model = Recognizer.load(variants["group", "bf16"])._run.model
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.bfloat16}


def _graph(folder):
    import openvino

    return openvino.Core().read_model(folder / "model.xml")


def test_torch_runs_every_linear_layer_in_int8_attention_and_head_included(variants):
    from torch import nn
    from torch.ao.nn.quantized import dynamic
    from torch.profiler import profile

    recognizer = Recognizer.load(variants["group", "int8-torch"])
    model = recognizer._run.model
    attention = model.wav2vec2.encoder.layers[0].attention
    for module in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj, model.lm_head):
        assert type(module) is dynamic.Linear
    assert not any(type(module) is nn.Linear for module in model.modules())

    with profile() as trace:
        recognizer.logits(speech(1.0))
    calls = {event.key: event.count for event in trace.key_averages()}
    assert calls["quantized::linear_dynamic"] == LINEARS
    assert not {"aten::linear", "aten::addmm", "aten::dequantize"} & set(calls)


@pytest.mark.parametrize("norm", NORMS)
def test_torch_int8_on_disk_is_exactly_what_quantize_dynamic_made(models, variants, norm):
    import torch

    audio = speech(1.3)
    recognizer = Recognizer.load(variants[norm, "int8-torch"])
    made = torch_model.quantize_linears(torch_model.load_float(models[norm]))
    with torch.inference_mode():
        expected = made(torch.from_numpy(recognizer.waveform(audio))[None]).logits[0].numpy()

    np.testing.assert_array_equal(recognizer.logits(audio), expected)


@pytest.mark.parametrize("norm", NORMS)
def test_torchao_multiplies_every_linear_in_int8_and_reads_what_it_wrote_bit_for_bit(models, variants, norm):
    import torch
    from torch.profiler import profile

    audio, recognizer = speech(1.3), Recognizer.load(variants[norm, "int8-torchao"])
    with profile() as trace:
        computed = recognizer.logits(audio)
    calls = {event.key: event.count for event in trace.key_averages()}
    assert calls["aten::_int_mm"] == LINEARS and not {"aten::addmm", "aten::bmm", "aten::mm"} & set(calls)

    made = torch_model.load_float(models[norm])
    torchao_model.quantize_linears(made, reduce_range=True)
    with torch.inference_mode():
        expected = made(torch.from_numpy(recognizer.waveform(audio))[None]).logits[0].numpy()
    np.testing.assert_array_equal(computed, expected)


def test_torchao_weights_take_seven_bits_and_a_scale_per_output(variants):
    recognizer = Recognizer.load(variants["group", "int8-torchao"])
    weights = [weight for weight in recognizer._run.model.parameters() if type(weight).__name__ == "Int8Tensor"]
    assert len(weights) == LINEARS
    for weight in weights:
        assert 60 < weight.qdata.abs().max() <= 64 and weight.scale.shape == (weight.shape[0], 1)


def test_torchao_weights_are_written_with_the_same_bytes_each_time(models, variants, tmp_path):
    SCHEMES["int8-torchao"]().write(models["group"], None, tmp_path)
    assert (tmp_path / torchao_model.FILE).read_bytes() == (variants["group", "int8-torchao"] / torchao_model.FILE).read_bytes()


def test_torchao_weights_of_an_older_bigfoot_are_read(variants, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    folder = shutil.copytree(variants["group", "int8-torchao"], tmp_path / "older")
    with safe_open(folder / torchao_model.FILE, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    save_file(tensors, folder / torchao_model.FILE, metadata=json.loads(metadata[torchao_model.PACKED]))
    before, after = (torchao_model.load(path).state_dict() for path in (variants["group", "int8-torchao"], folder))
    assert before.keys() == after.keys() and str(before) == str(after)


def test_torchao_weights_of_another_model_are_refused(variants, tmp_path):
    folder = shutil.copytree(variants["group", "int8-torchao"], tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(BigfootError, match=r"model.torchao.safetensors and config.json disagree on wav2vec2"):
        torchao_model.load(folder)


def test_torch_int8_refuses_float_weights(models, variants, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(variants["group", "int8-torch"] / torch_model.INT8_FILE)
    tensors["lm_head.weight"] = tensors["lm_head.weight"].float()
    save_file(tensors, tmp_path / torch_model.INT8_FILE)
    (tmp_path / "config.json").write_bytes((models["group"] / "config.json").read_bytes())

    with pytest.raises(BigfootError, match="lm_head"):
        torch_model.load_int8(tmp_path)


@pytest.mark.parametrize("norm", NORMS)
def test_onnx_int8_takes_every_linear_layer_in_seven_bits_and_no_convolution(variants, norm):
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(variants[norm, "int8-onnx"] / "model.onnx").graph
    operations = [node.op_type for node in graph.node]
    constants = {tensor.name: tensor for tensor in graph.initializer}

    assert operations.count("MatMulInteger") == LINEARS
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            weight = to_array(constants[node.input[1]])
            assert weight.dtype == np.int8 and np.abs(weight.astype(int)).max() <= 64, "8 bits overflow without VNNI"
            scale = node.input[1].removesuffix("_quantized") + "_scale"
            assert to_array(constants[scale]).shape == (weight.shape[1],), "one scale an output"
    assert operations.count("Conv") == 8 and "ConvInteger" not in operations
    assert not [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] in constants]


@pytest.mark.parametrize("norm", NORMS)
def test_static_onnx_int8_takes_every_linear_layer_with_a_scale_per_column_and_no_convolution(variants, norm):
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(variants[norm, "int8-onnx-static"] / "model.onnx").graph
    made_by, constants = ({node.output[0]: node for node in graph.node}, {one.name: one for one in graph.initializer})

    def integers(tensor):
        """The int8 constant that a weight is dequantized from, and its scale; None for a float weight."""
        node = made_by.get(tensor)
        if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in constants:
            return None
        return [to_array(constants[name]) for name in node.input[:2]]

    linears = [found for node in graph.node if node.op_type == "MatMul" and (found := integers(node.input[1]))]
    assert len(linears) == LINEARS
    assert not [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] in constants]
    assert not [node.name for node in graph.node if node.op_type == "Conv" and integers(node.input[1])]
    for weight, scale in linears:
        assert weight.dtype == np.int8 and scale.shape == (weight.shape[1],)
        assert np.abs(weight.astype(int)).max() <= 64, "of 8 bits products overflow on CPUs without VNNI"


@pytest.mark.parametrize("norm", NORMS)
def test_static_onnx_int8_runs_every_linear_layer_in_integers(variants, norm, tmp_path):
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "run.onnx"), 3
    onnxruntime.InferenceSession(variants[norm, "int8-onnx-static"] / "model.onnx", options, ["CPUExecutionProvider"])
    operations = [node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node]
    assert operations.count("MatMulIntegerToFloat") == LINEARS


@pytest.mark.parametrize("norm", NORMS)
def test_openvino_int8_takes_every_linear_layer_and_computes_all_convolutions_in_float(variants, norm):
    model = _graph(variants[norm, "int8-openvino"])
    operations = model.get_ordered_ops()
    convolutions = [node for node in operations if node.get_type_name() in ("Convolution", "GroupConvolution")]
    int8_weights = [
        node
        for node in operations
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() in ("i8", "u8")
    ]

    assert len(convolutions) == 8
    for convolution in convolutions:
        assert convolution.input_value(0).get_node().get_type_name() != "FakeQuantize", convolution.get_friendly_name()
    assert len([node for node in int8_weights if len(node.shape) == 2 and min(node.shape) > 1]) == LINEARS


def test_calibration_uses_training_utterances_spread_evenly_and_normalized():
    corpus = TrainingAudio(count=9)
    info = {"conv_strides": [5], "conv_kernels": [10], "normalize": True, "sample_rate": 16_000}
    inputs = calibration(corpus, 3, info)

    assert corpus.used == [0, 4, 8]
    assert all(one["waveform"].shape == (1, 24_000) and one["lengths"] == [24_000] for one in inputs)
    assert all(abs(one["waveform"].std() - 1) < 1e-3 for one in inputs)


@pytest.mark.parametrize("corpus", [None, TrainingAudio(count=0)])
@pytest.mark.parametrize("scheme", ("int8-onnx-static", "int8-openvino", "int8ac-openvino"))
def test_calibration_without_training_audio_is_refused(models, scheme, corpus, tmp_path):
    with pytest.raises(BigfootError, match="calibrates on training audio"):
        quantize(scheme, {}, models["group"], corpus, tmp_path / "out")
