"""A student at half the frame rate has half of its parent's frames, to the frame, and starts from what they hold."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCTC

from pipeline.common.errors import BigfootError
from pipeline.distill.surgery import frame_rate, student
from pipeline.models.folder import load_model, save_model
from pipeline.models.forward import frame_count, frames_per_second
from tests import tiny
from tests.distill.surgery.parents import AUDIO, WAVEFORM, parent, settings

SLOW = {"conv_kernel": [10, 3, 3, 3, 3, 2, 4], "conv_stride": [5, 2, 2, 2, 2, 2, 4]}


def convolutions():
    """Kernels and strides of a feature encoder, a kernel at least as long as its stride."""
    one = st.integers(1, 5).flatmap(lambda stride: st.tuples(st.integers(stride, 2 * stride + 1), st.just(stride)))
    return st.lists(one, min_size=1, max_size=5)


def last_responses(model) -> torch.Tensor:
    """What the last convolution gives for WAVEFORM, before its norm and activation: [channels, frames]."""
    *before, last = model.base_model.feature_extractor.conv_layers
    signal = WAVEFORM[:, None]
    for layer in before:
        signal = layer(signal)
    return last.conv(signal)[0]


@given(convolutions(), st.integers(1, 4), st.integers(0, 5_000))
def test_n_frames_become_n_divided_by_the_factor_at_every_length(layers, factor, samples):
    kernels, strides = (list(each) for each in zip(*layers, strict=True))
    config = SimpleNamespace(
        conv_kernel=kernels, conv_stride=strides, model_type="wav2vec2", num_conv_pos_embeddings=8, mask_time_length=10
    )
    slow = frame_rate.lowered(config, frames_per_second(config) / factor)
    assert max(0, frame_count(slow, samples)) == max(0, frame_count(config, samples)) // factor


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_the_last_convolution_starts_as_the_mean_of_two_responses(norm):
    model = parent(norm)
    slow, rows = student.build(model, settings(frame_rate=25), AUDIO)
    full = last_responses(model)
    torch.testing.assert_close(last_responses(slow), (full[:, 0::2] + full[:, 1::2]) / 2)
    lowered = {row["to"].rsplit(".", 1)[0] for row in rows if row["how"] == "lowered"}
    assert lowered == {
        "wav2vec2.feature_extractor.conv_layers.6.conv", "wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight"
    }  # fmt: skip
    assert all(row["from"] for row in rows)


def test_a_positional_tap_goes_to_the_nearest_taps_in_time():
    # At -2, -1, 0, 1 of the parent's frames, which are -1, -1/2, 0, 1/2 of the student's; that has taps at -1 and 0.
    weight = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    assert frame_rate._fewer_taps(weight, 2, 2).tolist() == [[[1 + 2 / 2, 2 / 2 + 3 + 4]]]


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_opens_it_and_it_starts_near_its_parent(family, tmp_path):
    model, processor = load_model(tiny.save_model(tmp_path / "parent", "layer", family=family))
    slow, _ = student.build(model, settings(frame_rate=25), AUDIO)
    save_model(slow, processor, tmp_path / "slow")
    again = AutoModelForCTC.from_pretrained(tmp_path / "slow").eval()
    assert {key: list(getattr(again.config, key)) for key in SLOW} == SLOW
    for conv, own in zip(frame_rate._positional(model), frame_rate._positional(again), strict=True):
        torch.testing.assert_close(own.weight, frame_rate._fewer_taps(conv.weight, own.kernel_size[0], 2))
    torch.manual_seed(1)
    fresh = type(model)(again.config).eval()
    fresh.lm_head = again.lm_head
    with torch.no_grad():
        full, own, drawn = (each(WAVEFORM).logits[0] for each in (model, again, fresh))
    expected = (full[0::2] + full[1::2]) / 2
    assert own.shape == expected.shape == (12, 32)
    assert (own - expected).norm() < 0.7 * (drawn - expected).norm()


def test_wavlm_reads_its_position_bias_at_twice_the_distance(tmp_path):
    model, _ = load_model(tiny.save_model(tmp_path / "parent", "layer", family="wavlm"))
    slow, _ = student.build(model, settings(frame_rate=25), AUDIO)
    full, own = (each.base_model.encoder.layers[0].attention.compute_bias(60, 60) for each in (model, slow))
    assert torch.equal(own[:, :30, :30], full[:, ::2, ::2])


def test_it_works_with_merged_convolutions_fewer_channels_and_an_own_mask(tmp_path):
    shape = {"conv_merge": [2, 2, 3], "hidden": 24, "heads": 4, "conv_channels": 8, "config": {"mask_time_length": 3}}
    slow, _ = student.build(parent(), settings(frame_rate=25, **shape), AUDIO)
    assert (slow.config.conv_kernel, slow.config.conv_stride) == ([20, 7, 17], [10, 4, 16])
    assert (slow.config.num_conv_pos_embeddings, slow.config.mask_time_length) == (4, 3)
    assert slow(WAVEFORM).logits.shape == (1, 12, 12)


def test_a_child_keeps_its_parents_rate_or_halves_it_again():
    slow, _ = student.build(parent(), settings(frame_rate=25), AUDIO)
    same, rows = student.build(slow, settings(frame_rate=25), AUDIO)
    assert {row["how"] for row in rows} == {"whole"} and same.config.conv_stride == SLOW["conv_stride"]
    slower, _ = student.build(slow, settings(frame_rate=12.5), AUDIO)
    assert slower.config.conv_stride[-1] == 8 and slower(WAVEFORM).logits.shape[1] == 24 // 4


@pytest.mark.parametrize("rate", [20, 49.9, 100])
def test_a_rate_that_does_not_divide_the_parents_is_refused(rate):
    with pytest.raises(BigfootError, match=f"frame_rate {rate:g}: has to be its parent's 50 divided by a whole number"):
        student.build(parent(), settings(frame_rate=rate), AUDIO)
