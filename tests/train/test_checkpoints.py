"""A training resumes from the newest checkpoint that is whole; a damaged one is removed, said so, and never read."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch

from pipeline.train import checkpoints
from tests import tones


def saved(folder: Path, step: int, best: int | None) -> Path:
    """A checkpoint as the Trainer leaves it, with a ledger; `best`: the step of the best one so far."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (checkpoint / name).write_bytes(f"{name} of {step}".encode() * 10)
    state = {"best_model_checkpoint": None if best is None else f"/moved/since/checkpoint-{best}"}
    (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    checkpoints.write(checkpoint, [{"step": step, "loss": 1.0}], {"seconds": 1.5, "wh": None})
    return checkpoint


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_ledger_is_read_back(tmp_path):
    checkpoint = saved(tmp_path, 10, best=10)
    ledger = checkpoints.read(checkpoint)
    assert ledger["curve"] == [{"step": 10, "loss": 1.0}] and ledger["before"] == {"seconds": 1.5, "wh": None}
    assert checkpoints.latest(tmp_path) == checkpoint and checkpoints.latest(tmp_path / "nothing") is None


@pytest.mark.shows("damaged", "a file of a checkpoint, cut off, flipped or gone", "it is removed, and the one before taken")
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json", "ledger.json"])
def test_a_damaged_checkpoint_is_removed_and_the_one_before_taken(tmp_path, caplog, name, damage):
    before, damaged = saved(tmp_path, 10, best=10), saved(tmp_path, 20, best=10)
    damage(damaged / name)
    assert checkpoints.latest(tmp_path) == before and not damaged.exists()
    said = [record for record in caplog.messages if name in record and "checkpoint-20" in record]
    assert len(said) == (0 if name == "ledger.json" and damage is Path.unlink else 1)  # that is how a kill leaves one


@pytest.mark.shows("damaged", "a checkpoint's ledger that is none", "the one before is taken")
@pytest.mark.parametrize("content", [b"null", b"[]", b"{}", b"\xff", b'{"curve": 1, "before": {}, "files": {}}'])
def test_a_ledger_that_is_none_is_no_traceback(tmp_path, content):
    before, damaged = saved(tmp_path, 10, best=10), saved(tmp_path, 20, best=20)
    (damaged / "ledger.json").write_bytes(content)
    assert checkpoints.latest(tmp_path) == before


def test_a_checkpoint_whose_best_one_is_lost_is_not_resumed_from(tmp_path, caplog):
    """The Trainer would end with the last weights instead of the best, without a word."""
    flip(saved(tmp_path, 10, best=10) / "model.safetensors")
    saved(tmp_path, 20, best=10)
    assert checkpoints.latest(tmp_path) is None
    assert "checkpoint-20 goes on to a best one that is lost, checkpoint-10" in caplog.text


@pytest.mark.slow
def test_a_training_whose_last_checkpoint_was_cut_off_ends_as_an_undisturbed_one(tmp_path, caplog):
    undisturbed = tones.project(tmp_path / "a", steps=30)
    tones.run(undisturbed, "teacher")
    disturbed = Path(shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=shutil.ignore_patterns("models")))
    tones.kill_at(disturbed, 20)
    (last,) = disturbed.glob(".bigfoot/checkpoints/teacher/*/checkpoint-20")
    cut(last / "optimizer.pt")
    with caplog.at_level(logging.INFO):
        tones.run(disturbed, "teacher")
    assert "optimizer.pt has" in caplog.text and "resuming from step 10" in caplog.text
    a, b = tones.weights(undisturbed), tones.weights(disturbed)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert tones.curve(undisturbed) == tones.curve(disturbed)


def test_only_those_named_are_kept(tmp_path):
    for step in (3, 6):
        saved(tmp_path, step, best=6)
    checkpoints.keep_only(tmp_path, {"checkpoint-6"})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-6"]
