"""Half precision for GPUs: float32's logits but for rounding, in batches as alone; without a GPU one line says so.

The same passes run on the CPU here. With a GPU they run there too.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch

from pipeline.benchmark import weights
from pipeline.common.errors import BigfootError
from pipeline.quantize.run import quantize
from pipeline.quantize.schemes import SCHEMES
from pipeline.recognition import gpu, runtimes, torch_half, torch_model
from pipeline.recognition.recognizer import Recognizer
from tests.tiny import FAMILIES, save_model, speech

CLOSE = {"fp16-cuda": 0.02, "bf16-cuda": 0.1, "fp16-onnx-cuda": 0.02}  # of the logits' spread
AUDIOS = [speech(seconds, seed=n) for n, seconds in enumerate((1.0, 1.1, 1.2, 2.0, 2.3))]


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and gpu.name() is None:
        pytest.skip("this machine has no GPU; the same passes run on the CPU")
    return request.param


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(gpu, "name", lambda: None)


@pytest.fixture
def with_gpu(monkeypatch):
    monkeypatch.setattr(gpu, "name", lambda: "NVIDIA Imagined")


@pytest.mark.parametrize("norm", ["group", "narrow", "layer"])
@pytest.mark.parametrize("scheme", CLOSE)
def test_batches_of_similar_lengths_give_float32s_logits_and_texts_but_for_rounding(variants, device, norm, scheme):
    lowered, exact = Recognizer.load(variants[norm, scheme], device=device), Recognizer.load(variants[norm, "fp32"])
    passes = []
    lowered.before_pass = lambda: passes.append(1)
    together, expected = lowered.batch_logits(AUDIOS), [exact.logits(audio) for audio in AUDIOS]
    assert len(passes) == 2, "three similar lengths, and two"
    for logits, float32, audio in zip(together, expected, AUDIOS, strict=True):
        assert logits.dtype == np.float32 and logits.shape == float32.shape
        for other in (float32, lowered.logits(audio)):
            assert np.abs(logits - other).max() < CLOSE[scheme] * float32.std()
    heard, meant = (np.concatenate(each).argmax(1) for each in (together, expected))
    assert np.mean(heard == meant) > 0.95, "the tokens that texts are made of"
    assert max(float(np.abs(a - b).max()) for a, b in zip(together, expected, strict=True)) > 1e-4, "it is lower precision"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_can_be_lowered(tmp_path, family):
    model, audio = save_model(tmp_path / "model", family=family), speech(1.3)
    for scheme in ("fp32", *CLOSE):
        quantize(scheme, {}, model, None, tmp_path / scheme)
    expected = Recognizer.load(tmp_path / "fp32").logits(audio)
    for scheme, close in CLOSE.items():
        moved = np.abs(Recognizer.load(tmp_path / scheme, device="cpu").logits(audio) - expected).max()
        assert 0 < moved < close * expected.std(), scheme


@pytest.mark.parametrize("scheme", CLOSE)
def test_the_statistics_of_half_a_minute_do_not_overflow(variants, device, scheme):
    """A sum over 80,000 frames, above float16's 65,504."""
    audio = speech(25.0)
    expected = Recognizer.load(variants["group", "fp32"]).logits(audio)
    found = Recognizer.load(variants["group", scheme], device=device).logits(audio)
    assert np.abs(found - expected).max() < CLOSE[scheme] * expected.std()


@pytest.mark.parametrize("precision", torch_half.TYPES)
def test_half_of_the_weights_give_the_logits_of_all_their_bits_under_autocast(models, tmp_path, precision):
    exact = torch_model.load_float(models["layer"])
    batch = np.stack([speech(1.0), speech(1.0, seed=1)]), np.array([16_000, 12_000])
    expected = torch_half.padded(exact, precision)(*batch)
    torch_half.lower(exact, precision)
    torch_half.save(exact, tmp_path)
    (tmp_path / "config.json").write_bytes((models["layer"] / "config.json").read_bytes())
    stored = torch_half.load(tmp_path)
    np.testing.assert_array_equal(torch_half.padded(stored, precision)(*batch), expected)
    assert {str(tensor.dtype).removeprefix("torch.") for tensor in stored.state_dict().values()} == {
        "float32", torch_half.TYPES[precision]
    }  # fmt: skip


@pytest.mark.parametrize("scheme", CLOSE)
def test_a_variant_has_about_half_the_size(variants, scheme):
    half, full = (weights.size_mb(variants["layer", each], SCHEMES[each].file) for each in (scheme, "fp32-onnx"))
    assert 0.49 < half / full < 0.6


def test_the_graph_hears_and_answers_in_float32_and_keeps_the_statistics_there(variants):
    import onnx

    graph = onnx.load(variants["group", "fp16-onnx-cuda"] / "model_fp16.onnx").graph
    assert {value.type.tensor_type.elem_type for value in (graph.input[0], graph.output[0])} == {onnx.TensorProto.FLOAT}
    readers = {node.op_type for node in graph.node if "waveform" in node.input}
    assert "Unsqueeze" in readers, "the first convolution hears what was not rounded"
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    weights = [types[node.input[1]] for node in graph.node if node.op_type == "Conv" and "/conv_layers." in node.name]
    assert len(weights) == 6 and set(weights) == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize("scheme", CLOSE)
def test_without_a_gpu_it_is_one_line(variants, without_gpu, scheme):
    with pytest.raises(BigfootError) as refused:
        Recognizer.load(variants["group", scheme])
    folder = variants["group", scheme]
    assert str(refused.value) == (
        f"{folder} can't run here, no NVIDIA GPU on this machine: take a variant for the CPU, or a machine with a GPU"
    )


def test_an_onnxruntime_without_cuda_never_runs_it_on_the_cpu_in_silence(variants, with_gpu):
    import onnxruntime

    if gpu.PROVIDER in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    folder = variants["group", "fp16-onnx-cuda"]
    with pytest.raises(BigfootError, match="onnxruntime is installed without CUDA"):
        Recognizer.load(folder)
    with pytest.raises(BigfootError, match="it would run on the CPU"):
        runtimes.start(folder, "onnxruntime", "model_fp16.onnx", device="cuda")


def test_a_pytorch_without_cuda_is_one_line(variants, with_gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BigfootError, match="PyTorch is installed without CUDA, or can't use this machine's GPU"):
        Recognizer.load(variants["group", "fp16-cuda"])


def test_to_ask_about_an_onnx_variant_imports_no_pytorch():
    script = "import sys; from pipeline.recognition import gpu; gpu.LACKING['onnxruntime'](); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_variant_json_without_a_device_is_for_the_cpu(without_gpu):
    assert gpu.obstacle({"runtime": "torch"}) is None and gpu.obstacle({"runtime": "torch", "device": "cuda"})


@pytest.mark.parametrize(
    ("info", "is_so"),
    [
        ({}, True),
        ({"precision": "bf16"}, False),
        ({"file": "model.int8.safetensors"}, False),
        ({"runtime": "onnxruntime"}, False),
        ({"runtime": "onnxruntime", "device": "cuda"}, True),
        ({"file": torch_half.FILE, "device": "cuda"}, True),
    ],
)
def test_a_gpu_scores_its_own_variants_and_float32s_of_pytorch(monkeypatch, info, is_so):
    monkeypatch.setattr(gpu, "missing", lambda runtime: None)
    assert gpu.scores({"runtime": "torch", "file": "model.safetensors"} | info) is is_so
