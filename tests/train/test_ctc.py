"""The CTC loss uses real frames only and equals its formula."""

import pytest
import torch

from pipeline.train.ctc import ctc_loss

GEN = torch.Generator().manual_seed(3)


def test_padding_frames_change_nothing():
    logits = torch.randn(2, 6, 4, generator=GEN)
    frames, labels, lengths = torch.tensor([6, 3]), torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1])
    before = ctc_loss(logits, frames, labels, lengths, 0)
    logits = logits.clone()
    logits[1, 3:] = 50.0
    assert torch.equal(before, ctc_loss(logits, frames, labels, lengths, 0))


def test_ctc_is_the_likelihood_of_all_paths():
    """Two frames, label [1]: the paths are 1-, -1 and 11."""
    logits = torch.tensor([[[0.2, 0.9, -1.0], [0.5, 0.1, 0.3]]])
    p = logits.softmax(-1)[0]
    likelihood = p[0, 1] * p[1, 0] + p[0, 0] * p[1, 1] + p[0, 1] * p[1, 1]
    loss = ctc_loss(logits, torch.tensor([2]), torch.tensor([[1]]), torch.tensor([1]), blank=0)
    assert loss.item() == pytest.approx(-likelihood.log().item(), rel=1e-5)
