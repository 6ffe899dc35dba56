"""A variant folder is whole, self-contained and safe to load, and a mistake is one line and leaves nothing behind."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from pipeline.common.errors import BigfootError
from pipeline.quantize import schemes
from pipeline.quantize.run import quantize
from pipeline.quantize.schemes import SCHEMES, make
from pipeline.recognition.recognizer import Recognizer
from tests.tiny import TEXTS, TrainingAudio, save_model, speech

PROCESSOR = {"vocab.json", "tokenizer_config.json", "processor_config.json"}
FILES = {
    "fp32": {"model.safetensors", "config.json"} | PROCESSOR,
    "fp32-onnx": {"model.onnx"},
    "fp32-openvino": {"model.xml", "model.bin"},
    "bf16": {"model.safetensors", "config.json"} | PROCESSOR,
    "bf16-openvino": {"model.xml", "model.bin"},
    "int8-torch": {"model.int8.safetensors", "config.json"},
    "int8-torchao": {"model.torchao.safetensors", "config.json"},
    "int8-onnx": {"model.onnx"},
    "int8-onnx-static": {"model.onnx"},
    "int8-openvino": {"model.xml", "model.bin"},
    "int8ac-openvino": {"model.xml", "model.bin"},
    "int8qat-openvino": {"model.xml", "model.bin"},
    "int4w-openvino": {"model.xml", "model.bin"},
    "int4w-onnx": {"model.onnx"},
    "fp16-cuda": {"model.half.safetensors", "config.json"},
    "bf16-cuda": {"model.half.safetensors", "config.json"},
    "fp16-onnx-cuda": {"model_fp16.onnx"},
    "peer-torchao": {"model.torchao.safetensors", "config.json"},
    "peer-onnx-optimum": {"plain.onnx"},
    "peer-onnx-optimum-matmul": {"plain.onnx"},
    "peer-openvino": {"plain.xml", "plain.bin"},
    "peer-openvino-bf16": {"plain.xml", "plain.bin"},
}
WITHOUT_EXAMPLE = {"int8-torch", "int8-torchao", *(scheme for scheme in FILES if SCHEMES[scheme].kind != "own")}


def test_the_tests_below_cover_every_scheme():
    optional = {name for name, scheme in SCHEMES.items() if scheme.extra}  # their packages are: test_peers.py
    assert set(SCHEMES) - set(FILES) == optional and all(name.startswith("peer-") for name in optional)


@pytest.mark.parametrize("scheme", FILES)
def test_a_variant_holds_what_it_needs_and_nothing_else(variants, scheme):
    example = set() if scheme in WITHOUT_EXAMPLE else {"example.py"}
    assert {file.name for file in variants["group", scheme].iterdir()} == FILES[scheme] | {"variant.json"} | example


@pytest.mark.parametrize("scheme", FILES)
def test_no_file_is_a_pickle_or_names_the_machine_it_was_made_on(models, variants, scheme):
    for file in variants["group", scheme].iterdir():
        content = file.read_bytes()
        assert not content.startswith((b"\x80", b"PK")), f"{file.name} is a pickle, or a zip that may hold one"
        assert str(models["group"].parent).encode() not in content, f"{file.name} names a folder of this machine"
        assert b"site-packages" not in content, f"{file.name} names a folder of this machine"


@pytest.mark.parametrize("scheme", FILES)
def test_a_variant_runs_elsewhere_without_its_model(models, variants, scheme, tmp_path, monkeypatch):
    before = Recognizer.load(variants["group", scheme], threads=1, device="cpu").logits(speech(0.5))
    elsewhere = tmp_path / "taken" / "away"
    shutil.copytree(variants["group", scheme], elsewhere)
    hidden = models["group"].rename(models["group"].with_name("hidden"))
    monkeypatch.chdir(tmp_path)
    try:
        after = Recognizer.load(elsewhere, threads=1, device="cpu").logits(speech(0.5))
    finally:
        hidden.rename(models["group"])

    np.testing.assert_allclose(after, before, atol=1e-5)


def test_a_scheme_under_another_name_has_settings_of_its_own(models, tmp_path):
    info = quantize(
        "int8-openvino-2",
        {"like": "int8-openvino", "calibration_utterances": 2},
        models["group"],
        TrainingAudio(),
        tmp_path / "out",
    )

    assert (info["variant"], info["scheme"]) == ("group.int8-openvino-2", "int8-openvino-2")
    assert info["settings"] == {"calibration_utterances": 2} and info["runtime"] == "openvino"


@pytest.mark.parametrize("like", [["int8-onnx"], {"a": 1}, "int9"])
def test_what_is_not_the_name_of_a_scheme_is_one_line(like):
    with pytest.raises(BigfootError, match=r"schemes.mine.like: there is no such scheme, known are"):
        make("mine", {"like": like})


def test_variant_json_has_how_to_run_it_and_what_it_cost(models, tmp_path):
    from transformers import AutoModelForCTC

    model = tmp_path / "half"
    shutil.copytree(models["group"], model)
    (model / "metrics.json").write_text(json.dumps({"train_hours": 0.5, "dev_wer": 0.1}))
    info = quantize("fp32", {}, model, None, tmp_path / "half.fp32")

    assert json.loads((tmp_path / "half.fp32" / "variant.json").read_text()) == info
    assert (info["variant"], info["model"], info["scheme"], info["runtime"]) == ("half.fp32", "half", "fp32", "torch")
    assert info["vocab"] == TEXTS and info["blank"] == 0
    assert info["normalize"] is True and info["sample_rate"] == 16_000 and info["padding"] == "exact"
    assert info["params"] == AutoModelForCTC.from_pretrained(model).num_parameters()
    assert info["training"]["train_hours"] == 0.5 and info["training"]["train_energy_wh"] is None


def test_an_older_preprocessor_config_is_read_too(models, tmp_path):
    model = tmp_path / "old"
    shutil.copytree(models["group"], model)
    extractor = json.loads((model / "processor_config.json").read_text())["feature_extractor"]
    (model / "processor_config.json").unlink()
    (model / "preprocessor_config.json").write_text(json.dumps(extractor | {"do_normalize": False}))

    assert quantize("fp32", {}, model, None, tmp_path / "old.fp32")["normalize"] is False


def test_an_unknown_scheme_is_one_line_that_lists_the_known_ones(models, tmp_path):
    with pytest.raises(BigfootError, match="int4-magic.*fp32, fp32-onnx.*int8-openvino"):
        quantize("int4-magic", {}, models["group"], None, tmp_path / "out")


@pytest.mark.parametrize("settings", [{"calibration_utterance": 3}, {"calibration_utterances": 0}])
def test_a_wrong_setting_is_one_line_that_names_it(settings):
    with pytest.raises(BigfootError, match="schemes.int8-openvino.calibration_utterance") as error:
        schemes.make("int8-openvino", settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [{"model_type": "whisper"}, {"architectures": ["Wav2Vec2ForPreTraining"]}])
def test_a_model_of_another_kind_is_one_line(models, tmp_path, change):
    model = tmp_path / "other"
    shutil.copytree(models["group"], model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | change))

    with pytest.raises(BigfootError, match="CTC models") as error:
        quantize("fp32", {}, model, None, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_a_folder_that_is_not_a_model_is_one_line(tmp_path):
    with pytest.raises(BigfootError, match="config.json"):
        quantize("fp32", {}, tmp_path / "nowhere", None, tmp_path / "out")


def test_a_failure_leaves_the_variant_that_was_there_and_nothing_half_done(models, tmp_path, monkeypatch):
    out = tmp_path / "group.fp32"
    quantize("fp32", {}, models["group"], None, out)
    before = (out / "variant.json").read_bytes()

    def fail(self, model_folder, corpus, out):
        (out / "model.safetensors").write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(SCHEMES["fp32"], "write", fail)
    with pytest.raises(OSError, match="disk full"):
        quantize("fp32", {}, models["group"], None, out)

    assert [path.name for path in tmp_path.iterdir()] == ["group.fp32"]
    assert (out / "variant.json").read_bytes() == before


def test_a_new_variant_replaces_the_old_one(models, tmp_path):
    out = tmp_path / "group.fp32"
    out.mkdir()
    (out / "left-over").touch()
    quantize("fp32", {}, models["group"], None, out)

    assert not (out / "left-over").exists()


def test_a_copy_scheme_is_made_without_pytorch(models, tmp_path):
    code = (
        "import sys; from pipeline.quantize.run import quantize; "
        f"quantize('fp32', {{}}, {str(models['group'])!r}, None, {str(tmp_path / 'group.fp32')!r}); "
        "print(sorted({'torch', 'transformers', 'onnx', 'openvino', 'nncf'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "[]\n"


def test_no_usage_data_is_sent(tmp_path):
    """OpenVINO's converter and NNCF would, and would first make an identity in the user's home."""
    code = (
        "import sys; from pathlib import Path; from pipeline.quantize.run import quantize\n"
        "quantize('int4w-openvino', {'group_size': 16}, Path(sys.argv[1]), None, Path(sys.argv[2]))"
    )
    folder, home = save_model(tmp_path / "model", hidden=32), tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "NNCF_CI", "NNCF_DEV")}
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "out")]
    subprocess.run(command, check=True, env=environment | {"HOME": str(home)})
    assert not [path for path in home.rglob("*") if "intel" in path.name.lower() or "openvino" in path.name.lower()]
