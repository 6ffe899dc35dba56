"""A project that trains in seconds: a corpus of tones, one pitch per word, and params of a tiny teacher and students."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from pipeline.speech.shards import Utterance
from tests import corpora

ROOT = Path(__file__).parents[1]
WORDS = ("one", "two", "nine")


def project(folder: Path, steps: int, change=lambda chosen: None) -> Path:
    """The corpus and params.yaml of a teacher that learns for `steps`; `change` edits the params first."""
    _corpus(folder / "corpora/tones")
    yaml = YAML(typ="safe")
    chosen = yaml.load(ROOT / "profiles/quickstart.yaml")
    chosen["corpus"]["name"] = "tones"
    small = {"conv_dim": [16] * 7, "hidden_size": 32, "intermediate_size": 64, "hidden_dropout": 0.1, "mask_time_prob": 0.1}
    small |= {"conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "mask_time_length": 2}
    chosen["teacher"]["config"] |= small
    run = {"batch_seconds": 3, "learning_rate": 2e-3, "evaluate_every": 10, "precision": "fp32"}
    chosen["teacher"]["training"] = {**run, "steps": steps, "grow": [[0, 2], [15, 4]], "augment": {"noise_probability": 0.5}}
    chosen["students"]["half"]["training"] = {**run, "steps": 20}
    online = {"teacher": "online", "kl_weight": [1.0, 0.5]}
    chosen["students"]["thin"] |= {
        "hidden": 16, "feed_forward": 32, "conv_channels": 8, "conv_merge": [2, 2, 2, 1], "distillation": online,
        "training": {**run, "steps": 10, "augment": {"speed": [0.9, 1.1]}},
    }  # fmt: skip
    chosen["logits"]["speeds"] = [1.0, 0.9]
    change(chosen)
    yaml.dump(chosen, folder / "params.yaml")
    return folder


def _corpus(folder: Path) -> None:
    rng = np.random.default_rng(5)
    splits: dict[str, list[corpora.Row]] = {}
    for split, count in (("train", 24), ("dev", 6), ("test", 6)):
        for i in range(count):
            words = [int(word) for word in rng.integers(0, len(WORDS), 2)]
            wave = np.concatenate([_tone(300 * (word + 1), rng) for word in words])
            text = " ".join(WORDS[word] for word in words)
            splits.setdefault(split, []).append((Utterance(f"{split}{i}", text, "tone", len(wave) / 16000), wave))
    corpora.write(folder, splits, alphabet=sorted({" ", *"".join(WORDS)}))


def _tone(pitch: float, rng: np.random.Generator) -> np.ndarray:
    wave = np.sin(2 * np.pi * pitch * np.arange(6400) / 16000) * np.hanning(6400)
    return (0.3 * wave + 0.01 * rng.standard_normal(6400)).astype(np.float32)


def _environment(folder: Path) -> dict[str, str]:
    return {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "ACCELERATE_CONFIG_FILE": str(folder / "accelerate.yaml")}


def run(folder: Path, stage: str, *arguments: str) -> None:
    """A stage in the test's own process, as its command runs it: in the project's folder, with one thread and MLflow away."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            for name, value in _environment(folder).items():
                patch.setenv(name, value)
            import_module(f"pipeline.stages.{stage}").main(*arguments)
    finally:
        torch.set_num_threads(threads)


def start(folder: Path, stage: str, *arguments: str, first: str = "") -> subprocess.Popen:
    """A stage in a process of its own, which runs the code `first` before it."""
    environment = os.environ | _environment(folder) | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    module = f"pipeline.stages.{stage}"
    changed = ["-c", f"{first}\nimport runpy\nrunpy.run_module({module!r}, run_name='__main__', alter_sys=True)"]
    command = [sys.executable, *(changed if first else ["-m", module]), *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(process: subprocess.Popen) -> str:
    """The output of a process that has to succeed."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def kill_at(folder: Path, step: int, *student: str, first: str = "") -> None:
    """Train the teacher, or a student, until there is a checkpoint of this step, and then kill -9."""
    killed = start(folder, "student" if student else "teacher", *student, first=first)
    deadline = time.monotonic() + 240
    model = student[0] if student else "teacher"
    while not list(folder.glob(f".bigfoot/checkpoints/{model}/*/checkpoint-{step}/ledger.json")):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()


def weights(folder: Path, model: str = "teacher") -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / f"models/{model}/model.safetensors")


def curve(folder: Path, model: str = "teacher") -> list[dict]:
    return [json.loads(line) for line in (folder / f"models/{model}/curve.jsonl").open()]


def metrics(folder: Path, model: str = "teacher") -> dict:
    return json.loads((folder / f"models/{model}/metrics.json").read_text())
