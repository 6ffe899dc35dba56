"""example.py of a variant folder gives the Recognizer's text, with the runtime's packages alone."""

import itertools
import subprocess
import sys
import venv
from pathlib import Path

import jiwer
import pytest
import soundfile
import torch

from pipeline.compare.report import cards
from pipeline.models.folder import load_model
from pipeline.models.folder import save_model as save_again
from pipeline.quantize.run import quantize
from pipeline.recognition.recognizer import Recognizer
from tests.tiny import save_model, speech

ROOT = Path(__file__).parents[2]
# CER: in an untrained model many labels are nearly equal, and int8 rounds a difference in the last bit up to a step.
ROUNDED = 0.1


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    file = tmp_path_factory.mktemp("sound") / "a.wav"
    soundfile.write(file, speech(2.0, seed=3), 16_000, subtype="FLOAT")
    return file


def run_example(python: str | Path, variant: Path, file: Path) -> subprocess.CompletedProcess:
    """Outside this project, so that nothing of it can be imported."""
    command = [str(python), "-I", str(variant / "example.py"), str(file)]
    return subprocess.run(command, capture_output=True, text=True, cwd=file.parent)


@pytest.mark.parametrize("scheme", ["fp32", "int8-onnx", "int8-openvino"])
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_an_example_gives_the_recognizers_text(variants, sound, norm, scheme):
    if norm == "layer" and scheme == "fp32":
        pytest.skip("the same program as for the other norm, and PyTorch takes long to import")
    folder = variants[norm, scheme]
    done = run_example(sys.executable, folder, sound)
    expected = Recognizer.load(folder).transcribe(soundfile.read(sound, dtype="float32")[0])
    assert done.returncode == 0, done.stderr
    assert len(expected) > 5
    assert jiwer.cer(expected, done.stdout.strip()) <= (0.0 if scheme == "fp32" else ROUNDED)


def test_an_example_in_bfloat16_ignores_that_some_cpus_get_narrow_convolutions_wrong(sound, tmp_path):
    """The positional convolution has 8 inputs per group, as a student with hidden: 128 has (see test_bf16)."""
    model = save_model(tmp_path / "model", hidden=128, positions=(32, 16))
    quantize("bf16", {}, model, None, tmp_path / "model.bf16")
    done = run_example(sys.executable, tmp_path / "model.bf16", sound)
    expected = Recognizer.load(tmp_path / "model.bf16").transcribe(soundfile.read(sound, dtype="float32")[0])
    assert len(expected) > 5 and jiwer.cer(expected, done.stdout.strip()) <= ROUNDED, done.stderr


@pytest.fixture(scope="module")
def stammering(tmp_path_factory):
    """A model with the blank in every other frame or so, thus often between two frames of the same letter."""
    folder = save_model(tmp_path_factory.mktemp("stammering") / "model")
    model, processor = load_model(folder)
    with torch.inference_mode():
        logits = model(torch.from_numpy(speech(3.0))[None]).logits[0]
        blank = model.config.pad_token_id
        model.lm_head.bias[blank] += (logits.max(-1).values - logits[:, blank]).median()
    save_again(model, processor, folder)
    return folder


@pytest.mark.parametrize("scheme", ["fp32", "bf16"])
def test_the_cards_program_writes_the_variants_text(stammering, tmp_path, scheme):
    quantize(scheme, {}, stammering, None, tmp_path / f"model.{scheme}")
    recognizer = Recognizer.load(tmp_path / f"model.{scheme}")
    spoken = [token for token, _ in itertools.groupby(recognizer.logits(speech(3.0)).argmax(-1))]
    assert any(a == c and b == 0 for a, b, c in zip(spoken, spoken[1:], spoken[2:], strict=False))
    soundfile.write(tmp_path / "speech.wav", speech(3.0), 16_000, subtype="FLOAT")
    program = cards.RUN_MODEL.removeprefix("```python").removesuffix("```").replace('"."', f'"model.{scheme}"')
    done = subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    expected = recognizer.transcribe(speech(3.0))
    assert jiwer.cer(expected, " ".join(done.stdout.split())) <= (0.0 if scheme == "fp32" else ROUNDED), done.stderr


def test_another_rate_is_one_line(variants, sound):
    other = sound.with_name("b.wav")
    soundfile.write(other, speech(1.0), 8_000)
    done = run_example(sys.executable, variants["group", "int8-onnx"], other)
    assert (done.returncode, done.stderr) == (1, "needs one channel at 16000 Hz, not 1 at 8000 Hz\n")


@pytest.mark.parametrize("scheme", ["int8-onnx", "int8-openvino"])
def test_audio_that_is_shorter_than_a_frame_is_one(variants, sound, scheme):
    short = sound.with_name("c.wav")
    soundfile.write(short, speech(0.01), 16_000, subtype="FLOAT")
    done = run_example(sys.executable, variants["group", scheme], short)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == Recognizer.load(variants["group", scheme]).transcribe(speech(0.01)).split()


@pytest.mark.parametrize(("scheme", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_transformers_loads_a_pytorch_variant_as_it_is(variants, scheme, dtype):
    import torch
    from transformers import AutoModelForCTC, AutoProcessor

    folder = variants["group", scheme]
    model, loading = AutoModelForCTC.from_pretrained(folder, output_loading_info=True)
    inputs = AutoProcessor.from_pretrained(folder)(speech(1.0), sampling_rate=16_000, return_tensors="pt").input_values
    with torch.inference_mode():
        logits = model(inputs.to(model.dtype)).logits[0].float().numpy()

    assert model.dtype == getattr(torch, dtype) and not loading["missing_keys"] and not loading["unexpected_keys"]
    ours = Recognizer.load(folder).logits(speech(1.0))
    assert abs(logits - ours).max() < (1e-4 if dtype == "float32" else 0.05) * ours.std()


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "runtime"), [("int8-onnx", "onnxruntime"), ("int8-openvino", "openvino")])
def test_a_clean_environment_with_the_runtime_alone_is_enough(variants, sound, scheme, runtime, tmp_path):
    """Skipped where the package index can't be reached."""
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean" / "bin" / "python"
    wanted = [f"{name}=={_locked(name)}" for name in ("numpy", "soundfile", runtime)]
    installed = subprocess.run([python, "-m", "pip", "install", "-q", *wanted], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"{', '.join(wanted)} can't be installed: {installed.stderr.strip().splitlines()[-1]}")
    folder = variants["group", scheme]
    done = run_example(python, folder, sound)
    assert done.returncode == 0, done.stderr
    expected = Recognizer.load(folder).transcribe(soundfile.read(sound, dtype="float32")[0])
    assert jiwer.cer(expected, done.stdout.strip()) <= ROUNDED


def _locked(name: str) -> str:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"{name}==")).split("==")[1].split()[0]
