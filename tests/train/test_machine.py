"""What a training takes from the machine, where it has what this one lacks."""

import pytest
import torch
from transformers import TrainingArguments

from pipeline.distill.logits import work
from pipeline.train import machine, trainer
from tests import tones


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_is_bf16_where_a_gpu_computes_it_and_does_not_only_emulate_it(monkeypatch, has_bf16, expected):
    """PyTorch answers that a GPU without it, as a T4, supports it, unless it is asked to leave out emulation."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bf16 or including_emulation)
    assert machine.precision("auto") == expected
    assert work.runs_bf16(torch.device("cuda")) is has_bf16


def test_one_process_trains_on_one_gpu_however_many_it_sees(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda arguments: 1 if arguments._n_gpu == 1 else 2))
    trained = []
    loss = trainer.SpeechTrainer.compute_loss
    monkeypatch.setattr(
        trainer.SpeechTrainer, "compute_loss", lambda *given, **others: trained.append(given[1]) or loss(*given, **others)
    )
    caplog.set_level("INFO")
    tones.run(tones.project(tmp_path, steps=20), "teacher")
    assert trained and not any(isinstance(model, torch.nn.DataParallel) for model in trained)
    assert f"teacher: trains on {machine.device()} in " in caplog.text and "(processes: 1)" in caplog.text


def test_what_trains_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a planted GPU")
    for has_gpu, named in ((True, "a planted GPU"), (False, "the CPU")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        assert machine.device() == named
