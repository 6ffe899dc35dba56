"""Every tensor of a student has a named origin, and the whole loads as any wav2vec 2.0 model."""

import copy

import torch
from transformers import AutoModelForCTC, Wav2Vec2ForCTC

from pipeline.distill.surgery import student
from tests.distill.surgery.parents import AUDIO, WAVEFORM, parent, settings


def test_a_student_in_all_dimensions_loads_as_any_wav2vec2(tmp_path):
    small, rows = student.build(parent(), settings(layers=2, hidden=24, heads=2, feed_forward=48, conv_channels=8))
    small.save_pretrained(tmp_path)
    again = AutoModelForCTC.from_pretrained(tmp_path).eval()
    assert torch.equal(again(WAVEFORM).logits, small.eval()(WAVEFORM).logits)
    assert sum(p.numel() for p in small.parameters()) < 0.2 * sum(p.numel() for p in parent().parameters())
    assert [row["to"] for row in rows if row["how"] == "fresh"] == []


def test_what_is_not_initialized_is_listed():
    _, rows = student.build(parent(), settings(hidden=18, heads=2))  # 18 channels can't be shared out over 4 groups
    fresh = [row["to"] for row in rows if row["from"] is None]
    assert fresh == [f"wav2vec2.{student.GAIN}", f"wav2vec2.{student.DIRECTION}"]


def test_a_student_may_learn_with_specaugment_where_its_parent_did_not():
    """transformers makes the mask's embedding only where SpecAugment is on: the student's is new then."""
    old = parent()
    config = copy.deepcopy(old.config)
    config.mask_time_prob = config.mask_feature_prob = 0.0
    plain = Wav2Vec2ForCTC(config)
    assert "wav2vec2.masked_spec_embed" not in plain.state_dict()
    _, rows = student.build(plain, settings(layers=2, config={"mask_time_prob": 0.1}))
    assert [row["to"] for row in rows if row["from"] is None] == ["wav2vec2.masked_spec_embed"]


def test_a_student_from_scratch_has_the_same_shape_and_nothing_of_its_parent():
    shape = {"layers": 2, "hidden": 24, "heads": 2, "feed_forward": 48, "conv_channels": 8, "frame_rate": 25}
    cut, _ = student.build(parent(), settings(**shape), AUDIO)
    new, rows = student.build(parent(), settings(**shape, init="scratch"))
    assert new.config.to_dict() == cut.config.to_dict()
    assert {name: w.shape for name, w in new.state_dict().items()} == {name: w.shape for name, w in cut.state_dict().items()}
    assert {row["from"] for row in rows} == {None} and [row["to"] for row in rows] == list(new.state_dict())
    again, _ = student.build(parent(), settings(**shape, init="scratch"))
    assert torch.equal(new.lm_head.weight, again.lm_head.weight) and not torch.equal(new.lm_head.weight, cut.lm_head.weight)
