"""What is cut was silent, so the student computes the same: one that drops nothing is its parent."""

import copy

import pytest
import torch

from pipeline.distill.surgery import importance, student
from tests.distill.surgery.parents import WAVEFORM, parent, settings


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_a_student_that_drops_nothing_is_its_parent(norm):
    model = parent(norm)
    same, rows = student.build(model, settings())
    assert torch.equal(same.eval()(WAVEFORM).logits, model(WAVEFORM).logits)
    assert all(row["how"] == "whole" for row in rows)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_channels_nobody_uses_can_go_without_a_trace(norm):
    """With half of the feed-forward units, heads and conv channels silent, the slimmer student computes the same."""
    model = parent(norm)
    weights = model.state_dict()
    for i in range(4):
        layer = "wav2vec2." + student.LAYER.format(i)
        weights[f"{layer}feed_forward.output_dense.weight"][:, ::2] = 0
        weights[f"{layer}attention.out_proj.weight"][:, 12:36] = 0  # heads 1 and 2
        weights[f"{layer}attention.v_proj.weight"][12:36] = 0
    for i in range(7):
        prefix = "wav2vec2.feature_extractor.conv_layers."
        if i < 6:
            weights[f"{prefix}{i + 1}.conv.weight"][:, 1::2] = 0
    # The last convolution's channels meet in a layer norm, which no channel leaves without a trace: they all stay.
    slim, rows = student.build(model, settings(feed_forward=48))
    assert torch.allclose(slim.eval()(WAVEFORM).logits, model(WAVEFORM).logits, atol=1e-5)
    narrow = settings(feed_forward=48, heads=2, hidden=24)
    config = student.config_of(model.config, narrow)
    choice = student.choose(model.config, config, narrow, student.importance_of(model, config, narrow, []))
    assert choice.units[0].tolist() == list(range(1, 96, 2))
    assert {int(i) // 12 for i in choice.value[0]} == {0, 3}
    matters = importance.of_weights(model, [0, 1, 2, 3])
    assert student._best(matters.conv[2], 8).tolist() == list(range(0, 16, 2))


def test_the_positional_convolution_is_cut_group_by_group():
    """Kept outputs of the cut convolution equal the parent's when the channels that went were silent."""
    model = parent()
    smaller, _ = student.build(model, settings(hidden=24, heads=2))
    kept = student._best(importance.of_weights(model, [0, 1, 2, 3]).stream, 24, 4)
    audible = torch.zeros(1, 48, 20)
    audible[:, kept] = torch.randn(1, 24, 20, generator=torch.Generator().manual_seed(2))
    whole = model.wav2vec2.encoder.pos_conv_embed.conv(audible)[:, kept]
    cut = smaller.wav2vec2.encoder.pos_conv_embed.conv(audible[:, kept])
    assert torch.allclose(whole, cut, atol=1e-5)


def test_the_parent_is_left_as_it_was():
    model = parent()
    before = copy.deepcopy(model.state_dict())
    student.build(model, settings(layers=2, hidden=24, heads=2))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
