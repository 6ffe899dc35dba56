"""Merged convolutions have the receptive field and stride of the run they replace, and the nearest output in least squares."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCTC

from pipeline.common.errors import BigfootError
from pipeline.distill.surgery import merge, student
from tests.distill.surgery.parents import WAVEFORM, parent, settings

AUDIO = [torch.randn(1, 24_000, generator=torch.Generator().manual_seed(i)) for i in range(6)]
KERNELS, STRIDES = [10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]


def frames(samples: int, kernels: list[int], strides: list[int]) -> int:
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference, relative to the norm of `expected` around its mean."""
    return float((actual - expected).detach().norm() / (expected - expected.mean()).detach().norm())


@given(st.sets(st.integers(1, 6)), st.integers(400, 20_000))
def test_every_way_of_merging_gives_the_same_number_of_frames(cuts, samples):
    ends = [*sorted(cuts), 7]
    runs = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    merged = merge.geometry(KERNELS, STRIDES, runs)
    assert frames(samples, *merged) == frames(samples, KERNELS, STRIDES)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_convolutions_without_anything_between_them_merge_without_loss(norm):
    """With the activation between a run's two convolutions removed, one convolution gives the output of both."""
    model = parent(norm)
    layer = model.wav2vec2.feature_extractor.conv_layers[5]
    layer.activation = torch.nn.Identity()
    if norm == "layer":
        layer.layer_norm = torch.nn.Identity()
    merged, rows = student.build(model, settings(conv_merge=[1, 1, 1, 1, 1, 2]), AUDIO)
    assert distance(merged.eval()(WAVEFORM).logits, model(WAVEFORM).logits) < 0.02
    how = {row["to"]: row["how"] for row in rows}
    assert how["wav2vec2.feature_extractor.conv_layers.5.conv.weight"] == "fitted"
    assert how["wav2vec2.feature_extractor.conv_layers.4.conv.weight"] == "whole"


def test_every_tensor_is_said_to_be_of_a_tensor_that_the_parent_has():
    own = {row["from"] for row in student.build(parent(), settings(conv_merge=[2, 2, 2, 1]), AUDIO)[1]}
    assert own - {None} < set(parent().state_dict())


def test_the_first_run_keeps_its_parents_spread_through_the_group_norm():
    model = parent()
    model.wav2vec2.feature_extractor.conv_layers[0].activation = torch.nn.Identity()
    merged, _ = student.build(model, settings(conv_merge=[2, 1, 1, 1, 1, 1]), AUDIO)
    with torch.no_grad():
        zeroth, second = model.wav2vec2.feature_extractor.conv_layers[:2]
        first = merged.wav2vec2.feature_extractor.conv_layers[0]
        normalized = first.layer_norm(first.conv(AUDIO[3][:, None]))
        expected = second.conv(zeroth(AUDIO[3][:, None]))
    assert distance(normalized, expected) < 0.05  # the spread of one utterance differs from the spread of all


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_each_merged_convolution_is_the_best_one_for_what_those_before_it_give(norm):
    """A step along the gradient of the squared error, of the best length, lowers it by less than 1%."""
    model = parent(norm)
    merged, _ = student.build(model, settings(conv_merge=[2, 2, 2, 1]), AUDIO)
    layers, wanted = merged.wav2vec2.feature_extractor.conv_layers, model.wav2vec2.feature_extractor.conv_layers
    with torch.no_grad():
        inputs = [layers[0](audio[:, None]) for audio in AUDIO]
        targets = [wanted[3].conv(wanted[2](wanted[1](wanted[0](audio[:, None])))) for audio in AUDIO]
    conv = layers[1].conv
    errors = torch.cat([(conv(x) - y).flatten() for x, y in zip(inputs, targets, strict=True)])
    (slope,) = torch.autograd.grad(errors.square().sum(), [conv.weight])
    step = torch.cat([torch.nn.functional.conv1d(x, slope, stride=conv.stride).flatten() for x in inputs])
    errors = errors.detach()
    assert (errors @ step) ** 2 / (step @ step) / (errors @ errors) < 0.01


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_a_student_of_four_convolutions_is_nearer_to_its_parent_than_a_fresh_one(norm, tmp_path):
    model = parent(norm)
    merged, rows = student.build(model, settings(conv_merge=[2, 2, 2, 1]), AUDIO)
    assert merged.config.conv_kernel == [20, 7, 5, 2] and merged.config.conv_stride == [10, 4, 4, 2]
    assert [row["to"] for row in rows if row["how"] == "fresh"] == []
    merged.save_pretrained(tmp_path)
    again = AutoModelForCTC.from_pretrained(tmp_path).eval()
    fresh = type(model)(merged.config).eval()
    fresh.load_state_dict({k: v for k, v in merged.state_dict().items() if "conv_layers" not in k}, strict=False)
    expected = model(WAVEFORM).logits
    assert distance(again(WAVEFORM).logits, expected) < 0.7 * distance(fresh(WAVEFORM).logits, expected)


def test_runs_that_dont_add_up_are_refused():
    with pytest.raises(BigfootError, match=r"conv_merge \[2, 2\]"):
        student.build(parent(), settings(conv_merge=[2, 2]), AUDIO)
