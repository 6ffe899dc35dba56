"""Losses hear real frames only, and are what their formulas say."""

import pytest
import torch

from pipeline import losses

GEN = torch.Generator().manual_seed(3)


def test_kl_of_equal_logits_is_zero_and_of_others_positive():
    a, b = torch.randn(2, 2, 5, 4, generator=GEN)
    frames = torch.tensor([5, 5])
    assert losses.kl_loss(a, a, frames, 2.0).item() == pytest.approx(0, abs=1e-6)
    assert losses.kl_loss(a, b, frames, 2.0).item() > 0


def test_kl_is_the_formula_by_hand():
    student, teacher = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[2.0, 0.0]]])
    p = torch.softmax(torch.tensor([1.0, 0.0]), 0)  # at temperature 2
    by_hand = 4 * (p * (p / 0.5).log()).sum()
    assert losses.kl_loss(student, teacher, torch.tensor([1]), 2.0).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_padding_frames_change_no_loss():
    """What stands in padding frames must not matter: neither to the KL nor to the CTC loss."""
    logits, teacher = torch.randn(2, 2, 6, 4, generator=GEN)
    frames, labels, lengths = torch.tensor([6, 3]), torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1])
    before = losses.kl_loss(logits, teacher, frames, 1.0), losses.ctc_loss(logits, frames, labels, lengths, 0)
    logits, teacher = logits.clone(), teacher.clone()
    logits[1, 3:], teacher[1, 3:] = 50.0, -50.0
    after = losses.kl_loss(logits, teacher, frames, 1.0), losses.ctc_loss(logits, frames, labels, lengths, 0)
    assert torch.equal(before[0], after[0]) and torch.equal(before[1], after[1])


def test_ctc_is_the_likelihood_of_all_paths():
    """Two frames, label [1]: the paths are 1-, -1 and 11."""
    logits = torch.tensor([[[0.2, 0.9, -1.0], [0.5, 0.1, 0.3]]])
    p = logits.softmax(-1)[0]
    likelihood = p[0, 1] * p[1, 0] + p[0, 0] * p[1, 1] + p[0, 1] * p[1, 1]
    loss = losses.ctc_loss(logits, torch.tensor([2]), torch.tensor([[1]]), torch.tensor([1]), blank=0)
    assert loss.item() == pytest.approx(-likelihood.log().item(), rel=1e-5)
