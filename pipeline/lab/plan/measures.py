"""What is timed for a plan: a training step, a batch, an utterance, an export, loading audio, a process's start.

Decision: what is measured on a CPU is its time, not the clock's: that of the calling thread, or each core's share of all
threads', whichever is longer. So what else runs on the machine matters less, and a plan is of a machine that does nothing else.
Threads have to sleep while they wait for each other (SLEEPING, in the process's environment), or waiting is CPU time too.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.common.errors import BigfootError
from pipeline.models import families
from pipeline.models.forward import ignore_padding, padding_invariant
from pipeline.models.inference import whole_steps
from pipeline.params import Augment
from pipeline.quantize import export, onnx
from pipeline.recognition.runtimes import OPENVINO_STEP, start
from pipeline.speech import audio
from pipeline.train.ctc import ctc_loss

SLEEPING = {"OMP_WAIT_POLICY": "passive", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
REPEATS, ENOUGH_SECONDS = 5, 1.0  # at most
LETTERS_PER_SECOND = 10
LOOPS = 400  # steps, so that what a run begins with counts little


def computed(config: Any, half: torch.dtype | None, rows: int, seconds: float) -> list[float]:
    """Seconds per second of audio of a training step, of a batch and of a single utterance in PyTorch.

    The last figure is how many seconds longer the first step of a shape takes.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = families.model_class(config.model_type)(config).to(device)
    waveforms = torch.randn(rows, whole_steps(round(seconds * audio.SAMPLE_RATE)), device=device)
    lengths = torch.full((rows,), waveforms.shape[1], device=device)
    network = padding_invariant(model)
    model.eval()
    with torch.inference_mode():
        batched = _alone(lambda: network(waveforms, lengths))
        single = _alone(lambda: model.cpu()(waveforms[:1].cpu()))
    model.to(device).train()
    ignore_padding(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    labels = torch.randint(1, config.vocab_size, (rows, max(1, int(seconds * LETTERS_PER_SECOND))), device=device)
    frames = model._get_feat_extract_output_lengths(lengths)

    def step() -> None:
        with torch.autocast(device, half, enabled=half is not None):
            logits = model(waveforms, attention_mask=torch.ones_like(waveforms, dtype=torch.long)).logits
        loss = ctc_loss(logits, frames, labels, torch.full((rows,), labels.shape[1], device=device), 0)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    audio_seconds = rows * waveforms.shape[1] / audio.SAMPLE_RATE
    first = _alone(step, repeats=1)
    often = _alone(step)
    return [often / audio_seconds, batched / audio_seconds, single / audio_seconds * rows, max(0.0, first - often)]


def runtimes(config: Any, seconds: float) -> list[float]:
    """Seconds of an export; per second of audio in ONNX Runtime, in OpenVINO, and with its Linears in int8."""
    waveform = np.random.default_rng(0).standard_normal((1, whole_steps(round(seconds * audio.SAMPLE_RATE))), np.float32)
    lengths = np.array([waveform.size])
    assert waveform.size % OPENVINO_STEP == 0
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        families.model_class(config.model_type)(config).save_pretrained(folder)
        (folder / "graph").mkdir()
        graph, small = folder / "graph" / "fp32.onnx", folder / "int8.onnx"
        exported = _alone(lambda: export.to_onnx(folder, graph), repeats=1)
        onnx.quantize_linears(graph, small)
        opened = [start(file.parent, runtime, file.name) for runtime, file in
                  (("onnxruntime", graph), ("openvino", graph), ("onnxruntime", small))]  # fmt: skip
        plain, other, int8 = (_alone(partial(run, waveform, lengths)) for run in opened)
    audio_seconds = waveform.size / audio.SAMPLE_RATE
    return [exported, *(each / audio_seconds for each in (plain, other, int8))]


def loading(augment: Augment) -> float:
    """Seconds to decode, augment and normalize a second of audio."""
    from transformers import Wav2Vec2FeatureExtractor

    from pipeline.train.examples import augment as augmented

    extractor = Wav2Vec2FeatureExtractor()
    rng = np.random.default_rng(0)
    flac = audio.flac(0.1 * rng.standard_normal(5 * audio.SAMPLE_RATE).astype(np.float32))
    return _alone(lambda: extractor(augmented(audio.read(flac), augment, rng), sampling_rate=audio.SAMPLE_RATE)) / 5


def looping() -> float:
    """Seconds that transformers' Trainer adds to a step, from a model that computes nothing."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    class Nothing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x, **_):
            return {"loss": (x * self.weight).sum()}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=LOOPS, per_device_train_batch_size=1, report_to="none", disable_tqdm=True,
            save_strategy="no", use_cpu=not torch.cuda.is_available(),
        )  # fmt: skip
        trainer = Trainer(Nothing(), arguments, train_dataset=[{"x": torch.ones(1)}] * LOOPS)
        trainer.remove_callback(PrinterCallback)
        return _alone(trainer.train, repeats=1) / LOOPS


def starting(modules: str) -> float:
    """Seconds of CPU until a new process has imported them; imports use one thread."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", f"import {modules}"], capture_output=True, text=True)
    if done.returncode:
        raise BigfootError(f"no plan: a process can't import {modules}: {done.stderr.strip().splitlines()[-1]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _alone(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Seconds that `work` takes on a machine that does nothing else, the best of several, after one that doesn't count."""
    times: list[float] = []
    for _ in range(repeats + (repeats > 1)):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        began = time.perf_counter(), time.thread_time(), time.process_time()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            times.append(time.perf_counter() - began[0])
        else:
            times.append(max(time.thread_time() - began[1], (time.process_time() - began[2]) / torch.get_num_threads()))
        if sum(times[1:]) > ENOUGH_SECONDS:
            break
    return min(times[1:] or times)
