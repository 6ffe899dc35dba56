"""The multiply-accumulates counted from a config equal those that PyTorch counts at run time."""

import json

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.models.operations import RATE, SECONDS, macs_per_second
from pipeline.recognition import torch_model
from tests.tiny import save_model


def test_the_count_is_what_pytorch_counts(tmp_path):
    folder = save_model(tmp_path / "model", layers=3, hidden=64)
    model = torch_model.load_float(folder, attention="eager")
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, round(SECONDS * RATE)))
    counted = macs_per_second(json.loads((folder / "config.json").read_text()))
    assert abs(2 * counted * SECONDS / counter.get_total_flops() - 1) < 0.005
