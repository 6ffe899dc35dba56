"""What `Recognizer` adds to the runtime is measured on the same session and input, for every runtime."""

import numpy as np
import pytest

from pipeline.lab import engine
from pipeline.quantize.run import quantize
from pipeline.recognition.recognizer import Recognizer
from tests import tiny

AUDIOS = [tiny.speech(seconds, seed=7) for seconds in (0.8, 1.1)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.save_model(tmp_path_factory.mktemp("engine") / "teacher")


@pytest.mark.parametrize("scheme", ["fp32", "fp32-onnx", "fp32-openvino"])
def test_the_bare_runtime_gives_the_logits_that_text_is_made_of(model, tmp_path, scheme):
    quantize(scheme, {}, model, None, tmp_path / "v")
    recognizer = Recognizer.load(tmp_path / "v", threads=1)
    ways = engine.bare(recognizer)
    assert list(ways) == (["graph", "exact"] if scheme == "fp32-openvino" else ["graph"])
    for audio in AUDIOS:
        expected = recognizer.logits(audio)
        waveform = recognizer.waveform(audio.copy())
        for run in ways.values():
            logits = np.asarray(run(waveform[None], np.array([waveform.size])))[0, : len(expected)]
            np.testing.assert_allclose(logits, expected, atol=1e-3 * expected.std())
    found = engine.overhead(recognizer, AUDIOS, rounds=2)
    assert all(found[f"{name}_low"] <= found[name] <= found[f"{name}_high"] for name in ways) and found["ms"] > 0


def test_time_spent_outside_the_runtime_counts(model, tmp_path, monkeypatch):
    """A planted fault: an engine that does everything twice."""
    quantize("fp32-onnx", {}, model, None, tmp_path / "v")
    recognizer = Recognizer.load(tmp_path / "v", threads=1)
    once = recognizer.transcribe
    monkeypatch.setattr(recognizer, "transcribe", lambda audio: (once(audio), once(audio)))
    assert engine.overhead(recognizer, AUDIOS, rounds=5)["graph"] > 1.5
