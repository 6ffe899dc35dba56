"""A student's losses count real frames only, equal their formulas by hand, and change their weights during the run."""

import pytest
import torch
from pydantic import ValidationError

from pipeline.distill import loss
from pipeline.distill.loss import Imitation, kl_loss
from pipeline.params import Distillation
from pipeline.train.ctc import ctc_loss
from tests.distill.surgery.parents import parent

GEN = torch.Generator().manual_seed(3)


def test_kl_of_equal_logits_is_zero_and_of_others_positive():
    a, b = torch.randn(2, 2, 5, 4, generator=GEN)
    frames = torch.tensor([5, 5])
    assert kl_loss(a, a, frames, 2.0).item() == pytest.approx(0, abs=1e-6)
    assert kl_loss(a, b, frames, 2.0).item() > 0


def test_kl_is_the_formula_by_hand():
    student, teacher = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[2.0, 0.0]]])
    p = torch.softmax(torch.tensor([1.0, 0.0]), 0)  # at temperature 2
    by_hand = 4 * (p * (p / 0.5).log()).sum()
    assert kl_loss(student, teacher, torch.tensor([1]), 2.0).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_padding_frames_change_nothing():
    student, teacher = torch.randn(2, 2, 6, 4, generator=GEN)
    frames = torch.tensor([6, 3])
    before = kl_loss(student, teacher, frames, 1.0)
    student, teacher = student.clone(), teacher.clone()
    student[1, 3:], teacher[1, 3:] = 50.0, -50.0
    assert torch.equal(kl_loss(student, teacher, frames, 1.0), before)


def test_a_batch_without_real_frames_teaches_nothing():
    """As of utterances that are shorter than a frame of a student with few frames."""
    student = torch.randn(2, 3, 4, generator=GEN).requires_grad_()
    loss = kl_loss(student, torch.randn(2, 3, 4, generator=GEN), torch.tensor([0, 0]), 1.0)
    loss.backward()
    assert loss == 0 and not student.grad.any()


@pytest.mark.parametrize(("ramp", "done", "value"), [(2.0, 0.3, 2.0), ((1.0, 0.0), 0.25, 0.75), ((0.0, 4.0), 1.0, 4.0)])
def test_weights_go_from_first_to_second(ramp, done, value):
    assert loss.at(ramp, done) == pytest.approx(value)


def batch() -> dict:
    """Two utterances of 0.5 and 0.3 s, the second padded."""
    samples = torch.tensor([8000, 4800])
    mask = (torch.arange(8000)[None] < samples[:, None]).long()
    frames = parent()._get_feat_extract_output_lengths(samples)
    labels, lengths = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    inputs = torch.randn(2, 8000, generator=torch.Generator().manual_seed(9)) * mask
    return {"input_values": inputs, "attention_mask": mask, "frames": frames, "labels": labels, "label_lengths": lengths}


def test_an_online_teacher_gives_the_same_loss_as_stored_logits():
    student, inputs = parent(), batch()
    with torch.no_grad():
        for weight in student.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=GEN))
    settings = Distillation(kl_weight=1.0, ctc_weight=0.5)
    online = Imitation(Distillation(kl_weight=1.0, ctc_weight=0.5, teacher="online"), 0, parent())
    logits = online.teacher(inputs["input_values"], attention_mask=inputs["attention_mask"]).logits
    stored = Imitation(settings, 0)(student, inputs | {"teacher_logits": logits}, 0.5)
    assert torch.allclose(online(student, inputs, 0.5), stored)
    own = student(inputs["input_values"], attention_mask=inputs["attention_mask"]).logits
    by_hand = kl_loss(own, logits, inputs["frames"], 1.0) + 0.5 * ctc_loss(
        own, inputs["frames"], inputs["labels"], inputs["label_lengths"], 0
    )
    assert torch.allclose(stored, by_hand)


def test_all_weights_zero_is_refused():
    with pytest.raises(ValidationError, match="nothing to learn from"):
        Distillation(kl_weight=0.0, ctc_weight=(0.0, 0.0))
