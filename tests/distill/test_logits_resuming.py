"""teacher_logits after a kill, and in two processes, ends with the bytes of an undisturbed run: real processes, real kills."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.speech.shards import Utterance
from tests import corpora, tones
from tests.tiny import save_model
from tests.train.test_launch import ACCELERATE

UTTERANCES = 800  # at three speeds five files


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A project with a teacher and many short utterances."""

    def change(chosen: dict) -> None:
        chosen["logits"] = {"speeds": [1.0, 0.9, 1.1], "top_k": 5, "features": True}

    folder = tones.project(tmp_path_factory.mktemp("project"), steps=20, change=change)
    save_model(folder / "models/teacher", layers=1)
    rng = np.random.default_rng(1)
    lengths = rng.integers(3200, 9600, UTTERANCES)
    rows = [(Utterance(f"u{i}", "one", "", n / 16000), 0.1 * rng.standard_normal(n)) for i, n in enumerate(lengths)]
    corpora.write(folder / "corpora/tones", {"train": rows[:700], "dev": rows[:1], "test": rows[:1], "unlabelled": rows[700:]})
    return folder


@pytest.fixture(scope="module")
def undisturbed(made) -> dict[str, bytes]:
    tones.run(made, "teacher_logits")
    return stored(made)


@pytest.fixture
def folder(made, undisturbed) -> Path:
    """That project, as if nothing was stored yet."""
    for file in (made / "logits/teacher").iterdir():
        file.unlink()
    return made


def stored(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "logits/teacher").iterdir()}


def unfinished(folder: Path) -> list[Path]:
    return sorted(folder.glob(".bigfoot/checkpoints/teacher_logits/*/*.safetensors"))


def test_a_run_killed_midway_makes_only_what_is_missing_and_ends_with_the_same_bytes(folder, undisturbed):
    killed = tones.start(folder, "teacher_logits")
    deadline = time.monotonic() + 240
    while len(unfinished(folder)) < 2:
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    before = {path: path.stat().st_mtime_ns for path in unfinished(folder)}
    assert not (folder / "logits/teacher/index.json").exists()

    output = tones.finished(tones.start(folder, "teacher_logits"))
    assert f"in 5 files, {5 - len(before)} of them to be made, in float32 by 1 x cpu" in output
    assert stored(folder) == undisturbed
    kept = {(folder / "logits/teacher" / path.name).stat().st_mtime_ns for path in before}
    assert kept == set(before.values())
    assert not list(folder.glob(".bigfoot/checkpoints/teacher_logits/*"))


@pytest.mark.slow
def test_two_processes_share_the_files_and_write_the_same_bytes(folder, undisturbed):
    (folder / "accelerate.yaml").write_text(ACCELERATE.format(kind="MULTI_GPU"))
    try:
        output = tones.finished(tones.start(folder, "teacher_logits"))
    finally:
        (folder / "accelerate.yaml").unlink()
    assert output.count("5 of them to be made, in float32 by 2 x cpu") == 1
    assert stored(folder) == undisturbed


@pytest.mark.slow
@pytest.mark.shows("killed", "`teacher_logits` in two processes", "the same files")
def test_two_processes_that_are_killed_end_with_the_same_bytes(folder, undisturbed, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "teacher_logits")  # so that both end with the stage that started them
    (folder / "accelerate.yaml").write_text(ACCELERATE.format(kind="MULTI_GPU"))
    try:
        killed = tones.start(folder, "teacher_logits")
        while not unfinished(folder):
            assert killed.poll() is None
            time.sleep(0.005)
        killed.kill()
        killed.wait()
        assert not (folder / "logits/teacher/index.json").exists()
        tones.finished(tones.start(folder, "teacher_logits"))
    finally:
        (folder / "accelerate.yaml").unlink()
    assert stored(folder) == undisturbed
