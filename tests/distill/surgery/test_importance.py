"""Measured importance predicts how removing a part changes the frames' distributions; measuring leaves no gate behind."""

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


def test_parts_whose_output_is_unused_have_importance_zero():
    model = parent()
    with torch.no_grad():
        for layer in model.wav2vec2.encoder.layers:
            layer.feed_forward.output_dense.weight[:, ::2] = 0
            layer.attention.out_proj.weight[:, 12:24] = 0  # head 1
        model.wav2vec2.feature_extractor.conv_layers[3].conv.weight[:, 5] = 0  # so nothing reads channel 5 of layer 2
    scores = importance.measured(model, AUDIO, seed=3)
    assert all((units[::2] == 0).all() and (units[1::2] > 0).all() for units in scores.units)
    assert all(heads[1] == 0 and (heads[[0, 2, 3]] > 0).all() for heads in scores.heads)
    assert scores.conv[2][5] == 0 and (scores.conv[2] > 0).sum() == 15


def test_it_predicts_the_kl_divergence_that_removing_a_unit_costs():
    """F/2 against the true KL divergence, with gates of 0.9 on feed-forward units, where the second order is accurate."""
    model, removed = parent(), 0.1
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.normal_(0, weight.shape[1] ** -0.5, generator=torch.Generator().manual_seed(weight.numel()))
    dense = model.wav2vec2.encoder.layers[1].feed_forward.output_dense
    many = [audio for audio in AUDIO for _ in range(40)]  # many draws, because drawn labels are noisy
    predicted = importance.measured(model, many, seed=3).units[1] / len(many) * removed**2 / 2
    units = predicted.topk(6).indices.tolist() + (-predicted).topk(6).indices.tolist()
    costs = []
    for unit in units:
        cost = 0.0
        for audio in AUDIO:
            with torch.no_grad():
                whole = model(audio).logits[0].log_softmax(-1)
                column = dense.weight[:, unit].clone()
                dense.weight[:, unit] *= 1 - removed
                without = model(audio).logits[0].log_softmax(-1)
                dense.weight[:, unit] = column
            cost += float((whole.exp() * (whole - without)).sum())
        costs.append(cost / len(AUDIO))
    assert np.corrcoef(np.log(costs), np.log(predicted[units].numpy()))[0, 1] > 0.95
    assert 0.5 < np.median(np.array(costs) / predicted[units].numpy()) < 2


def test_students_keep_what_was_measured_or_the_first():
    model = parent()
    scores = importance.measured(model, AUDIO, seed=settings().training.seed)
    narrow = settings(feed_forward=32, importance="measured")
    choice = student._choose(model, student.config_of(model.config, narrow), narrow, AUDIO)
    assert choice.units[2].tolist() == sorted(scores.units[2].topk(32).indices.tolist())
    narrow = settings(feed_forward=32, importance="position")
    assert student._choose(model, student.config_of(model.config, narrow), narrow, []).units[2].tolist() == list(range(32))
