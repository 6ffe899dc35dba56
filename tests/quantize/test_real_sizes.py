"""Models of the sizes that people have, with random weights: each family's base config in every scheme, and one above 2 GB."""

import json

import numpy as np
import pytest

from pipeline.models import families
from pipeline.quantize import schemes
from pipeline.quantize.run import quantize
from pipeline.recognition.recognizer import Recognizer
from tests.tiny import FAMILIES, TrainingAudio, save_model, speech

OWN = [
    name
    for name, scheme in schemes.SCHEMES.items()
    if scheme.kind == "own" and name not in ("int8ac-openvino", "int8qat-openvino")
]
BF16 = ("bf16", "bf16-openvino")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_scheme_takes_the_base_config_of_every_family(family, tmp_path):
    """All but the two that need a trained model; logits of random weights move more than those of trained ones."""
    base = families.model_class(family).config_class()
    same = {key: getattr(base, key) for key in ("hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers")}
    shape = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, "num_hidden_layers": 12}
    assert same == shape and list(base.conv_dim) == [512] * 7
    positions = {"num_conv_pos_embeddings": base.num_conv_pos_embeddings}
    model = save_model(
        tmp_path / "base", "group", stable=False, layers=12, hidden=768, heads=12, channels=512, positions=(20, 16),
        family=family, intermediate_size=3072, **positions,
    )  # fmt: skip
    audio, exact = speech(3.0), None
    for scheme in OWN:
        quantize(scheme, {}, model, TrainingAudio(2), tmp_path / scheme)
        logits = Recognizer.load(tmp_path / scheme).logits(audio)
        exact = logits if exact is None else exact
        moved = np.abs(logits - exact).mean() / exact.std()
        assert moved < (1e-4 if scheme.startswith("fp32") else 0.5), (scheme, moved)


@pytest.mark.slow
@pytest.mark.accepts("Models", "models above 2 GB (XLS-R 1B)", "ONNX weights in a file of their own, none left in int8 folders")
def test_a_model_above_2_gb_has_its_weights_in_one_file_and_none_of_them_in_int8(tmp_path):
    model = save_model(tmp_path / "large", "layer", hidden=1280, layers=28, heads=16, intermediate_size=5120)
    assert (model / "model.safetensors").stat().st_size > 2.1e9
    audio = speech(2.0)
    quantize("fp32-onnx", {}, model, None, tmp_path / "float")
    assert {file.name for file in (tmp_path / "float").iterdir()} == {
        "model.onnx",
        "model.onnx.data",
        "variant.json",
        "example.py",
    }
    exact = Recognizer.load(tmp_path / "float").logits(audio)
    quantize("int8-onnx", {}, model, None, tmp_path / "int8")
    sizes = {name: entry["bytes"] for name, entry in json.loads((tmp_path / "int8/variant.json").read_text())["files"].items()}
    assert sum(sizes.values()) < 0.27 * (model / "model.safetensors").stat().st_size, sizes
    assert np.abs(Recognizer.load(tmp_path / "int8").logits(audio) - exact).mean() < 0.2 * exact.std()
