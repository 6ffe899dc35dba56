"""int8 under a budget: what hurts dev stays in float, no more than needed, and variant.json says what and what it cost."""

import json

import pytest

from pipeline.common.errors import BigfootError
from pipeline.evaluate.wer import score
from pipeline.quantize.openvino_controlled import _fewest
from pipeline.quantize.run import quantize
from pipeline.recognition.recognizer import Recognizer
from tests.tiny import Spoken, save_model, speech


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """A model with one channel so loud that int8 loses the others, and a corpus where float makes no mistake."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("wild")
    model = save_model(folder / "wild", layers=1)
    weights, convolution = load_file(model / "model.safetensors"), "wav2vec2.feature_extractor.conv_layers.{}.conv.weight"
    weights[convolution.format(2)][0] *= 3000
    weights[convolution.format(3)][:, 0] /= 3000
    weights["lm_head.bias"][4] += 3  # of short words
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    quantize("fp32-onnx", {}, model, None, folder / "wild.fp32-onnx")
    float32 = Recognizer.load(folder / "wild.fp32-onnx")
    return model, Spoken([float32.transcribe(speech(1.5, seed=100 + index)) for index in range(4)])


@pytest.mark.slow
def test_what_hurts_dev_stays_in_float_and_the_rest_is_int8(wild, tmp_path):
    model, corpus = wild
    info = quantize("int8ac-openvino", {"max_rise": 0.2, "ranking_utterances": 4}, model, corpus, tmp_path / "out")

    assert {"/conv_layers.2/conv/Conv", "/conv_layers.3/conv/Conv"} < set(info["kept_float"])
    assert not [name for name in info["kept_float"] if name.startswith(("/layers.", "/pos_conv_embed"))]
    assert info["dev_wer"]["float"] == 0 and info["dev_wer"]["all_int8"] > 0.5
    recognizer = Recognizer.load(tmp_path / "out")
    hypotheses = [recognizer.transcribe(corpus.audio(utterance)) for utterance in corpus.dev]
    assert info["dev_wer"]["variant"] == score(corpus.dev, hypotheses).wer <= 0.2


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_within_the_budget_all_is_int8_convolutions_too(variants, norm):
    info = json.loads((variants[norm, "int8ac-openvino"] / "variant.json").read_text())
    first = ["/Conv", "/MatMul_1"] if norm == "group" else []
    assert info["kept_float"] == first and info["dev_wer"]["variant"] == info["dev_wer"]["all_int8"]


def test_the_fewest_that_suffice_are_chosen_or_else_all():
    for needed in range(1, 12):
        asked = []
        assert _fewest(11, lambda count, needed=needed, asked=asked: asked.append(count) or count >= needed) == needed
        assert len(asked) <= 4 and ([count for count in asked if count >= needed] or [11])[-1] == needed


def test_a_corpus_without_dev_is_refused(wild, tmp_path):
    with pytest.raises(BigfootError, match="int8ac-openvino .*dev"):
        quantize("int8ac-openvino", {}, wild[0], Spoken([]), tmp_path / "out")
