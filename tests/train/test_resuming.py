"""A training that was killed goes on where it was, and ends as an undisturbed one: real processes, real kills."""

import json
import logging
import math
import re
import shutil

import pytest
import torch

from pipeline.common.errors import BigfootError
from pipeline.train import finished, trainer
from pipeline.train.ctc import ctc_loss
from tests import tones
from tests.train.test_launch import ACCELERATE


def test_a_run_killed_midway_ends_with_the_same_weights(tmp_path, caplog):
    undisturbed = tones.project(tmp_path / "a", steps=30)
    disturbed = tones.project(tmp_path / "b", steps=30)
    tones.run(undisturbed, "teacher")

    tones.kill_at(disturbed, 10)
    assert not (disturbed / "models/teacher/model.safetensors").exists()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        tones.run(disturbed, "teacher")

    assert "resuming from step" in caplog.text
    a, b = tones.weights(undisturbed), tones.weights(disturbed)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert tones.curve(undisturbed) == tones.curve(disturbed)
    assert not list(disturbed.glob(".bigfoot/checkpoints/teacher/*"))
    metrics = tones.metrics(disturbed)
    assert metrics["steps"] == 30 and metrics["dev_wer"] >= 0 and metrics["train_hours"] > 0 and metrics["fingerprint"]


def test_a_model_that_dvc_has_not_recorded_is_not_trained_again(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "teacher")
    folder = tones.project(tmp_path, steps=30)
    tones.run(folder, "teacher")
    first, lock = tones.weights(folder), folder / "dvc.lock"

    def again() -> str:
        shutil.rmtree(folder / "models/teacher")  # as DVC does before it starts a stage
        caplog.clear()
        with caplog.at_level(logging.INFO):
            tones.run(folder, "teacher")
        weights = tones.weights(folder)
        assert all(torch.equal(first[name], weights[name]) for name in first)
        return caplog.text

    assert "resuming from step 30" in again() and tones.metrics(folder)["steps"] == 30
    lock.write_text("stages:\n  student@half:\n    outs: [{path: models/half, md5: a}]\n")
    finished.remove_recorded(folder / ".bigfoot/checkpoints", lock)
    assert "resuming from step 30" in again(), "another model was recorded"
    lock.write_text("stages:\n  teacher:\n    outs: [{path: models/teacher, md5: a}]\n")
    finished.remove_recorded(folder / ".bigfoot/checkpoints", lock)
    assert "step 10/30" in (text := again()) and "resuming" not in text, "a forced run is one from the beginning"


def test_a_training_that_diverges_ends_with_what_to_do(tmp_path, monkeypatch):
    """By a gradient that is not a number: which learning rate diverges, and when, is another on each kind of CPU."""
    healthy = iter(range(15))
    monkeypatch.setattr(trainer, "ctc_loss", lambda *of: ctc_loss(*of) * (1.0 if next(healthy, None) is not None else math.nan))
    folder = tones.project(tmp_path, steps=60)
    with pytest.raises(BigfootError, match="teacher: at step .* the training has diverged: lower training.learning_rate"):
        tones.run(folder, "teacher")
    assert not (folder / "models/teacher").exists()


def test_a_run_killed_at_a_measurement_and_between_two_ends_with_the_same_weights(tmp_path, caplog):
    """It is measured at steps 30, 60 and 90; its loss is logged there and at every 25th; each is a checkpoint."""

    def measure_late(chosen: dict) -> None:
        chosen["teacher"]["training"]["evaluate_every"] = 30

    undisturbed, disturbed = (tones.project(tmp_path / name, steps=90, change=measure_late) for name in "ab")
    tones.run(undisturbed, "teacher")
    for step in (30, 50):
        tones.kill_at(disturbed, step, first="from pipeline.train import checkpoints; checkpoints.SECONDS = 0")
    caplog.clear()
    with caplog.at_level(logging.INFO):
        tones.run(disturbed, "teacher")
    assert "resuming from step 50" in caplog.text  # so the best one, of step 30, was kept beside it
    a, b = tones.weights(undisturbed), tones.weights(disturbed)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert tones.curve(undisturbed) == tones.curve(disturbed)


def test_what_another_training_left_in_the_folder_is_not_sealed_as_this_ones(tmp_path):
    """Without DVC, which removes a stage's outs first, as where torchrun starts the stage."""
    folder = tones.project(tmp_path, steps=20)
    (folder / "models/teacher").mkdir(parents=True)
    (folder / "models/teacher/few_bits.json").write_text("{}")
    tones.run(folder, "teacher")
    assert not (folder / "models/teacher/few_bits.json").exists()


def test_where_characters_decide_the_checkpoint_with_the_lowest_cer_on_dev_is_kept(tmp_path):
    folder = tones.project(tmp_path, steps=20)
    corpus = folder / "corpora" / "tones" / "train" / "split.json"
    corpus.write_text(json.dumps(json.loads(corpus.read_text()) | {"objective": "cer"}))
    tones.run(folder, "teacher")
    on_dev = {row["step"]: row["dev_cer"] for row in tones.curve(folder) if "dev_cer" in row}
    assert list(on_dev) == [10, 20] and tones.metrics(folder)["dev_cer"] == min(on_dev.values())
    assert on_dev[tones.metrics(folder)["best_step"]] == min(on_dev.values())


@pytest.mark.slow
@pytest.mark.shows("killed", "a training in two processes that talk over gloo", "the same weights")
def test_two_processes_that_are_killed_end_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "teacher")  # so that both end with the stage that started them
    undisturbed, disturbed = (tones.project(tmp_path / name, steps=20) for name in "ab")
    for folder in (undisturbed, disturbed):
        (folder / "accelerate.yaml").write_text(ACCELERATE.format(kind="MULTI_GPU"))
    tones.finished(tones.start(undisturbed, "teacher"))
    tones.kill_at(disturbed, 10)
    assert "resuming from step 10" in tones.finished(tones.start(disturbed, "teacher"))
    a, b = tones.weights(undisturbed), tones.weights(disturbed)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_time_left_is_reckoned_without_the_slow_first_steps(tmp_path, caplog):
    def keep_its_depth(chosen: dict) -> None:
        chosen["teacher"]["training"]["grow"] = []

    with caplog.at_level(logging.INFO):
        tones.run(tones.project(tmp_path, steps=20, change=keep_its_depth), "teacher")
    lines = {step: [line for line in caplog.messages if line.startswith(f"teacher: step {step}/20")] for step in (10, 20)}
    assert lines[10] and not any("left" in line for line in lines[10])
    assert lines[20] and all("0:00 left" in line for line in lines[20])


def test_the_time_left_of_a_model_that_is_to_grow_is_a_least_one(tmp_path, caplog):
    def grow(chosen: dict) -> None:
        chosen["teacher"]["training"] |= {"grow": [[0, 2], [25, 4]], "evaluate_every": 10}

    with caplog.at_level(logging.INFO):
        tones.run(tones.project(tmp_path, steps=50, change=grow), "teacher")
    left = {step: re.search(rf"teacher: step {step}/50 .*?(, [^,]* left|$)", caplog.text, re.M)[1] for step in (20, 30, 40)}
    assert left[20].startswith(", at least ") and not left[30] and "at least" not in left[40]


def test_a_training_that_patience_ends_says_how_high_the_learning_rate_still_is(tmp_path, caplog):
    """No words are right at first, so the best dev WER is the first one, at step 2: it stops at 4, with 4 steps left of 8."""

    def stop_early(chosen: dict) -> None:
        chosen["teacher"]["training"] |= {"patience": 1, "learning_rate": 1e-12, "evaluate_every": 2, "warmup": 0.0, "grow": []}

    folder = tones.project(tmp_path, steps=8, change=stop_early)
    with caplog.at_level(logging.WARNING):
        tones.run(folder, "teacher")
    assert "step 4 of 8, with the learning rate at 50% of its highest" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("step", [20, 30])
def test_patience_counts_on_where_a_kill_left_it(tmp_path, step):
    """A teacher that learns nothing has its best dev WER at step 10; with a patience of 2 it stops at 30, killed or not."""

    def learn_nothing(chosen: dict) -> None:
        chosen["teacher"]["training"] |= {"patience": 2, "learning_rate": 1e-12}

    folder = tones.project(tmp_path, steps=60, change=learn_nothing)
    never_saved = "import time; from pipeline.train import trainer; trainer.save_model = lambda *_: time.sleep(60)"
    tones.kill_at(folder, step, first=never_saved)
    tones.run(folder, "teacher")
    assert tones.metrics(folder)["steps"] == 30 and tones.metrics(folder)["best_step"] == 10
