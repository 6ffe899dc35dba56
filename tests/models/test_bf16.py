"""What a CPU computes wrongly in bfloat16 is computed in float32: narrow convolutions, on CPUs with AMX."""

import logging

import numpy as np
import pytest
import torch

from pipeline.models import bf16
from pipeline.recognition.torch_model import load_float
from tests import tiny, tones

SHAPES = {"a student of 128": (128, 16), "the quickstart's teacher": (192, 16)}


@pytest.mark.parametrize(("hidden", "groups"), SHAPES.values(), ids=SHAPES)
def test_logits_in_bf16_are_near_those_in_float32(tmp_path, hidden, groups):
    model = load_float(tiny.save_model(tmp_path / "tiny", hidden=hidden, heads=4, channels=32, positions=(32, groups)))
    audio = torch.tensor(tiny.speech(2.0))[None]
    bf16.mend(model)
    with torch.inference_mode():
        right = model(audio).logits
        with torch.autocast("cpu", torch.bfloat16):
            found = model(audio).logits
    assert float((found.float() - right).norm()) < 0.05 * float((right - right.mean()).norm())


def test_a_mended_convolution_computes_in_float32_and_keeps_the_type(monkeypatch):
    monkeypatch.setattr(bf16, "is_wrong", lambda *shape: shape == (32, 32, 8, 1, 4))
    model = torch.nn.Sequential(torch.nn.Conv1d(32, 32, 8, groups=4), torch.nn.Conv1d(32, 32, 7, groups=4))
    signal = torch.randn(1, 32, 40).bfloat16()
    right = model[0](signal.float())
    assert bf16.mend(model) == ["0"] and bf16.mend(model) == []
    with torch.autocast("cpu", torch.bfloat16):
        found = model[0](signal)
    assert found.dtype == torch.bfloat16
    np.testing.assert_array_equal(found.float().detach(), right.bfloat16().float().detach())


def test_a_training_in_bf16_mends_its_model_first(monkeypatch, tmp_path, caplog):
    def lower(chosen: dict) -> None:
        chosen["teacher"]["training"]["precision"] = "bf16"

    monkeypatch.setattr(bf16, "is_wrong", lambda *shape: shape[-1] > 1)
    folder = tones.project(tmp_path, steps=30, change=lower)
    with caplog.at_level(logging.INFO):
        tones.run(folder, "teacher")
    assert "because this CPU gets them wrong in bf16: wav2vec2.encoder.pos_conv_embed.conv" in caplog.text
