"""The figures of pipeline.lab.surgery: divergence from the teacher, and how well two importances agree."""

import copy

import pytest
import torch

from pipeline.distill.surgery import importance
from pipeline.lab.surgery import mean_kl, rank_correlations
from tests.distill.surgery.parents import AUDIO, parent


def test_a_copy_of_the_teacher_has_no_divergence_and_another_model_has_its_mean_over_frames():
    teacher = parent()
    with torch.no_grad():
        wanted = [teacher(audio).logits[0].log_softmax(-1) for audio in AUDIO]
        assert mean_kl(wanted, copy.deepcopy(teacher), AUDIO) == pytest.approx(0, abs=1e-6)
        other = copy.deepcopy(teacher)
        other.lm_head.weight.zero_()
        other.lm_head.bias.zero_()  # each of 12 tokens is as likely as any other, so KL = log 12 - entropy
    frames = torch.cat(wanted)
    entropy = -(frames.exp() * frames).sum(-1).mean()
    assert mean_kl(wanted, other, AUDIO) == pytest.approx(float(torch.tensor(12.0).log() - entropy), rel=1e-4)


def test_ranks_of_equal_importances_agree_and_of_opposite_ones_disagree():
    scores = importance.of_weights(parent(), [0, 3])
    opposite = importance.Importance(
        stream=-scores.stream, **{key: [-each for each in part] for key, part in vars(scores).items() if key != "stream"}
    )
    assert rank_correlations(scores, scores) == pytest.approx([1.0] * 4)
    assert rank_correlations(scores, opposite) == pytest.approx([-1.0] * 4)
