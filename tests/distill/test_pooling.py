"""Frames of the teacher become one of a slower student's without losing what they write."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.distill.loss import Imitation
from pipeline.distill.pooling import pooled
from pipeline.distill.surgery import student
from pipeline.models.inference import padded
from pipeline.params import Distillation
from pipeline.speech import text
from tests.distill.surgery.parents import AUDIO, parent, settings

BLANK, A, B = 0, 1, 2
TEXTS = ["", "a", "b"]


def distributions(path: list[int], likely: list[float]) -> torch.Tensor:
    """[frames, 3]: each frame's token with its probability, the other two with half of the rest each."""
    rows = ((1 - torch.tensor(likely)) / 2)[:, None].repeat(1, 3)
    rows[torch.arange(len(path)), path] = torch.tensor(likely)
    return rows


def pool(rows: torch.Tensor, factor: int = 2) -> torch.Tensor:
    """The same for distributions, as distributions."""
    return pooled(rows.log(), factor, BLANK).exp()


def test_it_is_what_was_worked_out_by_hand():
    """Both characters are written in frames 1 and 2, so at 0.25 and 0.75 of the student's: the nearest two are 0 and 1."""
    rows = distributions([BLANK, A, B, B, BLANK, BLANK], [0.9, 0.6, 0.7, 0.8, 0.9, 0.5])
    torch.testing.assert_close(pool(rows), torch.stack([rows[1], rows[3], (rows[4] + rows[5]) / 2]))


def test_characters_that_share_no_frame_stay_where_they_are():
    path = [BLANK, A, BLANK, BLANK, B, BLANK, BLANK, BLANK, BLANK, A]
    assert pool(distributions(path, [0.8] * 10)).argmax(-1).tolist() == [A, BLANK, B, BLANK, A]


def test_a_repeated_character_keeps_a_blank_before_it():
    path = [BLANK, BLANK, A, BLANK, A, BLANK, BLANK, BLANK]
    assert pool(distributions(path, [0.8] * 8)).argmax(-1).tolist() in ([A, BLANK, A, BLANK], [BLANK, A, BLANK, A])


def test_a_character_in_the_frame_that_is_left_over_goes_to_the_last_one():
    assert pool(distributions([BLANK, BLANK, BLANK, BLANK, B], [0.8] * 5)).argmax(-1).tolist() == [BLANK, B]


def test_the_least_likely_characters_are_left_out_where_there_is_no_room():
    assert pool(distributions([A, B, A, B], [0.9, 0.5, 0.4, 0.8])).argmax(-1).tolist() == [A, B]


def test_text_without_a_blank_is_read_as_it_is():
    assert pool(distributions([A, A, A, A, B, B, B, B], [0.9, 0.9, 0.9, 0.4, 0.9, 0.9, 0.9, 0.9])).argmax(-1).tolist() in (
        [A, BLANK, B, BLANK], [A, BLANK, BLANK, B], [BLANK, A, B, BLANK], [A, B, BLANK, BLANK], [BLANK, A, BLANK, B],
    )  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from([BLANK, BLANK, A, B]), st.floats(0.35, 1.0)), min_size=1, max_size=40), st.integers(1, 4)
)
def test_what_is_pooled_reads_as_the_teachers_text_wherever_this_fits(frames, factor):
    path, likely = zip(*frames, strict=True)
    rows = pool(distributions(path, likely), factor)
    assert rows.shape == (len(path) // factor, 3) and torch.isfinite(rows.log()).all()
    torch.testing.assert_close(rows.sum(-1), torch.ones(len(rows)))
    read, expected = (text.greedy(each, TEXTS, BLANK) for each in (rows.argmax(-1), path))
    if text.frames_needed(expected) <= len(rows):
        assert read == expected
    else:
        assert len(read) < len(expected)


@given(st.floats(0.1, 1_000))
def test_logits_in_half_precision_of_any_size_give_finite_log_probabilities(scale):
    logits = (scale * torch.randn(9, 5, generator=torch.Generator().manual_seed(1))).half()
    assert torch.isfinite(pooled(logits, 2, blank=3)).all()


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
