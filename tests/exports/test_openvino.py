"""Layout `openvino`: its files, and in plain OpenVINO the recognizer's scores for raw audio of any length."""

import json

import numpy as np
import openvino
import pytest

from pipeline.exports import layouts
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import text
from tests.exports.conftest import AUDIOS, CARD, FILES, folded
from tests.tiny import VOCAB

FLOAT = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("scheme", ["fp32-openvino", "int8-openvino", "bf16-openvino"])
def test_raw_audio_gives_the_recognizers_scores_in_plain_openvino(variants, norm, normalize, scheme, tmp_path):
    variant = variants[norm, normalize, scheme]
    layouts.write(variant, tmp_path, "openvino", CARD)
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"openvino_model.xml", "openvino_model.bin"}
    assert "OVModelForCTC" in (tmp_path / "README.md").read_text()
    assert json.loads((tmp_path / "config.json").read_text())["conv_dim"] == [16] * 7
    model, recognizer = openvino.compile_model(tmp_path / "openvino_model.xml", "CPU", FLOAT), Recognizer.load(variant)
    ports = [(port.any_name, port.partial_shape.to_string()) for port in (*model.inputs, *model.outputs)]
    assert ports == [("input_values", "[?,?]"), ("logits", f"[?,?,{len(VOCAB)}]")]
    for audio in AUDIOS:
        logits = model({"input_values": np.stack([audio, audio[::-1]])})["logits"]
        wanted = recognizer.logits(audio)
        apart = np.abs(logits[0] - folded(wanted)).max()
        assert logits[0].shape == wanted.shape and apart < (1e-4 if scheme == "fp32-openvino" else 0.2 * wanted.std()), apart
        if scheme == "fp32-openvino":
            assert text.greedy(logits[0].argmax(-1), recognizer.info["vocab"], 0) == recognizer.text(wanted)


def test_the_weights_of_a_variant_are_not_touched(variants, tmp_path):
    variant = variants["group", True, "int8-openvino"]
    layouts.write(variant, tmp_path, "openvino", CARD)
    before, after = (constants(path) for path in (variant / "model.xml", tmp_path / "openvino_model.xml"))
    assert before and before <= after


def constants(path) -> set[bytes]:
    """The contents of a graph's constants of more than a few values."""
    operations = openvino.Core().read_model(path).get_ops()
    return {node.data.tobytes() for node in operations if node.get_type_name() == "Constant" and node.data.size > 64}
