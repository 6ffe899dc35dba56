"""Layout `onnx-asr`: its files, and log-probabilities of batches of any lengths."""

import json

import numpy as np
import onnxruntime
import pytest

from pipeline.exports import layouts, sherpa
from pipeline.recognition.recognizer import Recognizer
from tests.exports.conftest import AUDIOS, CARD, folded


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("normalize", [True, False])
def test_a_batch_of_any_lengths_gives_each_recordings_scores_and_then_the_blank(variants, norm, normalize, tmp_path):
    variant = variants[norm, normalize, "fp32-onnx"]
    layouts.write(variant, tmp_path, "onnx-asr", CARD)
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "config.json", "vocab.txt", "model.onnx"}
    assert json.loads((tmp_path / "config.json").read_text()) == {"model_type": "wav2vec2-ctc", "subsampling_factor": 2}
    lines = (tmp_path / "vocab.txt").read_text().splitlines()
    assert (lines[0], lines[4], lines[5]) == ("<blk> 0", "\u2581 4", "a 5")
    lengths = np.array([audio.size for audio in AUDIOS])
    padded = np.stack([np.pad(audio, (0, lengths.max() - audio.size)) for audio in AUDIOS])
    session, recognizer = onnxruntime.InferenceSession(tmp_path / "model.onnx"), Recognizer.load(variant)
    scores = session.run(["logprobs"], {"input_values": padded, "input_lengths": lengths})[0]
    for row, audio in zip(scores, AUDIOS, strict=True):
        wanted = folded(recognizer.logits(audio))
        wanted = wanted - np.logaddexp.reduce(wanted, axis=1, keepdims=True)
        np.testing.assert_allclose(row[: len(wanted)], wanted, atol=2e-3)  # -1e4 has no more digits
        assert (row[len(wanted) :].argmax(1) == 0).all()


def test_an_int8_graph_has_the_name_that_onnx_asr_looks_for(variants, tmp_path):
    layouts.write(variants["group", True, "int8-onnx"], tmp_path, "onnx-asr", CARD)
    assert (tmp_path / "model.int8.onnx").is_file() and 'quantization="int8"' in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("token", ["SIL", "<0x41>", "a b"])
def test_a_token_that_would_not_be_printed_as_it_is_leaves_the_runtime_out(token):
    info = {"normalize": True, "vocab": ["", " ", "a", token]}
    assert sherpa.mangled(info) == token and repr(token) in sherpa.obstacle(info)
    assert sherpa.obstacle({"normalize": True, "vocab": ["", " ", "a", "sch"]}) is None
