"""Measured importance is what taking a part out does to the frames' distributions; no gate outlives the measuring."""

import numpy as np
import pytest
import torch

from pipeline.distill.surgery import importance, student
from tests.distill.surgery.parents import AUDIO, WAVEFORM, parent, settings


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_measuring_leaves_the_model_as_it_was(norm):
    model = parent(norm)
    before = model(WAVEFORM).logits
    first, again = (importance.measured(model, AUDIO, seed=3) for _ in range(2))
    assert torch.equal(model(WAVEFORM).logits, before)
    assert torch.equal(first.stream, again.stream) and first.stream.shape == (48,)
    assert [len(x) for x in first.conv] == [16] * 7 and [len(x) for x in first.heads] == [4] * 4


def test_parts_that_write_nothing_matter_nothing():
    model = parent()
    with torch.no_grad():
        for layer in model.wav2vec2.encoder.layers:
            layer.feed_forward.output_dense.weight[:, ::2] = 0
            layer.attention.out_proj.weight[:, 12:24] = 0  # head 1
        model.wav2vec2.feature_extractor.conv_layers[3].conv.weight[:, 5] = 0  # so nothing hears channel 5 of layer 2
    found = importance.measured(model, AUDIO, seed=3)
    assert all((units[::2] == 0).all() and (units[1::2] > 0).all() for units in found.units)
    assert all(heads[1] == 0 and (heads[[0, 2, 3]] > 0).all() for heads in found.heads)
    assert found.conv[2][5] == 0 and (found.conv[2] > 0).sum() == 15


def test_it_foretells_the_kl_divergence_that_taking_a_unit_out_costs():
    """F/2 against the true KL divergence: gates of 0.9 in the feed-forward's units, where the second order holds."""
    model, taken = parent(), 0.1
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.normal_(0, weight.shape[1] ** -0.5, generator=torch.Generator().manual_seed(weight.numel()))
    dense = model.wav2vec2.encoder.layers[1].feed_forward.output_dense
    many = [audio for audio in AUDIO for _ in range(40)]  # drawn labels are noise: many draws
    foretold = importance.measured(model, many, seed=3).units[1] / len(many) * taken**2 / 2
    units = foretold.topk(6).indices.tolist() + (-foretold).topk(6).indices.tolist()
    costs = []
    for unit in units:
        cost = 0.0
        for audio in AUDIO:
            with torch.no_grad():
                whole = model(audio).logits[0].log_softmax(-1)
                column = dense.weight[:, unit].clone()
                dense.weight[:, unit] *= 1 - taken
                without = model(audio).logits[0].log_softmax(-1)
                dense.weight[:, unit] = column
            cost += float((whole.exp() * (whole - without)).sum())
        costs.append(cost / len(AUDIO))
    assert np.corrcoef(np.log(costs), np.log(foretold[units].numpy()))[0, 1] > 0.95
    assert 0.5 < np.median(np.array(costs) / foretold[units].numpy()) < 2


def test_students_keep_what_was_measured_or_the_first():
    model = parent()
    found = importance.measured(model, AUDIO, seed=settings().training.seed)
    narrow = settings(feed_forward=32, importance="measured")
    choice = student._choose(model, student._config(model.config, narrow), narrow, AUDIO)
    assert choice.units[2].tolist() == sorted(found.units[2].topk(32).indices.tolist())
    narrow = settings(feed_forward=32, importance="position")
    assert student._choose(model, student._config(model.config, narrow), narrow, []).units[2].tolist() == list(range(32))
