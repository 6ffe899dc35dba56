"""A student's losses count real frames only, equal their formulas by hand, and change their weights during the run."""

import pytest
import torch
from pydantic import ValidationError

from pipeline.distill import loss
from pipeline.distill.loss import Imitation, kl_loss, similarity_loss
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


def test_similarity_ignores_width_and_rotation_and_depends_on_which_frames_are_alike():
    hidden, frames = torch.randn(2, 6, 8, generator=GEN), torch.tensor([6, 4])
    rotation, _ = torch.linalg.qr(torch.randn(8, 8, generator=GEN))
    wider = torch.cat([hidden @ rotation, torch.zeros(2, 6, 3)], -1)
    assert similarity_loss(hidden, wider, frames).item() == pytest.approx(0, abs=1e-6)
    assert similarity_loss(hidden, hidden.flip(1), frames).item() > 0.01


def test_similarity_is_the_formula_by_hand():
    student = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])  # cosines 1 0 0 1
    teacher = torch.tensor([[[2.0, 0.0], [3.0, 0.0]]])  # cosines 1 1 1 1
    assert similarity_loss(student, teacher, torch.tensor([2])).item() == pytest.approx(0.5)


def test_padding_frames_change_nothing():
    student, teacher = torch.randn(2, 2, 6, 4, generator=GEN)
    frames = torch.tensor([6, 3])
    before = kl_loss(student, teacher, frames, 1.0), similarity_loss(student, teacher, frames)
    student, teacher = student.clone(), teacher.clone()
    student[1, 3:], teacher[1, 3:] = 50.0, -50.0
    assert torch.equal(kl_loss(student, teacher, frames, 1.0), before[0])
    assert torch.equal(similarity_loss(student, teacher, frames), before[1])


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


def test_hidden_states_pull_the_student_and_leave_the_teacher_alone():
    student, teacher = parent(), parent()
    with torch.no_grad():
        student.wav2vec2.encoder.layers[1].feed_forward.output_dense.weight.mul_(-30)
    objective = Imitation(Distillation(kl_weight=0.0, ctc_weight=0.0, hidden_weight=1.0, teacher="online"), 0, teacher)
    loss = objective(student, batch(), 0.0)
    loss.backward()
    assert loss.item() > 1e-4 and student.wav2vec2.encoder.layers[1].feed_forward.output_dense.weight.grad.norm() > 0
    assert all(weight.grad is None for weight in teacher.parameters())
    assert objective(teacher, batch(), 0.0).item() == pytest.approx(0, abs=1e-8)


def test_all_weights_zero_and_hidden_states_from_the_store_are_refused():
    with pytest.raises(ValidationError, match="nothing to learn from"):
        Distillation(kl_weight=0.0, ctc_weight=(0.0, 0.0))
    with pytest.raises(ValidationError, match="set teacher to online"):
        Distillation(hidden_weight=(0.0, 1.0))
