"""The same student from several seeds: pipeline.lab.ablation."""

import json

import pytest
import torch
from safetensors.torch import load_file

from pipeline.common.errors import BigfootError
from pipeline.lab import ablation
from tests import tones


def test_each_seed_trains_a_student_of_its_own_once_and_other_settings_are_refused(tmp_path, monkeypatch):
    def shorten(chosen: dict) -> None:
        chosen["teacher"]["training"] |= {"steps": 4, "evaluate_every": 4, "grow": []}
        chosen["students"]["half"]["training"] |= {"steps": 2, "evaluate_every": 2}
        chosen["logits"]["speeds"] = [1.0]

    folder = tones.project(tmp_path, steps=4, change=shorten)
    for stage in ("teacher", "teacher_logits"):
        tones.run(folder, stage)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    first, second = (ablation.trained("half", seed) for seed in (1, 2))
    assert first["dev"][1] == 12 and first["gate and test"][1] == 24 and second.keys() == first.keys()
    weights = [load_file(f"ablation/half.{seed}/model.safetensors")["lm_head.weight"] for seed in (1, 2)]
    assert not torch.equal(*weights)
    (folder / "ablation/half.1/model.safetensors").unlink()
    assert ablation.trained("half", 1) == first
    found = json.loads((folder / "ablation/half.1/errors.json").read_text())
    found["origin"]["settings"]["training"]["steps"] = 3
    (folder / "ablation/half.1/errors.json").write_text(json.dumps(found))
    with pytest.raises(BigfootError, match=r"ablation/half\.1 was trained from other settings"):
        ablation.trained("half", 1)
    with pytest.raises(BigfootError, match="no student whole"):
        ablation.trained("whole", 1)
