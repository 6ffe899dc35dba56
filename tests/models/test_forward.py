"""Training ignores padding: with a padded batch, logits and gradients equal those of its utterances alone."""

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2ForCTC

from pipeline.models.forward import ignore_padding
from tests.tiny import save_model


def padded_batch(model, waveforms, longest):
    signal = torch.stack([torch.nn.functional.pad(w, (0, longest - len(w))) for w in waveforms])
    mask = torch.tensor([[1] * len(w) + [0] * (longest - len(w)) for w in waveforms])
    return model(signal, attention_mask=mask).logits


@pytest.mark.parametrize("stable", [True, False], ids=["pre-norm", "post-norm"])
@pytest.mark.parametrize(
    ("norm", "channels", "apart"),
    [("group", 32, 2e-3), ("group", 16, 2e-4), ("layer", 16, 2e-4)],
    ids=["wide", "narrow", "layer"],
)
def test_a_padded_batch_has_the_logits_and_gradients_of_its_utterances_alone(tmp_path, norm, channels, apart, stable):
    """The encoder's width decides how group-norm statistics are computed; random walks are hard for a wide encoder."""
    folder = save_model(tmp_path / "model", norm, stable=stable, channels=channels)
    plain, model = (Wav2Vec2ForCTC.from_pretrained(folder) for _ in range(2))
    ignore_padding(model)
    rng = np.random.default_rng(3)
    waveforms = [torch.from_numpy(rng.standard_normal(n).cumsum() / 30 + 0.2).float() for n in (16_000, 9_000, 12_345)]

    together = padded_batch(model, waveforms, longest=24_000)
    alone = [plain(waveform[None]).logits[0] for waveform in waveforms]
    for logits, expected in zip(together, alone, strict=True):
        assert (logits[: len(expected)] - expected).abs().max() < apart

    direction = torch.randn_like(together)
    (together * direction)[0, : len(alone[0])].sum().backward()
    (alone[0] * direction[0, : len(alone[0])]).sum().backward()
    for (name, ours), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
        if theirs.grad is None:  # the mask embedding of SpecAugment, outside training
            continue
        scale = theirs.grad.abs().max()
        # 1e-4 for a key's bias, whose gradient is zero except for rounding.
        assert (ours.grad - theirs.grad).abs().max() <= 2e-3 * scale + 1e-4, name


@pytest.mark.parametrize("channels", [32, 16], ids=["wide", "narrow"])
def test_bfloat16_autocast_leaves_the_statistics_of_a_group_norm_in_float32(tmp_path, channels):
    folder = save_model(tmp_path / "model", "group", channels=channels)
    plain, model = (Wav2Vec2ForCTC.from_pretrained(folder) for _ in range(2))
    ignore_padding(model)
    first_layers = [m.wav2vec2.feature_extractor.conv_layers[0] for m in (plain, model)]
    loud = torch.randn(1, 16_000) * 3 + 50  # an offset so large that bfloat16 would lose the signal
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        padded_batch(model, [loud[0]], 24_000)
        masked = first_layers[1](torch.nn.functional.pad(loud, (0, 8_000))[:, None])
    with torch.no_grad():
        exact = first_layers[0](loud[:, None])
    assert torch.allclose(masked[..., : exact.shape[2]], exact, atol=1e-2)


def test_saved_files_do_not_change(tmp_path):
    model = Wav2Vec2ForCTC.from_pretrained(save_model(tmp_path / "model", "group"))
    before = set(model.state_dict())
    ignore_padding(model)
    assert set(model.state_dict()) == before
