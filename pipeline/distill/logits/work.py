"""What one process does for the store of the teacher's logits: it makes the files that it is told to make.

Decision: a file is written beside its place and renamed, so it is complete or absent. No batch has utterances of two files, so
a file's bytes don't depend on which others were there (on a CPU with the same number of threads exactly so).
"""

import logging
import os
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.utils.data import ConcatDataset

from pipeline.common import engine, graph
from pipeline.common.numbers import clock
from pipeline.distill.logits import top_k
from pipeline.distill.logits.speeds import SPLITS, AtSpeeds
from pipeline.distill.logits.store import SHARD, STORE_VERSION, Index, digests, shard_path
from pipeline.models.folder import load_model
from pipeline.models.forward import frames_per_second, padding_invariant
from pipeline.models.inference import BATCH_SECONDS, Outputs, by_length, forward, outputs
from pipeline.params import Logits
from pipeline.speech.audio import SAMPLE_RATE
from pipeline.speech.corpus import Corpus, durations, split_folder
from pipeline.train import machine

PROBE_SECONDS = 10  # of each utterance of silence, by which the time is estimated
log = logging.getLogger(__name__)


def runs_bf16(device: torch.device) -> bool:
    """The teacher runs under bfloat16 autocast on a GPU that has it, else in float32."""
    return device.type == "cuda" and machine.gpu_has_bf16()


class Work:
    """The teacher in this process, and what it has to run over."""

    def __init__(self, settings: Logits, teacher: Path, corpus: Corpus, device: torch.device, bf16: bool):
        self.settings, self.teacher, self.corpus, self.device, self.bf16 = settings, teacher, corpus, device, bf16
        self.model, self.processor = load_model(teacher)
        self.model.to(device)
        self.at_speeds = AtSpeeds(corpus, settings.speeds)
        splits = [self.at_speeds.utterances(split) for split in SPLITS]
        self.utterances: Sequence = ConcatDataset(splits)
        self.seconds = np.concatenate([durations(utterances) for utterances in splits])
        self.shards = range(-(-len(self.utterances) // SHARD))

    def fingerprint(self) -> str:
        splits = [split_folder(self.corpus.folder, split) / "split.json" for split in SPLITS]
        weights = sorted(path for path in self.teacher.iterdir() if path.suffix in (".json", ".safetensors"))
        return graph.fingerprint("teacher_logits", f"{self.settings.model_dump_json()} {self.bf16=}", [*splits, *weights])

    def announce(self, folder: Path, processes: int, kind: str, slowness: float) -> None:
        """Log what is stored, its size, and how long what is missing in `folder` takes so many processes of this `kind`."""
        config, hours = self.model.config, self.seconds.sum() / 3600
        tokens = min(config.vocab_size, self.settings.top_k or config.vocab_size)
        per_frame = top_k.bytes_per_frame(config.vocab_size, self.settings.top_k, self.channels or 0)
        size = self.seconds.sum() * frames_per_second(config) * per_frame
        missing = self.missing(folder, self.shards)
        left = self.length(missing) * slowness / processes
        log.info(
            "teacher logits: %s utterances, %.2f h, %d of %d tokens in half precision%s: %.1f MB in %d files, %d of them to be "
            "made, in %s by %d x %s, which takes about %s",
            f"{len(self.utterances):,}", hours, tokens, config.vocab_size, " and features" if self.channels else "",
            size / 1e6, len(self.shards), len(missing), "bfloat16" if self.bf16 else "float32", processes, kind, clock(left),
        )  # fmt: skip

    def make(self, shards: list[int], folder: Path, workers: int = 0, advance: engine.Advance = lambda seconds: None) -> None:
        """Write these files; `workers` read audio ahead, and `advance` is called with seconds of audio as they are done."""
        rows = (batch for shard in shards for batch in self._batches(shard))
        made = outputs(self.model, self.processor, self.at_speeds, self.utterances, rows, workers, self.bf16)
        for shard in shards:
            arrays = self._arrays(shard, islice(made, len(self._batches(shard))), advance)
            partial = shard_path(folder, shard).with_suffix(".part")
            save_file(arrays, partial)
            os.replace(partial, shard_path(folder, shard))

    def index(self, digest: str) -> Index:
        vocabulary, speeds = self.model.config.vocab_size, self.settings.speeds
        return Index(STORE_VERSION, vocabulary, self.channels, speeds, SHARD, digests(self.corpus), digest)

    @property
    def channels(self) -> int | None:
        return self.model.config.conv_dim[-1] if self.settings.features else None

    def _arrays(self, shard: int, batches: Iterable[Outputs], advance: engine.Advance) -> dict[str, np.ndarray]:
        """The content of a file, see `shard_path`: the frames of its utterances in their order."""
        rows: list[dict[str, np.ndarray]] = [{}] * len(self._seconds(shard))
        for batch in batches:
            stored = top_k.packed(batch.logits, self.settings.top_k)
            if self.settings.features:
                stored["features"] = batch.features.half()
            arrays = {name: tensor.contiguous().cpu().numpy() for name, tensor in stored.items()}
            for at, (row, frames) in enumerate(zip(batch.rows, batch.frames, strict=True)):
                rows[row - shard * SHARD] = {name: array[at, :frames] for name, array in arrays.items()}
            advance(float(self.seconds[batch.rows].sum()))
        bounds = np.cumsum([0, *(len(next(iter(row.values()))) for row in rows)], dtype=np.int32)
        return {"bounds": bounds} | {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def missing(self, folder: Path, shards: Iterable[int]) -> list[int]:
        return [shard for shard in shards if not shard_path(folder, shard).exists()]

    def length(self, shards: Iterable[int]) -> float:
        """How many seconds of audio the utterances of these files have."""
        return float(sum(self._seconds(shard).sum() for shard in shards))

    def _batches(self, shard: int) -> list[list[int]]:
        return list(by_length(self._seconds(shard), first=shard * SHARD))

    def _seconds(self, shard: int) -> np.ndarray:
        """How long the utterances of a file are."""
        return self.seconds[shard * SHARD : (shard + 1) * SHARD]

    @torch.inference_mode()
    def slowness(self) -> float:
        """Seconds of computing per second of audio, from a batch of silence; one utterance before it prepares the device."""
        network, whole = padding_invariant(self.model), int(BATCH_SECONDS // PROBE_SECONDS)
        for count in (1, whole):
            silence = torch.zeros(count, PROBE_SECONDS * SAMPLE_RATE, device=self.device)
            lengths = torch.full((count,), silence.shape[1], device=self.device)
            start = time.monotonic()
            logits, _, _ = forward(network, silence, lengths, self.bf16)
            logits.cpu()
        return (time.monotonic() - start) / (whole * PROBE_SECONDS)
