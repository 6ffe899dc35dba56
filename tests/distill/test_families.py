"""A teacher of every family is fine-tuned, and a student of half its frames distilled from it, int8 rounding included."""

import json

import pytest
import torch
from transformers import AutoModelForCTC

from tests import tones
from tests.tiny import save_model


@pytest.mark.parametrize("family", ["hubert", "wavlm", "data2vec-audio"])
def test_fine_tuning_and_distillation(family, tmp_path):
    def change(chosen: dict) -> None:
        run = {key: value for key, value in chosen["teacher"]["training"].items() if key != "grow"} | {"steps": 4}
        run |= {"evaluate_every": 2, "freeze_feature_encoder_steps": 2}
        chosen["teacher"] = {"init": "pretrained", "data": "data/hub", "training": run}
        narrow = {"layers": 1, "hidden": 16, "feed_forward": 32, "conv_channels": 8, "conv_merge": [2, 2, 2, 1]}
        narrow |= {"frame_rate": 25}
        student = {"from": "teacher", "quantize_aware": True, "training": {**run, "freeze_feature_encoder_steps": 0}}
        chosen["students"] = {"small": {**student, **narrow, "distillation": {"teacher": "online"}}}
        chosen["variants"] = {"teacher-fp32": {"model": "teacher", "scheme": "fp32"}}

    folder = tones.project(tmp_path / "project", steps=20, change=change)
    before = save_model(folder / "data/hub", "layer", family=family)
    tones.run(folder, "teacher")
    tones.run(folder, "teacher_logits")
    tones.run(folder, "student", "small")
    pretrained, teacher, student = (
        AutoModelForCTC.from_pretrained(path) for path in (before, folder / "models/teacher", folder / "models/small")
    )
    assert type(student) is type(teacher) is type(pretrained) and student.config.conv_dim == [8] * 4
    layer = "encoder.layers.0.feed_forward.intermediate_dense.weight"
    assert not torch.equal(pretrained.base_model.get_parameter(layer), teacher.base_model.get_parameter(layer))
    assert set(json.loads((folder / "models/small/int8_ranges.json").read_text())) == {f"conv_layers.{n}" for n in (1, 2, 3)}
