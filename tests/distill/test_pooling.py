"""Frames of the teacher become one of a slower student's without losing what they write."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.distill.loss import Imitation
from pipeline.distill.pooling import pooled, pooled_states
from pipeline.distill.surgery import student
from pipeline.models.inference import padded
from pipeline.params import Distillation
from tests.distill.surgery.parents import AUDIO, parent, settings

BLANK, A, B = 0, 1, 2


def test_it_is_what_was_calculated_by_hand():
    frames = torch.tensor(
        [[0.1, 0.8, 0.1], [0.9, 0.0, 0.1],  # a is written; then it is blank
         [0.5, 0.25, 0.25], [0.5, 0.25, 0.25],
         [0.8, 0.2, 0.0]]  # left over: part of the frame before
    )  # fmt: skip
    one = [0.1 * 0.9, (1 - 0.09) * 0.8 / (0.8 + 0.2), (1 - 0.09) * 0.2 / (0.8 + 0.2)]
    silent = 0.5 * 0.5 * 0.8
    two = [silent, (1 - silent) * 0.7 / 1.2, (1 - silent) * 0.5 / 1.2]
    np.testing.assert_allclose(pooled(frames.log(), 2, BLANK).exp(), [one, two], atol=1e-6)


def test_a_peak_beside_a_blank_stays_the_likeliest_token():
    frames = torch.tensor([[0.45, 0.55, 0.0], [1.0, 0.0, 0.0]])
    assert frames.mean(0).argmax() == BLANK and pooled(frames.log(), 2, BLANK)[0].argmax() == A


@given(st.integers(0, 40), st.integers(1, 5), st.floats(0.1, 200))
def test_every_frame_is_a_distribution_whatever_the_length_and_the_confidence(frames, factor, scale):
    logits = scale * torch.randn(frames, 5, generator=torch.Generator().manual_seed(frames))
    rows = pooled(logits.half(), factor, blank=3)
    assert rows.shape == (frames // factor, 5) and torch.isfinite(rows).all()
    torch.testing.assert_close(rows.exp().sum(-1), torch.ones(frames // factor), atol=1e-4, rtol=0)
    if factor == 1:
        torch.testing.assert_close(rows.exp(), logits.half().float().softmax(-1), atol=1e-4, rtol=0)


def test_hidden_states_are_means_and_what_is_left_over_is_not_used():
    hidden = torch.tensor([[[1.0], [3.0], [5.0], [9.0], [100.0]]])
    assert pooled_states(hidden, 2, 2).tolist() == [[[2.0], [7.0]]]


def batch(model) -> dict:
    """Two utterances, the second padded, of 24 and 15 frames of the teacher: 12 and 7 of the student."""
    samples = torch.tensor([8000, 4900])
    mask = (torch.arange(8000)[None] < samples[:, None]).long()
    frames = model._get_feat_extract_output_lengths(samples)
    assert frames.tolist() == [12, 7]
    inputs = torch.randn(2, 8000, generator=torch.Generator().manual_seed(9)) * mask
    return {
        "input_values": inputs, "attention_mask": mask, "frames": frames, "labels": torch.tensor([[1, 2, 3], [4, 5, 0]]),
        "label_lengths": torch.tensor([3, 2]),
    }  # fmt: skip


def test_an_online_teacher_is_pooled_as_its_stored_logits_and_padding_counts_for_nothing():
    slow, _ = student.build(parent(), settings(frame_rate=25), AUDIO)
    inputs, wanted = batch(slow.eval()), {"kl_weight": 1.0, "ctc_weight": 0.5, "temperature": 2.0}
    online = Imitation(Distillation(teacher="online", **wanted), 0, parent(), factor=2)
    with torch.no_grad():
        full = online.teacher(inputs["input_values"], attention_mask=inputs["attention_mask"]).logits
    rows = padded([pooled(full[0], 2, 0), pooled(full[1, :15], 2, 0)])
    stored = Imitation(Distillation(**wanted), 0, factor=2)(slow, inputs | {"teacher_logits": rows}, 0.5)
    assert torch.equal(online(slow, inputs, 0.5), stored)


def test_hidden_states_of_a_faster_teacher_pull_the_student():
    slow, _ = student.build(parent(), settings(frame_rate=25), AUDIO)
    wanted = Distillation(kl_weight=0.0, ctc_weight=0.0, hidden_weight=1.0, teacher="online")
    loss = Imitation(wanted, 0, parent(), factor=2)(slow, batch(slow), 0.0)
    loss.backward()
    assert math.isfinite(loss.item()) and slow.wav2vec2.encoder.layers[1].feed_forward.output_dense.weight.grad.norm() > 0


def test_no_gradient_is_nan_where_the_teacher_is_certain():
    rows = pooled(torch.tensor([[200.0, 0.0, 0.0]] * 4), 2, BLANK)
    own = torch.zeros(2, 3, requires_grad=True)
    (rows.exp() * (rows - own.log_softmax(-1))).sum().backward()
    assert torch.isfinite(own.grad).all()
    assert rows.exp()[:, BLANK].tolist() == pytest.approx([1.0, 1.0])
