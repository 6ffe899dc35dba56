"""example.py of a variant folder gives the Recognizer's text, with the runtime's packages alone."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import jiwer
import pytest
import soundfile

from pipeline.compare.report import cards
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


def test_the_cards_program_runs_a_bf16_variant_as_it_is(variants, tmp_path):
    folder = shutil.copytree(variants["group", "bf16"], tmp_path / "variant")
    soundfile.write(folder / "speech.wav", speech(1.0), 16_000)
    program = cards.RUN_MODEL.removeprefix("```python").removesuffix("```")
    done = subprocess.run([sys.executable, "-I", "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_another_rate_is_one_line(variants, sound):
    other = sound.with_name("b.wav")
    soundfile.write(other, speech(1.0), 8_000)
    done = run_example(sys.executable, variants["group", "int8-onnx"], other)
    assert done.returncode == 1 and "8000 Hz" in done.stderr and "Traceback" not in done.stderr


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
