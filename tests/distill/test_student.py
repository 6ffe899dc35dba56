"""A student learns from its teacher's outputs, stored or computed beside it, and is a model like any other afterwards."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCTC, AutoProcessor

from pipeline.distill.logits.store import digests
from pipeline.models import few_bits
from pipeline.speech.corpus import open_corpus, spread
from tests import corpora, tones


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A project whose teacher is trained and its logits stored, with its features; to be copied, not changed."""

    def change(chosen: dict) -> None:
        chosen["logits"]["features"] = True
        run = chosen["students"]["half"]["training"] | {"freeze_feature_encoder_steps": 20}
        still = {"hidden_dropout": 0.0, "mask_time_prob": 0.0}
        chosen["students"] |= {
            name: {"from": "teacher", "layers": 2, "config": still, "training": run, "importance_utterances": 1,
                   "distillation": {"features": features}}
            for name, features in (("computing", "computed"), ("reading", "stored"))
        }  # fmt: skip
        slow = {"frame_rate": 25, "quantize_aware": True, "conv_merge": [2, 2, 2, 1]}
        chosen["students"]["slow"] = chosen["students"]["half"] | slow
        chosen["students"]["coarse"] = chosen["students"]["half"] | {"few_bits": {"bits": 2.5, "block": 16}}

    folder = tones.project(tmp_path_factory.mktemp("trained") / "project", steps=20, change=change)
    tones.run(folder, "teacher")
    tones.run(folder, "teacher_logits")
    return folder


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "project"))


def losses(folder: Path, student: str) -> list[float]:
    return [row["loss"] for row in tones.curve(folder, student) if "loss" in row]


def test_a_student_learns_from_the_store_and_loads_like_any_model(folder):
    before = tones.weights(folder)
    tones.run(folder, "student", "half")
    after = tones.weights(folder)
    assert all(torch.equal(before[name], after[name]) for name in before), "the teacher was touched"

    model = AutoModelForCTC.from_pretrained(folder / "models/half")
    assert model.config.num_hidden_layers == 2
    assert AutoProcessor.from_pretrained(folder / "models/half").tokenizer.pad_token_id == 0
    learned = losses(folder, "half")
    assert learned[-1] < learned[0]
    assert not list((folder / "models/half").glob("*.bin"))  # training_args.bin is a pickle


def test_a_student_in_few_bits_learns_by_rounded_weights_and_is_saved_in_float(folder):
    for name in ("half", "coarse"):
        tones.run(folder, "student", name)
    assert losses(folder, "coarse")[0] != losses(folder, "half")[0]
    model = AutoModelForCTC.from_pretrained(folder / "models/coarse")
    weight = model.lm_head.weight
    assert tones.weights(folder, "coarse").keys() == tones.weights(folder, "half").keys()
    assert not torch.equal(few_bits.rounded(weight, 2, 16), weight)
    rounding = few_bits.read(folder / "models/coarse")
    sizes = {name: linear.weight.numel() for name, linear in few_bits.linears(model).items()}
    mean = sum(rounding["bits"][name] * size for name, size in sizes.items()) / sum(sizes.values())
    assert rounding["block"] == 16 and 2.25 < mean <= 2.5 and few_bits.read(folder / "models/half") is None


def test_an_unknown_student_is_one_line_and_status_1(folder):
    unknown = tones.start(folder, "student", "quarter")
    output, _ = unknown.communicate()
    assert unknown.returncode == 1 and output.strip().splitlines()[-1].startswith("error: unknown student 'quarter'")


def test_a_student_learns_from_stored_features_what_it_learns_from_waveforms(folder, caplog):
    """The feature encoder stays to the bit, losses differ by half precision alone, and it resumes after a kill."""
    tones.run(folder, "student", "computing")
    measured = spread(open_corpus(folder / "corpora/tones").utterances("train"), 1)

    def silence(splits: dict) -> None:
        splits["train"] = [(row, flac if row in measured else b"no audio") for row, flac in splits["train"]]

    described = folder / "corpora/tones/train/split.json"
    digest = described.read_text()
    corpora.rewrite(folder / "corpora/tones", silence)
    described.write_text(digest)  # or the logits would be of another corpus
    index = folder / "logits/teacher/index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"corpus": digests(open_corpus(folder / "corpora/tones"))}))
    tones.kill_at(folder, 10, "reading")
    with caplog.at_level(logging.INFO):
        tones.run(folder, "student", "reading")
    assert "resuming from step 10" in caplog.text

    before, after = tones.weights(folder), tones.weights(folder, "reading")
    encoder = [name for name in before if "feature_extractor" in name]
    assert encoder and all(torch.equal(before[name], after[name]) for name in encoder)
    computing, reading = losses(folder, "computing"), losses(folder, "reading")
    assert computing == pytest.approx(reading, rel=2e-3) and computing != reading


def test_a_student_at_half_the_frame_rate_learns_from_stored_logits_at_several_speeds_with_int8_rounding(folder, caplog):
    def dense(splits: dict) -> None:
        row, flac = splits["train"][0]
        splits["train"][0] = (replace(row, text="one two nine one two nine"), flac)  # 25 characters in 0.8 s

    corpora.rewrite(folder / "corpora/tones", dense)
    tones.run(folder, "teacher_logits")
    with caplog.at_level(logging.INFO):
        tones.run(folder, "student", "slow")
    assert "25 frames per second" in caplog.text
    assert "slow: 1 of 24 texts of train have more characters than their audio has frames" in caplog.text
    learned = losses(folder, "slow")
    assert learned[-1] < learned[0]
    fast, slow = (AutoModelForCTC.from_pretrained(folder / f"models/{name}") for name in ("teacher", "slow"))
    with torch.no_grad():
        assert fast(torch.zeros(1, 16_000)).logits.shape[1] == 49 and slow(torch.zeros(1, 16_000)).logits.shape[1] == 24
    assert "int8_ranges.json" in (folder / "models/slow/SHA256SUMS").read_text()
    metrics = json.loads((folder / "models/slow/metrics.json").read_text())
    assert metrics["params"] == sum(weight.numel() for weight in slow.parameters())  # without the ranges


@pytest.mark.slow
def test_a_student_of_fewer_convolutions_learns_beside_its_teacher(folder, caplog):
    tones.run(folder, "student", "half")
    with caplog.at_level(logging.INFO):
        tones.run(folder, "student", "thin")
    assert "from scratch: wav2vec2.masked_spec_embed" in caplog.text or "from scratch: nothing" in caplog.text
    config = json.loads((folder / "models/thin/config.json").read_text())
    assert config["conv_kernel"] == [20, 7, 5, 2] and config["conv_dim"] == [8] * 4
    rows = json.loads((folder / "models/thin/initialization.json").read_text())
    assert sum(row["how"] == "fitted" for row in rows) == 5  # three convolutions, and the gain and bias of the first norm
