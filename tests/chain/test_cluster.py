"""What maps over pieces gives on a Ray cluster of two nodes, one of them killed meanwhile, the bytes of one process.

Where floats are computed, that process has one thread, as a piece on a core of the cluster has.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
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
TRANSCRIBE = ("pipeline.cli", "transcribe", "variants/teacher.fp32-onnx", "talks", "--format", "json")
PREPARE, LOGITS = ("pipeline.stages.prepare",), ("pipeline.stages.teacher_logits",)
EVALUATE = ("pipeline.stages.evaluate", "teacher-fp32-onnx")
OUTS = ("corpora", "logits", "scores")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A project with a source, a teacher and a variant of it."""

    def change(chosen: dict) -> None:
        facts = {"name": "tones", "data": "data/tones", "license": "CC0-1.0", "language": "en"}
        chosen["corpus"] = {**facts, "source": {"kind": "folder"}}
        chosen["logits"] = {"speeds": [1.0, 0.9, 1.1, 1.2], "features": True}
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


def start(folder: Path, *command: str, alone: bool = False) -> subprocess.Popen:
    """A command on the cluster, or in one process on one core, which makes one thread of it."""
    environment = os.environ | {"ACCELERATE_CONFIG_FILE": "none"} | ({"RAY_ADDRESS": ""} if alone else {})
    on_one_core = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))] if alone else []
    command = (*on_one_core, sys.executable, "-m", *command)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=pipe, stderr=pipe)


def unfinished(folder: Path) -> list[Path]:
    return list(folder.glob(".bigfoot/checkpoints/teacher_logits/*/*.safetensors"))


def printed(process: subprocess.Popen, node=None) -> tuple[str, str]:
    """What a command prints to its end. It has to have work on the node meanwhile, if one is given."""
    was_at_work = node is None
    while True:
        was_at_work = was_at_work or is_at_work(node)
        try:
            texts = process.communicate(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        assert was_at_work
        return texts


def succeeded(process: subprocess.Popen, node=None) -> str:
    output, complaints = printed(process, node)
    assert process.returncode == 0, complaints
    return output


def wait_until(process: subprocess.Popen, is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 240
    while not is_so():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


def made(folder: Path) -> dict[str, bytes]:
    """All files of the stages' outs, which are removed."""
    paths = [path for out in OUTS for path in (folder / out).rglob("*") if path.is_file()]
    files = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    for out in OUTS:
        shutil.rmtree(folder / out)
    return files


def test_what_maps_over_pieces_gives_the_bytes_of_one_process_though_a_node_is_killed(folder, nodes):
    texts, complaints = printed(start(folder, *TRANSCRIBE, alone=True))
    assert texts.count("\n") == 11 and complaints.count("\n") == 1 and "07.wav can't be read" in complaints
    succeeded(start(folder, *PREPARE, alone=True))
    assert "in 5 files, 5 of them to be made, in float32 by 1 x cpu," in succeeded(start(folder, *LOGITS, alone=True))
    succeeded(start(folder, *EVALUATE, alone=True))
    alone = made(folder)
    assert {"corpora/tones/corpus.json", "logits/teacher/00004.safetensors", "scores/teacher.fp32-onnx.json"} <= set(alone)

    cluster, other = nodes
    head = cluster.head_node
    assert printed(start(folder, *TRANSCRIBE), head) == (texts, complaints)
    succeeded(start(folder, *PREPARE), head)
    killed = start(folder, *LOGITS)
    wait_until(killed, lambda: unfinished(folder))
    killed.kill()
    printed(killed)
    left = 5 - len(unfinished(folder))
    process = start(folder, *LOGITS)
    wait_until(process, lambda: is_at_work(other) and is_at_work(head))  # at files
    cluster.remove_node(other, allow_graceful=False)
    assert f"in 5 files, {left} of them to be made, in float32 by" in succeeded(process, head)
    succeeded(start(folder, *EVALUATE), head)
    assert made(folder) == alone
