"""The recognizer: light imports, exact windows, and correct handling of short, empty, damaged and wrong kinds of audio."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.quantize.run import quantize
from pipeline.recognition import recognizer as module
from pipeline.recognition import runtimes
from pipeline.recognition.recognizer import Recognizer
from tests.tiny import TrainingAudio, save_model, speech

HOP, FIELD = 320, 400
INFO = {
    "vocab": ["", " ", "a", "b"],
    "blank": 0,
    "normalize": False,
    "padding": "exact",
    "sample_rate": 16_000,
    "conv_kernels": [10, 3, 3, 3, 3, 2, 2],
    "conv_strides": [5, 2, 2, 2, 2, 2, 2],
}

LIGHT = ("fp32-onnx", "int8-onnx", "int8-onnx-static", "int8-openvino", "bf16-openvino")


def local_frames(waveforms: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """A model without attention: a frame's logits are the mean, maximum, minimum and first of its own 400 samples."""
    windows = np.lib.stride_tricks.sliding_window_view(waveforms, FIELD, axis=1)[:, ::HOP]
    return np.stack([windows.mean(-1), windows.max(-1), windows.min(-1), windows[..., 0]], axis=-1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny", "layer")


@pytest.fixture(scope="module")
def variants(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    made = {scheme: folder / f"tiny.{scheme}" for scheme in ("fp32", *LIGHT)}
    for scheme, out in made.items():
        quantize(scheme, {}, model, TrainingAudio(), out)
    return made


@pytest.mark.parametrize("seconds", [30.0, 30.02, 31.0, 52.0, 61.7, 95.013])
def test_windows_meet_exactly(seconds):
    audio = speech(seconds)

    np.testing.assert_array_equal(Recognizer(INFO, local_frames).logits(audio), local_frames(audio[None])[0])


def test_no_window_is_longer_than_half_a_minute():
    sizes = []

    def run(waveforms, lengths):
        sizes.append(waveforms.shape[1])
        return local_frames(waveforms)

    Recognizer(INFO, run).logits(speech(100.0))
    assert len(sizes) == 4 and max(sizes) <= 30 * 16_000 and min(sizes) > 20 * 16_000
    Recognizer(INFO, run).logits(speech(78.0))  # as many frames as three windows have at most; programs for phones take no more
    assert max(sizes) <= 30 * 16_000


def test_windows_give_nearly_the_logits_of_one_pass(variants, monkeypatch):
    recognizer = Recognizer.load(variants["fp32-onnx"])
    audio = speech(40.0)
    windows = recognizer.logits(audio)
    monkeypatch.setattr(module, "WINDOW_SECONDS", 60.0)
    whole = recognizer.logits(audio)

    assert windows.shape == whole.shape
    assert np.mean(windows.argmax(-1) == whole.argmax(-1)) > 0.95
    assert np.abs(windows - whole).mean() < 0.1 * whole.std()


@given(st.integers(min_value=1, max_value=2_000_000))
def test_the_number_of_frames_follows_from_the_convolutions(samples):
    expected = max(samples, FIELD)
    for kernel, stride in zip(INFO["conv_kernels"], INFO["conv_strides"], strict=True):
        expected = (expected - kernel) // stride + 1

    assert Recognizer(INFO, local_frames).frames(samples) == expected


@pytest.mark.parametrize("samples", [1, 2, 399, 400, 401])
def test_audio_shorter_than_a_frame_gives_one_frame(variants, samples):
    for folder in variants.values():
        logits = Recognizer.load(folder).logits(speech(1.0)[:samples])
        assert logits.shape == (1, 32) and np.isfinite(logits).all()


def test_empty_audio_gives_no_text():
    recognizer = Recognizer(INFO, local_frames)

    assert recognizer.logits(np.zeros(0, dtype=np.float32)).shape == (0, 4)
    assert recognizer.transcribe(np.zeros(0, dtype=np.float32)) == ""


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.array([0.1, np.nan], dtype=np.float32), "NaN"),
        (np.array([0.1, np.inf], dtype=np.float32), "infinite"),
        (np.zeros((2, 800), dtype=np.float32), "one channel"),
        (np.zeros(800, dtype=np.int16), "int16"),
    ],
)
def test_audio_of_the_wrong_kind_is_an_error(audio, message):
    with pytest.raises(BigfootError, match=message):
        Recognizer(INFO, local_frames).logits(audio)


def test_silence_does_not_divide_by_zero():
    logits = Recognizer(INFO | {"normalize": True}, local_frames).logits(np.zeros(1600, dtype=np.float32))

    assert np.array_equal(logits, np.zeros((4, 4)))


def test_the_waveform_is_normalized_as_the_feature_extractor_does(model, variants):
    from transformers import AutoProcessor

    audio = speech(1.0) * 0.01 + 0.2
    theirs = AutoProcessor.from_pretrained(model)(audio, sampling_rate=16_000).input_values[0]
    ours = Recognizer.load(variants["fp32-onnx"]).waveform(audio)

    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def in_blocks(audio: np.ndarray, size: int) -> tuple:
    """The arguments of `stream` for a recording."""
    exact = audio.astype(np.float64)
    return (audio[at : at + size] for at in range(0, audio.size, size)), audio.size, exact.mean(), exact.var()


@pytest.mark.parametrize("seconds", [0.0, 0.01, 29.9, 30.0, 30.02, 61.7, 95.013])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_stream_gives_the_logits_of_the_whole_recording(seconds, normalize):
    audio, recognizer = speech(seconds) + np.float32(0.1), Recognizer(INFO | {"normalize": normalize}, local_frames)
    parts = list(recognizer.stream(*in_blocks(audio, 70_001)))

    np.testing.assert_allclose(np.concatenate(parts), recognizer.logits(audio), atol=1e-5 if normalize else 0)


def test_a_stream_gives_the_text_of_the_whole_recording(variants):
    audio, recognizer = speech(70.0), Recognizer.load(variants["fp32-onnx"])
    parts = list(recognizer.stream(*in_blocks(audio, 160_000)))
    whole = recognizer.logits(audio)

    assert len(parts) == 3
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4 * whole.std())
    assert np.array_equal(np.concatenate(parts).argmax(-1), whole.argmax(-1))


def test_a_stream_of_damaged_audio_is_an_error():
    audio = np.full(640_000, np.nan, dtype=np.float32)
    with pytest.raises(BigfootError, match="NaN"):
        list(Recognizer(INFO, local_frames).stream([audio], audio.size, np.nan, np.nan))


@pytest.mark.parametrize(
    ("padding", "passes"), [("exact", [(1, 4800), (1, 6400), (2, 8000)]), ("mask", [(1, 4800), (3, 8000)])]
)
def test_a_batch_holds_lengths_that_are_near_each_other_and_keeps_the_order(padding, passes):
    """Equal lengths where padding changes logits, otherwise up to a quarter longer."""
    shapes = []

    def run(waveforms, lengths):
        shapes.append(waveforms.shape)
        return local_frames(waveforms)

    audios = [speech(0.5, 1), speech(0.3, 2), speech(0.5, 3), speech(0.4, 4), np.zeros(0, dtype=np.float32)]
    logits = Recognizer(INFO | {"padding": padding}, run).batch_logits(audios)

    assert shapes == passes
    for actual, audio in zip(logits[:4], audios, strict=False):
        np.testing.assert_array_equal(actual, local_frames(audio[None])[0])


def test_a_batch_is_limited_in_seconds():
    shapes = []

    def run(waveforms, lengths):
        shapes.append(waveforms.shape)
        return local_frames(waveforms)

    Recognizer(INFO, run).batch_logits([speech(20.0, seed) for seed in range(30)])
    assert shapes == [(12, 320_000), (12, 320_000), (6, 320_000)]


def test_text_is_the_greedy_path_without_repeats_and_blanks():
    path = [0, 2, 2, 0, 2, 1, 1, 3, 0]  # the frames of 0.2 s
    recognizer = Recognizer(INFO, lambda waveforms, lengths: np.eye(4, dtype=np.float32)[path][None])

    assert recognizer.transcribe(speech(0.2)) == "aa b"


@pytest.mark.parametrize("scheme", LIGHT)
def test_onnx_and_openvino_variants_import_no_heavy_package(variants, scheme):
    code = (
        "import sys, json, numpy as np; from pipeline.recognition.recognizer import Recognizer; "
        f"Recognizer.load({str(variants[scheme])!r}, threads=1).transcribe(np.ones(16000, dtype=np.float32)); "
        "heavy = {'torch', 'transformers', 'onnx', 'nncf', 'mlflow', 'scipy'} & set(sys.modules); "
        "print(json.dumps(sorted(heavy)))"
    )
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout

    assert json.loads(imported) == []


def test_threads_are_as_requested(variants):
    import torch

    assert Recognizer.load(variants["int8-onnx"], threads=1)._run.model.get_session_options().intra_op_num_threads == 1
    compiled = Recognizer.load(variants["int8-openvino"], threads=1)._run.model
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    before = torch.get_num_threads()
    try:
        Recognizer.load(variants["fp32"], threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_folder_that_is_not_a_variant_is_an_error(tmp_path):
    with pytest.raises(BigfootError, match="variant.json"):
        Recognizer.load(tmp_path)


def test_an_incomplete_variant_is_an_error(tmp_path):
    info = INFO | {"runtime": "onnxruntime", "file": "model.onnx"}
    (tmp_path / "variant.json").write_text(json.dumps(info))

    with pytest.raises(BigfootError, match="model.onnx is missing"):
        Recognizer.load(tmp_path)


@pytest.mark.parametrize(
    ("scheme", "device", "message"),
    [("int8-onnx", "cuda:0", "there is no device cuda:0: give cpu or cuda"), ("int8-onnx", "cuda", "runs on the CPU alone")],
)
def test_a_device_that_a_variant_doesnt_run_on_is_an_error(variants, scheme, device, message):
    with pytest.raises(BigfootError, match=message):
        Recognizer.load(variants[scheme], device=device)


def test_an_unknown_runtime_is_an_error_that_lists_the_known_ones(tmp_path):
    (tmp_path / "variant.json").write_text(json.dumps(INFO | {"runtime": "abacus", "file": "beads"}))

    with pytest.raises(BigfootError, match="abacus.*torch, onnxruntime, openvino"):
        Recognizer.load(tmp_path)


@pytest.mark.parametrize("threads", [-1, 0, 20_000])
def test_no_runtime_is_asked_for_no_threads_or_thousands(variants, threads):
    with pytest.raises(BigfootError, match=f"{threads} threads.*from 1 to 1024"):
        Recognizer.load(variants["int8-onnx"], threads)


@pytest.mark.parametrize("scheme", ["fp32", "fp32-onnx", "int8-openvino"])
def test_a_damaged_variant_is_one_line(variants, tmp_path, scheme):
    folder = tmp_path / scheme
    folder.mkdir()
    for file in variants[scheme].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    info = json.loads((folder / "variant.json").read_text())
    (folder / info["file"]).write_bytes(b"junk")
    old = {key: value for key, value in info.items() if key not in ("version", "sha256")}
    for files, problem in ((info["files"], "4 bytes"), ({}, info["file"])):
        (folder / "variant.json").write_text(json.dumps(old | {"files": files}))
        with pytest.raises(BigfootError, match=problem) as raised:
            Recognizer.load(folder)
        assert "\n" not in str(raised.value)
    (folder / "variant.json").write_text("{}")
    with pytest.raises(BigfootError, match=r"variant\.json has no file, runtime: "):
        Recognizer.load(folder)


def test_onnx_runtime_keeps_no_memory_per_length():
    assert runtimes.onnxruntime_options(onnxruntime.SessionOptions(), 1).enable_mem_pattern is False
