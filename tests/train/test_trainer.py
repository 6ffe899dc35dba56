"""Training: the order of batches is fixed by the seed, a killed run ends as an undisturbed one, a student learns."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline import params
from pipeline.speech import audio
from pipeline.speech.corpus import Utterance, open_corpus, spread, write_manifest
from pipeline.train import trainer
from tests.tiny import save_model

ROOT = Path(__file__).parents[2]
WORDS = ("one", "two", "nine")


@given(
    st.lists(st.floats(0.1, 10.0), min_size=1, max_size=40),
    st.floats(0.5, 30.0),
    st.integers(1, 60),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_batches_fit_their_seconds_and_an_epoch_hears_everyone_once(durations, seconds, count, seed):
    batches = list(trainer.Batches(durations, seconds, count, seed))
    assert batches == list(trainer.Batches(durations, seconds, count, seed))
    assert len(batches) == count
    for batch in batches:
        longest = np.ceil(max(durations[i] for _, i in batch) / 0.5) * 0.5  # batches are padded to half seconds
        assert len(batch) == 1 or longest * len(batch) <= seconds + 1e-9
    epochs = {epoch for batch in batches for epoch, _ in batch}
    for epoch in epochs - {max(epochs)}:  # the last one may be cut off
        heard = sorted(i for batch in batches for e, i in batch if e == epoch)
        assert heard == list(range(len(durations)))


def test_augmentation_is_fixed_by_its_seed_and_noise_has_the_level_asked_for():
    wave = np.sin(np.arange(16000) / 9).astype(np.float32)
    noisy = params.Augment(noise_probability=1.0, noise_snr_db=(20.0, 20.0))
    out = trainer.augment(wave, noisy, np.random.default_rng(1))
    assert np.array_equal(out, trainer.augment(wave, noisy, np.random.default_rng(1)))
    snr = 10 * np.log10((wave**2).sum() / ((out - wave) ** 2).sum())
    assert snr == pytest.approx(20, abs=0.1)
    faster = trainer.augment(wave, params.Augment(speed=(1.25, 1.25)), np.random.default_rng(1))
    assert len(faster) == pytest.approx(16000 / 1.25, abs=2)


def small_project(folder: Path, steps: int) -> Path:
    """A corpus of tones (a pitch a word) and the params of a tiny teacher and student."""
    corpus = folder / "corpora/tones"
    rng = np.random.default_rng(5)
    splits = {}
    for split, count in (("train", 24), ("dev", 6), ("test", 6)):
        (corpus / "audio" / split).mkdir(parents=True)
        rows = []
        for i in range(count):
            said = [int(w) for w in rng.integers(0, len(WORDS), 2)]
            wave = np.concatenate([_tone(300 * (w + 1), rng) for w in said])
            path = f"audio/{split}/{split}{i}.flac"
            audio.write(corpus / path, wave)
            text = " ".join(WORDS[w] for w in said)
            rows.append(Utterance(f"{split}{i}", path, text, "tone", len(wave) / 16000))
        write_manifest(corpus / f"{split}.jsonl", rows)
        splits[split] = {"utterances": count, "seconds": sum(r.duration for r in rows), "speakers": 1, "words": 2 * count}
    alphabet = sorted({" ", *"".join(WORDS)})
    info = {"name": "tones", "alphabet": alphabet, "splits": splits, "synthetic": True}
    (corpus / "corpus.json").write_text(json.dumps(info))
    yaml = YAML(typ="safe")
    chosen = yaml.load(ROOT / "profiles/quickstart.yaml")
    chosen["corpus"]["name"] = "tones"
    small = {"conv_dim": [16] * 7, "hidden_size": 32, "intermediate_size": 64, "hidden_dropout": 0.1, "mask_time_prob": 0.1}
    chosen["teacher"]["config"] |= small | {"mask_time_length": 2}
    run = {"batch_seconds": 3, "learning_rate": 2e-3, "evaluate_every": 10, "precision": "fp32"}
    chosen["teacher"]["training"] = {**run, "steps": steps, "grow": [[0, 2], [15, 4]], "augment": {"noise_probability": 0.5}}
    chosen["students"]["half"]["training"] = {**run, "steps": 20}
    online = {"teacher": "online", "kl_weight": [1.0, 0.5], "hidden_weight": 1.0}
    chosen["students"]["thin"] |= {
        "hidden": 16, "feed_forward": 32, "conv_channels": 8, "conv_merge": [2, 2, 2, 1], "distillation": online,
        "training": {**run, "steps": 10, "augment": {"speed": [0.9, 1.1]}},
    }  # fmt: skip
    chosen["logits"]["speeds"] = [1.0, 0.9]
    yaml.dump(chosen, folder / "params.yaml")
    return folder


def _tone(pitch: float, rng: np.random.Generator) -> np.ndarray:
    wave = np.sin(2 * np.pi * pitch * np.arange(6400) / 16000) * np.hanning(6400)
    return (0.3 * wave + 0.01 * rng.standard_normal(6400)).astype(np.float32)


def stage(folder: Path, *arguments: str) -> subprocess.Popen:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "ACCELERATE_CONFIG_FILE": str(folder / "accelerate.yaml"),
    }  # fmt: skip
    command = [sys.executable, "-m", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def kill_at(folder: Path, step: int, *student: str) -> None:
    """Train the teacher, or a student, until there is a checkpoint of this step, and then kill -9."""
    killed = stage(folder, f"pipeline.stages.{'student' if student else 'teacher'}", *student)
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


def test_a_run_killed_midway_ends_with_the_same_weights(tmp_path):
    undisturbed = small_project(tmp_path / "a", steps=30)
    disturbed = small_project(tmp_path / "b", steps=30)
    finished(stage(undisturbed, "pipeline.stages.teacher"))

    kill_at(disturbed, 10)
    assert not (disturbed / "models/teacher/model.safetensors").exists()
    said = finished(stage(disturbed, "pipeline.stages.teacher"))

    assert "resuming from step" in said
    a, b = weights(undisturbed), weights(disturbed)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    curves = [[json.loads(line) for line in (f / "models/teacher/curve.jsonl").open()] for f in (undisturbed, disturbed)]
    assert curves[0] == curves[1]
    assert not list(disturbed.glob(".bigfoot/checkpoints/teacher/*"))
    metrics = json.loads((disturbed / "models/teacher/metrics.json").read_text())
    assert metrics["steps"] == 30 and metrics["dev_wer"] >= 0 and metrics["train_hours"] > 0 and metrics["fingerprint"]


@pytest.mark.slow
def test_patience_counts_on_where_a_kill_left_it(tmp_path):
    """A teacher that learns nothing has its best dev WER at step 10; with a patience of 2 it stops at 30."""
    folder, yaml = small_project(tmp_path, steps=60), YAML(typ="safe")
    chosen = yaml.load(folder / "params.yaml")
    chosen["teacher"]["training"] |= {"patience": 2, "learning_rate": 1e-12}
    yaml.dump(chosen, folder / "params.yaml")
    kill_at(folder, 20)
    finished(stage(folder, "pipeline.stages.teacher"))
    assert json.loads((folder / "models/teacher/metrics.json").read_text())["steps"] == 30


def test_a_student_learns_from_the_store_and_loads_like_any_model(tmp_path):
    folder = small_project(tmp_path, steps=20)
    finished(stage(folder, "pipeline.stages.teacher"))
    finished(stage(folder, "pipeline.stages.teacher_logits"))
    before = weights(folder)
    finished(stage(folder, "pipeline.stages.student", "half"))
    after = weights(folder)
    assert all(torch.equal(before[name], after[name]) for name in before), "the teacher was touched"

    from transformers import AutoModelForCTC, AutoProcessor

    model = AutoModelForCTC.from_pretrained(folder / "models/half")
    assert model.config.num_hidden_layers == 2
    assert AutoProcessor.from_pretrained(folder / "models/half").tokenizer.pad_token_id == 0
    losses = [row["loss"] for row in map(json.loads, (folder / "models/half/curve.jsonl").open()) if "loss" in row]
    assert losses[-1] < losses[0]
    assert not list((folder / "models/half").glob("*.bin"))  # training_args.bin is a pickle
    said, _ = (unknown := stage(folder, "pipeline.stages.student", "quarter")).communicate()
    assert unknown.returncode == 1 and said.strip().splitlines()[-1].startswith("error: unknown student 'quarter'")


def test_a_student_that_reads_what_the_front_end_gave_learns_what_one_that_hears_does(tmp_path):
    """The front end stays to the bit; losses differ by half precision, and by nothing else."""
    folder, yaml = small_project(tmp_path, steps=20), YAML(typ="safe")
    chosen = yaml.load(folder / "params.yaml")
    chosen["logits"]["front_end"] = True
    run = chosen["students"]["half"]["training"] | {"freeze_feature_encoder_steps": 20}
    still = {"hidden_dropout": 0.0, "mask_time_prob": 0.0}
    chosen["students"] = {
        name: {"from": "teacher", "layers": 2, "config": still, "training": run, "importance_utterances": 1,
               "distillation": {"front_end": front_end}}
        for name, front_end in (("heard", "heard"), ("read", "stored"))
    }  # fmt: skip
    chosen["variants"] = {"teacher-fp32": {"model": "teacher", "scheme": "fp32"}}
    yaml.dump(chosen, folder / "params.yaml")
    for arguments in (["teacher"], ["teacher_logits"], ["student", "heard"]):
        finished(stage(folder, f"pipeline.stages.{arguments[0]}", *arguments[1:]))
    tones = open_corpus(folder / "corpora/tones")
    for utterance in tones.utterances("train"):
        if utterance not in spread(tones.utterances("train"), 1):
            (folder / "corpora/tones" / utterance.audio).unlink()
    kill_at(folder, 10, "read")
    assert "resuming from step 10" in finished(stage(folder, "pipeline.stages.student", "read"))

    before, after = weights(folder), weights(folder, "read")
    front_end = [name for name in before if "feature_extractor" in name]
    assert front_end and all(torch.equal(before[name], after[name]) for name in front_end)
    losses = [
        [row["loss"] for row in map(json.loads, (folder / f"models/{name}/curve.jsonl").open()) if "loss" in row]
        for name in ("heard", "read")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3) and losses[0] != losses[1]


@pytest.mark.slow
def test_a_student_of_fewer_convolutions_learns_beside_its_teacher(tmp_path):
    folder = small_project(tmp_path, steps=20)
    for arguments in (["teacher"], ["teacher_logits"], ["student", "half"], ["student", "thin"]):
        said = finished(stage(folder, f"pipeline.stages.{arguments[0]}", *arguments[1:]))
    assert "from scratch: wav2vec2.masked_spec_embed" in said or "from scratch: nothing" in said
    config = json.loads((folder / "models/thin/config.json").read_text())
    assert config["conv_kernel"] == [20, 7, 5, 2] and config["conv_dim"] == [8] * 4
    rows = json.loads((folder / "models/thin/initialization.json").read_text())
    assert sum(row["how"] == "fitted" for row in rows) == 5  # three convolutions, and the gain and bias of the first norm
    assert len(json.loads((folder / "logits/teacher/index.json").read_text())["utterances"]) == 48


def test_a_teacher_can_be_taken_as_it_is(tmp_path):
    """Zero-shot: its weights are not touched, and its dev WER is measured like that of any other."""
    from safetensors.torch import load_file

    folder, yaml = small_project(tmp_path, steps=1), YAML(typ="safe")
    save_model(folder / "data/base")
    chosen = yaml.load(folder / "params.yaml")
    chosen["teacher"] = {"init": "pretrained", "data": "data/base", "alphabet": "model", "finetune": False}
    yaml.dump(chosen, folder / "params.yaml")
    finished(stage(folder, "pipeline.stages.teacher"))
    before = load_file(folder / "data/base/model.safetensors")
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(folder).items())
    metrics = json.loads((folder / "models/teacher/metrics.json").read_text())
    assert metrics["dev_wer"] > 0 and metrics["steps"] == 0 and metrics["train_hours"] is None
    finished(stage(folder, "pipeline.stages.teacher_logits"))


ACCELERATE = """
compute_environment: LOCAL_MACHINE
distributed_type: {kind}
num_processes: 2
num_machines: 1
machine_rank: 0
use_cpu: true
mixed_precision: 'no'
main_training_function: main
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "processes"), [("MULTI_GPU", 2), ("MULTI_CPU", 1)])
def test_the_stage_starts_itself_anew_under_accelerate_once(tmp_path, kind, processes):
    """MULTI_CPU without MPI gets one process from accelerate, and MULTI_GPU with use_cpu two that talk over gloo."""
    folder = small_project(tmp_path, steps=20)
    (folder / "accelerate.yaml").write_text(ACCELERATE.format(kind=kind))
    said = finished(stage(folder, "pipeline.stages.teacher"))
    assert said.count("step 20/20") <= 2  # one process speaks: its loss and its dev WER
    assert ("accelerate started one process, not 2" in said) is (processes == 1)
    assert json.loads((folder / "models/teacher/metrics.json").read_text())["steps"] == 20
