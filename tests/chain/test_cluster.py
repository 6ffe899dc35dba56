"""What maps over pieces gives on a Ray cluster of two nodes, one of them killed meanwhile, the bytes of one process.

Where floats are computed, that process has one thread, as a piece on a core of the cluster has.
"""

import os
import shutil
import subprocess
import sys
import time
from itertools import islice, product
from pathlib import Path

import pytest

from pipeline.quantize.run import quantize
from tests import recordings, tones
from tests.nodes import is_at_work, nodes
from tests.tiny import save_model

__all__ = ["nodes"]  # the fixture
pytestmark = pytest.mark.slow

SIZES = {
    "train": 600,
    "dev": 130,
    "test": 260,
}  # 8 pieces for prepare; at three speeds 4 for teacher_logits; 2 and 3 for evaluate
STAGES = {"prepare": "corpora", "teacher_logits": "logits", "evaluate teacher-fp32-onnx": "scores"}  # and their outs


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A project with a source, a teacher and a variant of it."""

    def change(chosen: dict) -> None:
        facts = {"name": "tones", "data": "data/tones", "license": "CC0-1.0", "language": "en"}
        chosen["corpus"] = {**facts, "source": {"kind": "folder"}}
        chosen["logits"] = {"speeds": [1.0, 0.9, 1.1], "features": True}
        chosen["variants"] = {f"teacher-{s}": {"model": "teacher", "scheme": s} for s in ("fp32", "fp32-onnx")}

    made = tones.project(tmp_path_factory.mktemp("project"), steps=20, change=change)
    shutil.rmtree(made / "corpora")
    words = enumerate(map("".join, product("abcdefghij", repeat=3)))
    for split, size in SIZES.items():
        rows = [{"audio": f"{number}.wav", "text": word, "speaker": f"s{number}"} for number, word in islice(words, size)]
        recordings.lines(made / f"data/tones/{split}.jsonl", rows)
    for number in range(sum(SIZES.values())):
        recordings.sound(made / f"data/tones/{number}.wav", seed=number)
    for seconds in (*range(1, 12), 45):
        recordings.sound(made / f"talks/{seconds:02}.wav", seconds, seed=seconds)
    (made / "talks/07.wav").write_bytes(b"no audio")
    save_model(made / "models/teacher", layers=1)
    quantize("fp32-onnx", {}, made / "models/teacher", None, made / "variants/teacher.fp32-onnx")
    return made


def start(folder: Path, *command: str, alone: bool) -> subprocess.Popen:
    """A command on the cluster, or in one process on one core, which makes one thread of it."""
    environment = os.environ | {"ACCELERATE_CONFIG_FILE": "none"} | ({"RAY_ADDRESS": ""} if alone else {})
    on_one_core = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))] if alone else []
    command = (*on_one_core, sys.executable, "-m", *command)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=pipe, stderr=pipe)


def transcribed(folder: Path, alone: bool) -> tuple[str, str]:
    process = start(
        folder, "pipeline.cli", "transcribe", "variants/teacher.fp32-onnx", "talks", "--format", "json", alone=alone
    )
    return process.communicate(timeout=300)


def made(folder: Path) -> dict[str, bytes]:
    """All files of the stages' outs."""
    paths = (path for out in STAGES.values() for path in (folder / out).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def kill_midway(folder: Path, process: subprocess.Popen, nodes) -> None:
    """Kill a node that has work in hand, once a file of logits is there."""
    cluster, other = nodes
    deadline = time.monotonic() + 240
    while not (list(folder.glob(".bigfoot/checkpoints/teacher_logits/*/*.safetensors")) and is_at_work(other)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    cluster.remove_node(other, allow_graceful=False)
    assert process.poll() is None


def test_all_that_maps_over_pieces_gives_the_bytes_of_one_process_though_a_node_is_killed(folder, nodes):
    outcomes = []
    for alone in (True, False):
        said = transcribed(folder, alone)  # with both nodes
        for stage in STAGES:
            name, *arguments = stage.split()
            process = start(folder, f"pipeline.stages.{name}", *arguments, alone=alone)
            if name == "teacher_logits" and not alone:
                kill_midway(folder, process, nodes)
            output, complaints = process.communicate(timeout=300)
            assert process.returncode == 0, complaints
            if name == "teacher_logits":
                assert ("2 x cpu of a Ray cluster" if not alone else "1 x cpu,") in output
        outcomes.append((said, made(folder)))
        for out in STAGES.values():
            shutil.rmtree(folder / out)
        assert not list(folder.glob(".bigfoot/checkpoints/teacher_logits/*"))
    (texts, complaints), files = outcomes[0]
    assert outcomes[0] == outcomes[1]
    assert texts.count("\n") == 11 and complaints.count("\n") == 1 and "07.wav can't be read" in complaints
    assert {"corpora/tones/corpus.json", "logits/teacher/00003.safetensors", "scores/teacher.fp32-onnx.json"} <= set(files)
