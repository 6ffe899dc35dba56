"""The multiply-accumulates counted from a config equal those that PyTorch counts at run time."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.models.operations import SECONDS, macs_per_second
from pipeline.recognition import torch_model
from pipeline.speech.audio import SAMPLE_RATE
from tests.tiny import FAMILIES, save_model


@pytest.mark.parametrize("family", FAMILIES)
def test_the_count_is_what_pytorch_counts(family, tmp_path):
    adapter = {"adapter_attn_dim": 4} if family == "wav2vec2" else {}
    folder = save_model(tmp_path / "model", layers=3, hidden=64, family=family, **adapter)
    model = torch_model.load_float(folder, attention="eager")
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, round(SECONDS * SAMPLE_RATE)))
    counted = macs_per_second(json.loads((folder / "config.json").read_text()))
    assert abs(2 * counted * SECONDS / counter.get_total_flops() - 1) < 0.005
