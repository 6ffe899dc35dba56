"""Writes the store of the teacher's logits, file by file, so that what a kill interrupts goes on where it was.

Decision: a file is written beside its place and renamed, so it is complete or absent. Until all are there, they lie in
.bigfoot/checkpoints/teacher_logits/FINGERPRINT, that of settings, precision, code, corpus and teacher. No batch has utterances
of two files, so a file's bytes don't depend on which others were there (on a CPU with the same number of threads exactly so).
The teacher runs in float32 on a CPU, under bfloat16 autocast on a GPU.
"""

import logging
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from itertools import islice
from math import prod
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from safetensors.numpy import save_file
from torch.utils.data import ConcatDataset

from pipeline.common import engine, graph
from pipeline.common.errors import BigfootError
from pipeline.common.files import sha256_of
from pipeline.common.numbers import clock
from pipeline.common.progress import Progress
from pipeline.distill.logits import top_k
from pipeline.distill.logits.speeds import SPLITS, AtSpeeds
from pipeline.distill.logits.store import SHARD, STORE_VERSION, Index, digests, shard_path, write_index
from pipeline.models.folder import load_model
from pipeline.models.forward import padding_invariant
from pipeline.models.inference import BATCH_SECONDS, Outputs, by_length, forward, outputs
from pipeline.params import Logits
from pipeline.speech.audio import SAMPLE_RATE
from pipeline.speech.corpus import Corpus, durations, split_folder

LONGEST_WAIT = timedelta(days=30)  # of a process for those that have more to do
PROBE_SECONDS = 10  # of each utterance of silence, by which the time is estimated
log = logging.getLogger(__name__)


def store_logits(settings: Logits, teacher: Path, corpus: Corpus, checkpoints: Path, out: Path) -> None:
    """Write the teacher's logits for all training audio, with text or without, at each speed of `settings`.

    With `settings.features`, write the output of its feature encoder too. Each of accelerate's processes makes its share.
    """
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT)
    work = _Work(settings, teacher, corpus, state)
    folder = checkpoints / work.fingerprint()
    folder.mkdir(parents=True, exist_ok=True)
    if state.is_main_process:
        work.announce(folder)
    state.wait_for_everyone()  # what is missing is counted before anyone adds to it
    work.write(folder)
    state.wait_for_everyone()
    if state.is_main_process:
        if missing := work.missing(folder, work.shards):
            raise BigfootError(f"{shard_path(folder, missing[0])} is missing: several machines need one file system for it")
        write_index(folder, work.index(sha256_of(shard_path(folder, shard) for shard in work.shards)))
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, out)


class _Work:
    """The teacher and what it has to run over, in one process."""

    def __init__(self, settings: Logits, teacher: Path, corpus: Corpus, state: PartialState):
        self.settings, self.teacher, self.corpus, self.state = settings, teacher, corpus, state
        self.model, self.processor = load_model(teacher)
        self.model.to(state.device)
        self.has_gpu = state.device.type == "cuda"
        self.bf16 = self.has_gpu and torch.cuda.is_bf16_supported()
        self.at_speeds = AtSpeeds(corpus, settings.speeds)
        splits = [self.at_speeds.utterances(split) for split in SPLITS]
        self.utterances: Sequence = ConcatDataset(splits)
        self.seconds = np.concatenate([durations(utterances) for utterances in splits])
        self.shards = range(-(-len(self.utterances) // SHARD))

    def fingerprint(self) -> str:
        splits = [split_folder(self.corpus.folder, split) / "split.json" for split in SPLITS]
        weights = sorted(path for path in self.teacher.iterdir() if path.suffix in (".json", ".safetensors"))
        return graph.fingerprint("teacher_logits", f"{self.settings.model_dump_json()} {self.bf16=}", [*splits, *weights])

    def announce(self, folder: Path) -> None:
        """Log what is stored, its size, and how long what is missing in `folder` takes."""
        config, hours = self.model.config, self.seconds.sum() / 3600
        stored = top_k.packed(torch.zeros(1, config.vocab_size), self.settings.top_k)
        tokens = next(iter(stored.values())).shape[1]
        width = sum(array.nbytes for array in stored.values()) + 2 * (self.channels or 0)  # bytes per frame
        size = self.seconds.sum() * SAMPLE_RATE / prod(config.conv_stride) * width
        missing = self.missing(folder, self.shards)
        left = sum(self._seconds(shard).sum() for shard in missing) * self._slowness() / self.state.num_processes
        log.info(
            "teacher logits: %s utterances, %.2f h, %d of %d tokens in half precision%s: %.1f MB in %d files, %d of them to be "
            "made, in %s by %d x %s, which takes about %s",
            f"{len(self.utterances):,}", hours, tokens, config.vocab_size, " and features" if self.channels else "",
            size / 1e6, len(self.shards), len(missing), "bfloat16" if self.bf16 else "float32",
            self.state.num_processes, self.state.device.type, clock(left),
        )  # fmt: skip

    def write(self, folder: Path) -> None:
        """Make this process's files that are missing in `folder`."""
        own = self.missing(folder, self.shards[self.state.process_index :: self.state.num_processes])
        workers = engine.cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if self.has_gpu else 0
        rows = (batch for shard in own for batch in self._batches(shard))
        made = outputs(self.model, self.processor, self.at_speeds, self.utterances, rows, workers, self.bf16)
        total = float(sum(self._seconds(shard).sum() for shard in own))
        with Progress("teacher logits", total, "s of audio") if self.state.is_main_process else nullcontext() as progress:
            for shard in own:
                arrays = self._arrays(shard, islice(made, len(self._batches(shard))), progress)
                partial = shard_path(folder, shard).with_suffix(".part")
                save_file(arrays, partial)
                os.replace(partial, shard_path(folder, shard))

    def index(self, digest: str) -> Index:
        vocabulary, speeds = self.model.config.vocab_size, self.settings.speeds
        return Index(STORE_VERSION, vocabulary, self.channels, speeds, SHARD, digests(self.corpus), digest)

    @property
    def channels(self) -> int | None:
        return self.model.config.conv_dim[-1] if self.settings.features else None

    def _arrays(self, shard: int, batches: Iterable[Outputs], progress: Progress | None) -> dict[str, np.ndarray]:
        """The content of a file, see `shard_path`: the frames of its utterances in their order."""
        rows: list[dict[str, np.ndarray]] = [{}] * len(self._seconds(shard))
        for batch in batches:
            stored = top_k.packed(batch.logits, self.settings.top_k)
            if self.settings.features:
                stored["features"] = batch.features.half()
            arrays = {name: tensor.contiguous().cpu().numpy() for name, tensor in stored.items()}
            for at, (row, frames) in enumerate(zip(batch.rows, batch.frames, strict=True)):
                rows[row - shard * SHARD] = {name: array[at, :frames] for name, array in arrays.items()}
            if progress:
                progress.advance(float(self.seconds[batch.rows].sum()))
        bounds = np.cumsum([0, *(len(next(iter(row.values()))) for row in rows)], dtype=np.int32)
        return {"bounds": bounds} | {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def missing(self, folder: Path, shards: Iterable[int]) -> list[int]:
        return [shard for shard in shards if not shard_path(folder, shard).exists()]

    def _batches(self, shard: int) -> list[list[int]]:
        return list(by_length(self._seconds(shard), first=shard * SHARD))

    def _seconds(self, shard: int) -> np.ndarray:
        """How long the utterances of a file are."""
        return self.seconds[shard * SHARD : (shard + 1) * SHARD]

    @torch.inference_mode()
    def _slowness(self) -> float:
        """Seconds of computing per second of audio, from a batch of silence; one utterance before it prepares the device."""
        network, whole = padding_invariant(self.model), int(BATCH_SECONDS // PROBE_SECONDS)
        for count in (1, whole):
            silence = torch.zeros(count, PROBE_SECONDS * SAMPLE_RATE, device=self.state.device)
            lengths = torch.full((count,), silence.shape[1], device=self.state.device)
            start = time.monotonic()
            logits, _, _ = forward(network, silence, lengths, self.bf16)
            logits.cpu()
        return (time.monotonic() - start) / (whole * PROBE_SECONDS)
