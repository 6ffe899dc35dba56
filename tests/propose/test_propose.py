"""A tiny teacher, and how well its students are foretold to learn; the whole command in a project of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.common.errors import BigfootError
from pipeline.models.inference import model_inputs
from pipeline.params import Params, read
from pipeline.project import Project
from pipeline.propose.machine import teacher_of
from pipeline.propose.quality import RUNGS, Kept, Quality
from pipeline.speech.shards import Utterance
from tests import corpora
from tests.planted import ROOT
from tests.tiny import save_model, speech

WHOLE = {"layers": 2, "hidden": 64, "heads": 2, "feed_forward": 128, "conv_channels": 32}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A project with a tiny teacher and some noise as its corpus; its schemes are fp32 and int8-onnx."""
    root = tmp_path_factory.mktemp("project")
    save_model(root / "models/teacher", hidden=64, channels=32, positions=(16, 16))
    rows = [(Utterance(f"u{i}", "one two", "who", 1.5), speech(1.5, seed=i)) for i in range(12)]
    corpora.write(root / "corpora/quickstart", {"train": rows[:6], "dev": rows[6:10], "test": rows[10:]})
    text = (ROOT / "params.yaml").read_text()
    left_out = ("fp32-onnx", "int8-openvino")
    (root / "params.yaml").write_text(
        "".join(line for line in text.splitlines(True) if not any(name in line.partition("#")[0] for name in left_out))
    )
    return Project(root)


def test_the_loss_on_dev_is_that_of_the_training_per_character(project):
    teacher = teacher_of(project, "quickstart")
    quality = Quality(teacher)
    losses = []
    for utterance in teacher.corpus.utterances("dev"):
        inputs = model_inputs(teacher.processor, [teacher.corpus.audio(utterance)])
        labels = torch.tensor([teacher.processor.tokenizer(utterance.text).input_ids])
        with torch.no_grad():
            losses.append(float(teacher.model(inputs, labels=labels).loss))
    assert quality.loss(teacher.model) == pytest.approx(sum(losses) / len(losses), rel=1e-3)


def test_texts_that_students_cannot_write_rank_nothing(project, tmp_path):
    rows = [(Utterance(f"u{i}", "one", "who", 1.5), speech(1.5, seed=i)) for i in range(2)]
    others = [(Utterance(f"v{n}", text, "who", 0.5), speech(0.5)) for n, text in enumerate(("", "\u03c9ne", "one two three"))]
    corpora.write(tmp_path / "corpora/quickstart", {"train": rows, "dev": [*rows, *others], "test": rows})
    shutil.copytree(project.root / "models", tmp_path / "models")
    quality = Quality(teacher_of(Project(tmp_path), "quickstart"))
    assert [utterance.id for utterance in quality.dev] == ["u0", "u1"] and quality.loss(quality.teacher.model) > 0
    long = Utterance("w", "one two", "who", 31.0), speech(31.0)
    corpora.write(tmp_path / "corpora/quickstart", {"train": [long], "dev": rows, "test": rows})
    with pytest.raises(BigfootError, match="train has no utterance of at most 30 s"):
        Quality(teacher_of(Project(tmp_path), "quickstart"))
    corpora.write(tmp_path / "corpora/quickstart", {"train": rows, "dev": [*others, long], "test": rows})
    with pytest.raises(
        BigfootError, match="dev has no utterance of at most 30 s with a text that students of this teacher can write"
    ):
        Quality(teacher_of(Project(tmp_path), "quickstart"))


def test_the_loss_of_half_the_frames_is_not_half_the_loss(project):
    teacher = teacher_of(project, "quickstart")
    quality = Quality(teacher)
    whole, half = (quality._cut(WHOLE | {"frame_rate": rate}) for rate in (None, 25.0))
    for model in (whole, half):
        model.lm_head.weight.data.zero_()
        model.lm_head.bias.data.zero_()
        model.lm_head.bias.data[quality.vocabulary.blank] = 5.0
    assert quality.loss(half) == pytest.approx(quality.loss(whole), rel=0.1)  # of models that write nothing at any frame


def test_the_better_half_goes_on_whatever_the_cut_alone_says():
    """Of 24 shapes those that end best begin worst; each learns by its own curve."""
    made = []

    class Curves(Quality):
        def __init__(self):
            pass

        def _learning(self, shape):
            made.append(shape)
            for steps in RUNGS:
                yield Kept(initial=float(shape), trained=100.0 - shape - steps / 1000, steps=steps)

    kept = Curves().of(list(range(24)))
    assert [sum(of.steps >= rung for of in kept) for rung in RUNGS] == [24, 12, 6, 3]
    assert [index for index, of in enumerate(kept) if of.finished] == [21, 22, 23]
    assert [of.initial for of in kept] == list(range(24)) and made == list(range(24))


@pytest.mark.slow
def test_every_shape_learns_and_most_of_the_time_goes_to_the_best(project):
    quality = Quality(teacher_of(project, "quickstart"))
    shapes = [WHOLE, WHOLE | {"layers": 1}, WHOLE | {"hidden": 32, "heads": 1}, WHOLE | {"frame_rate": 25.0}]
    kept = quality.of(shapes)
    assert kept[0].initial == pytest.approx(quality.loss(quality.teacher.model), abs=1e-4)
    assert all(of.trained != of.initial for of in kept) and any(of.finished for of in kept)
    assert min(of.steps for of in kept) < RUNGS[-1]


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_shape_whose_loss_is_not_finite_is_the_worst(place):
    losses = [1.0, 2.0, 3.0]
    losses.insert(place, float("nan"))

    class Planted(Quality):
        def __init__(self):
            pass

        def _cut(self, shape):
            return shape

        def loss(self, model):
            return losses[model]

        def _distilled(self, model):
            for steps in RUNGS:
                yield steps, losses[model]

    kept = Planted().of(range(4))
    assert [of.trained for of in kept if of.finished] == [1.0]


@pytest.mark.slow
def test_the_command_writes_proposals_that_fit_and_are_checked(project):
    before = (project.root / "params.yaml").read_text()
    done = propose(project.root, "--max-mb", "0.3", "--max-ms", "20")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "propose_1" in done.stdout and "Loss distilled" in done.stdout and "next: dvc repro" in done.stdout
    params = read(project.params, Params)
    assert params.students["propose_1"].parent == "teacher" and "propose_1-int8-onnx" in params.variants
    left = [line for line in before.splitlines() if line not in project.params.read_text().splitlines()]
    assert len(left) == 2 and "threads: 2" in left[0] and left[1].startswith("gate: ")
    known = json.loads((project.scratch / "costs.json").read_text())
    again = propose(project.root, "--max-mb", "0.0001", "--max-ms", "20")
    assert again.returncode == 1 and again.stderr.splitlines()[-1].startswith("error: no student fits 0.0001 MB and 20 ms")
    assert "max-mb binds" in again.stderr and json.loads((project.scratch / "costs.json").read_text()) == known


def propose(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pipeline.cli", "propose", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)
