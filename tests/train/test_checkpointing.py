"""Gradient checkpointing changes the memory of a training and nothing else; nor do workers change what it learns."""

import pytest
import torch

from pipeline.common.errors import BigfootError
from pipeline.models import families
from pipeline.models.forward import ignore_padding
from pipeline.train import growing, machine
from tests import tones
from tests.tiny import save_model, speech


def gradients(folder, family: str, checkpointing: bool) -> dict[str, torch.Tensor]:
    """Of a batch of two lengths, with dropout, of a model of which one layer is not in use yet."""
    model = families.model_class(family).from_pretrained(folder).train()
    ignore_padding(model)
    if model.config.do_stable_layer_norm:
        growing.use_layers(model, [(0, 1), (10, 2)], step=0)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    waveforms = torch.stack([torch.from_numpy(speech(1.0, seed)) for seed in (1, 2)])
    mask = torch.ones_like(waveforms, dtype=torch.long)
    mask[1, 9000:] = 0
    torch.manual_seed(3)
    model(waveforms * mask, attention_mask=mask).logits.square().mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize(
    ("family", "norm", "stable"),
    [
        ("wav2vec2", "group", False),
        ("wav2vec2", "group", True),
        ("wav2vec2", "layer", True),
        ("hubert", "group", True),
        ("wavlm", "layer", False),
    ],
)
def test_gradients_are_the_same_bit_for_bit(tmp_path, family, norm, stable):
    folder = save_model(tmp_path / "model", norm, family=family, stable=stable, hidden_dropout=0.1, mask_time_prob=0.0)
    plain, checkpointed = (gradients(folder, family, on) for on in (False, True))
    assert plain.keys() == checkpointed.keys() and any(name.endswith("conv_layers.0.conv.weight") for name in plain)
    assert all(torch.equal(plain[name], checkpointed[name]) for name in plain)


def test_a_training_ends_with_the_same_weights_with_checkpointing_and_with_workers(tmp_path, monkeypatch):
    def checkpointed(chosen: dict) -> None:
        chosen["teacher"]["training"]["gradient_checkpointing"] = True

    tones.run(tones.project(tmp_path / "plain", steps=20), "teacher")
    tones.run(tones.project(tmp_path / "checkpointed", steps=20, change=checkpointed), "teacher")
    monkeypatch.setenv(machine.WORKERS, "2")
    tones.finished(tones.start(tones.project(tmp_path / "workers", steps=20), "teacher"))  # forked from a process of its own
    plain, *others = (tones.weights(tmp_path / name) for name in ("plain", "checkpointed", "workers"))
    assert all(torch.equal(other[name], plain[name]) for other in others for name in plain)


def test_workers_are_not_capped_and_a_slip_is_named(monkeypatch):
    monkeypatch.setenv(machine.WORKERS, "48")
    assert machine.workers() == 48
    monkeypatch.setenv(machine.WORKERS, "all")
    with pytest.raises(BigfootError, match="BIGFOOT_WORKERS is 'all'"):
        machine.workers()
