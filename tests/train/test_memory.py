"""The memory of a training step is foretold: what PyTorch keeps to a tenth, the peak of real steps on a CPU to a sixth."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.distill import fake_int8
from pipeline.models import families, few_bits
from pipeline.models.forward import ignore_padding
from pipeline.train.ctc import ctc_loss
from pipeline.train.memory import Training, foretold
from tests.tiny import save_model

SHAPE = dict(
    vocab_size=32, pad_token_id=0, hidden_size=256, num_hidden_layers=3, num_attention_heads=4, intermediate_size=1024,
    hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, feat_proj_dropout=0.0, layerdrop=0.0, mask_time_prob=0.0,
)  # fmt: skip
GROUP = dict(conv_dim=[96] * 7, feat_extract_norm="group", do_stable_layer_norm=False)
LAYER = dict(conv_dim=[96] * 7, feat_extract_norm="layer", do_stable_layer_norm=True)
DROPOUT = dict(hidden_dropout=0.1, attention_dropout=0.1, activation_dropout=0.1)


def make(family: str, **changes) -> torch.nn.Module:
    model_class = families.model_class(family)
    return model_class(model_class.config_class(**SHAPE | changes)).train()


def kept(model, bf16: bool, seconds: float = 4.0, batch: int = 2, weights: bool = False) -> int:
    """Bytes of all tensors that a forward pass keeps for the backward pass; with `weights` also copies of these."""
    ignore_padding(model)
    known = {tensor.untyped_storage().data_ptr() for tensor in model.parameters()}
    shapes = {tuple(tensor.shape) for tensor in model.parameters() if tensor.dim() > 1 and not weights}
    shapes |= {shape[::-1] for shape in shapes}
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known and tuple(tensor.shape) not in shapes:
            storages[storage.data_ptr()] = storage.nbytes(), tensor  # held, so that no other gets its address
        return tensor

    waveforms = torch.randn(batch, round(seconds * 16_000))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast("cpu", enabled=bf16):
        logits = model(waveforms, attention_mask=torch.ones_like(waveforms, dtype=torch.long)).logits
        labels, frames = torch.ones(batch, 10, dtype=torch.long), torch.full((batch,), logits.shape[1])
        ctc_loss(logits, frames, labels, torch.full((batch,), 10), blank=0)
    return sum(size for size, _ in storages.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("wav2vec2", GROUP), ("wav2vec2", LAYER), ("wav2vec2", LAYER | DROPOUT), ("hubert", GROUP), ("wavlm", LAYER),
        ("data2vec-audio", dict(conv_dim=[96] * 7)),
    ],
)  # fmt: skip
def test_what_the_forward_pass_keeps_is_counted_to_a_tenth(family, changes, precision):
    model = make(family, **changes)
    settings = Training(precision, on_gpu=False, longest=4.0)
    expected = foretold(model.config, settings).per_second * 2 * 4.0
    assert kept(model, bf16=precision == "bf16") == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("changes", [GROUP, LAYER])
def test_what_convolutions_that_are_rounded_to_int8_keep_is_counted_to_a_tenth(changes, precision):
    model = make("wav2vec2", **changes)
    fake_int8.attach(model, [torch.randn(1, 16_000)])
    settings = Training(precision, on_gpu=False, longest=4.0, int8=True)
    expected = foretold(model.config, settings).per_second * 2 * 4.0
    assert kept(model.train(), bf16=precision == "bf16") == pytest.approx(expected, rel=0.1)


def test_the_copies_of_weights_that_are_rounded_to_few_bits_are_counted():
    plain, model = make("wav2vec2", **GROUP), make("wav2vec2", **GROUP)
    few_bits.attach(model, {"bits": dict.fromkeys(few_bits.linears(model), 4), "block": 32})
    copies = kept(model, bf16=False, weights=True) - kept(plain, bf16=False, weights=True)
    fixed = [foretold(model.config, Training("fp32", False, 4.0, few_bits=rounds)).fixed for rounds in (False, True)]
    assert 0.7 * (fixed[1] - fixed[0]) < copies <= fixed[1] - fixed[0]


@pytest.mark.parametrize(("family", "changes"), [("wav2vec2", GROUP), ("wav2vec2", LAYER), ("hubert", GROUP), ("wavlm", LAYER)])
def test_with_gradient_checkpointing_less_is_kept(family, changes):
    """Of group norm's first convolution too, whose forward pass is Bigfoot's own."""
    model = make(family, **changes)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    settings = Training("fp32", on_gpu=False, longest=4.0, checkpointing=True)
    recomputed = foretold(model.config, settings).per_second * 2 * 4.0
    assert kept(model, bf16=False) < 0.8 * recomputed < 0.8 * kept(make(family, **changes), bf16=False)


STEPS = """
import sys, json
from pathlib import Path
import numpy as np
from pipeline.models import families
from pipeline.params import Tracking, Training
from pipeline.project import Project
from pipeline.speech.shards import Utterance
from pipeline.train.job import Job
from pipeline.train import trainer
from pipeline.train.bookkeeping import Bookkeeping
from transformers import AutoProcessor

class Noise:
    rules, folder = {}, Path()
    def utterances(self, split):
        count, seconds = (1, 0.5) if split == "dev" else (64, 3.99)
        return [Utterance(f"{split}{n}", "one", "", seconds) for n in range(count)]
    def audio(self, utterance):
        return np.random.default_rng(1).standard_normal(round(16000 * utterance.duration)).astype(np.float32)

def train(name, config, settings):
    training = Training(steps=2, learning_rate=1e-5, evaluate_every=2, **settings)
    model_class = families.model_class("wav2vec2")
    model = model_class(model_class.config_class(**config))
    processor = AutoProcessor.from_pretrained(case["processor"])
    books = Bookkeeping("teacher", Project(Path.cwd()), Tracking(experiment="none"))
    trainer.train(Job(model, processor, Noise(), training, training, name, books), Path.cwd() / name)

def memory(key):
    return next(int(line.split()[1]) * 1024 for line in Path("/proc/self/status").read_text().splitlines() if key in line)

case = json.loads(sys.argv[1])
train("small", case["small"], {"batch_seconds": 1})
before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
train("model", case["config"], case["training"])
print("PEAK", memory("VmHWM") - before)
"""
KEEPS_NOTHING = {"MALLOC_MMAP_THRESHOLD_": "100000"}  # the C library then gives all memory back that is no longer in use


def measured(folder: Path, config: dict, environment: dict, **training) -> int:
    """The peak of a process that trains for two steps of full batches, beyond what it had after the steps of a tiny model."""
    small = SHAPE | GROUP | {"hidden_size": 32, "intermediate_size": 32, "conv_dim": [8] * 7}
    case = {"processor": str(save_model(folder / "processor")), "small": small, "config": config, "training": training}
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"} | environment
    command = [sys.executable, "-c", STEPS, json.dumps(case)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    return int(re.search(r"PEAK (\d+)", done.stdout)[1])


@pytest.mark.slow
@pytest.mark.timeout(1600)
@pytest.mark.parametrize(
    ("changes", "precision", "checkpointing", "environment", "factor"),
    [
        (LAYER, "fp32", False, KEEPS_NOTHING, 1.15),
        (LAYER, "bf16", False, KEEPS_NOTHING, 1.15),
        (LAYER, "fp32", True, KEEPS_NOTHING, 1.15),
        (GROUP, "fp32", False, KEEPS_NOTHING, 1.15),
        (LAYER, "fp32", False, {}, 1.6),
    ],
)
def test_the_peak_of_real_steps_is_foretold(tmp_path, changes, precision, checkpointing, environment, factor, capsys):
    """Within the factor; what a CPU's allocator keeps for later use, which is no longer in use, comes on top."""
    seconds = 32
    config = SHAPE | changes | {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "conv_dim": [192] * 7}
    training = {"batch_seconds": seconds, "precision": precision, "gradient_checkpointing": checkpointing}
    peak = measured(tmp_path, config, environment, **training)
    settings = Training(precision, on_gpu=False, longest=4.0, checkpointing=checkpointing)
    need = foretold(families.model_class("wav2vec2").config_class(**config), settings)
    expected = need.fixed + seconds * need.per_second
    with capsys.disabled():
        print(f"{precision}, {checkpointing=}, {environment}: {expected / 1e6:.0f} MB foretold, {peak / 1e6:.0f} MB measured")
    assert 1 / factor < peak / expected < factor
