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


@pytest.mark.parametrize("is_pre_norm", [True, False])
def test_it_predicts_the_kl_divergence_that_a_quieter_channel_of_the_stream_costs(is_pre_norm):
    """As above, with channels at 0.9 of their value wherever they are read."""
    model, removed = parent(is_pre_norm=is_pre_norm), 0.1
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.normal_(0, weight.shape[1] ** -0.5, generator=torch.Generator().manual_seed(weight.numel()))
    many = [audio for audio in AUDIO for _ in range(40)]
    predicted = importance.measured(model, many, seed=3).stream / len(many) * removed**2 / 2
    channels = predicted.topk(6).indices.tolist() + (-predicted).topk(6).indices.tolist()
    costs = []
    for channel in channels:
        gate = torch.ones(48)
        gate[channel] -= removed
        cost = 0.0
        for audio in AUDIO:
            with torch.no_grad():
                whole = model(audio).logits[0].log_softmax(-1)
                without = quieter(model, gate, audio).log_softmax(-1)
            cost += float((whole.exp() * (whole - without)).sum())
        costs.append(cost / len(AUDIO))
    assert np.corrcoef(np.log(costs), np.log(predicted[channels].numpy()))[0, 1] > 0.95
    assert 0.5 < np.median(np.array(costs) / predicted[channels].numpy()) < 2


def quieter(model, gate: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
    """The logits of a model whose residual stream is multiplied by `gate` wherever a part of the model reads it."""
    encoder = model.wav2vec2.encoder
    norms = [norm for layer in encoder.layers for norm in (layer.layer_norm, layer.final_layer_norm)]
    if model.config.do_stable_layer_norm:  # the stream is the sum, which norms read
        hooks = [norm.register_forward_pre_hook(lambda _, args: (args[0] * gate,)) for norm in [*norms, encoder.layer_norm]]
    else:  # the stream is what norms write
        hooks = [norm.register_forward_hook(lambda _, args, out: out * gate) for norm in [encoder.layer_norm, *norms]]
    logits = model(audio).logits[0]
    for hook in hooks:
        hook.remove()
    return logits


def chosen(model, narrow) -> student.Choice:
    config = student.config_of(model.config, narrow)
    return student.choose(model.config, config, narrow, student.importance_of(model, config, narrow, AUDIO))


def test_students_keep_what_was_measured_or_the_first():
    model = parent()
    scores = importance.measured(model, AUDIO, seed=settings().training.seed)
    narrow = settings(feed_forward=32, importance="measured")
    assert chosen(model, narrow).units[2].tolist() == sorted(scores.units[2].topk(32).indices.tolist())
    narrow = settings(feed_forward=32, importance="position")
    assert chosen(model, narrow).units[2].tolist() == list(range(32))


def test_layers_that_are_dropped_have_no_say_in_what_is_kept():
    narrow = settings(layers=[0, 3], hidden=24, feed_forward=32, conv_channels=8, importance="measured")
    model, other = parent(), parent()
    with torch.no_grad():
        for weight in other.wav2vec2.encoder.layers[1:3].parameters():
            weight.mul_(30)
    assert not torch.allclose(other(WAVEFORM).logits, model(WAVEFORM).logits, atol=0.1)
    first, second = chosen(model, narrow), chosen(other, narrow)
    assert torch.equal(first.hidden, second.hidden)
    for kind in ("conv", "query", "value", "units"):
        assert all(map(torch.equal, getattr(first, kind), getattr(second, kind)))
