"""Writes the store of the teacher's logits, file by file, so that what a kill interrupts goes on where it was.

Decision: until all files are there, they lie in .bigfoot/checkpoints/teacher_logits/FINGERPRINT, that of settings, precision,
code, corpus and teacher. Accelerate's processes share them by turns. On a Ray cluster a file is a piece of work: for a
GPU where the cluster has any, else for a core with one thread.
"""

import shutil
from contextlib import nullcontext
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import torch
from accelerate import PartialState

from pipeline.common import cluster, engine
from pipeline.common.errors import BigfootError
from pipeline.common.files import sha256_of
from pipeline.common.progress import Progress
from pipeline.distill.logits.store import shard_path, write_index
from pipeline.distill.logits.work import Work, runs_bf16
from pipeline.params import Logits
from pipeline.speech.corpus import Corpus, open_corpus
from pipeline.train import machine

LONGEST_WAIT = timedelta(days=30)  # of a process for those that have more to do
UNIT = "s of audio"


def store_logits(settings: Logits, teacher: Path, corpus: Corpus, checkpoints: Path, out: Path) -> None:
    """Write the teacher's logits for all training audio, with text or without, at each speed of `settings`.

    With `settings.features`, write the output of its feature encoder too.
    """
    if cluster.is_used():
        _on_cluster(settings, teacher, corpus, checkpoints, out)
    else:
        _in_processes(settings, teacher, corpus, checkpoints, out)


def _in_processes(settings: Logits, teacher: Path, corpus: Corpus, checkpoints: Path, out: Path) -> None:
    """Make the share of this one of accelerate's processes; the main one completes the store."""
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT)
    work = Work(settings, teacher, corpus, state.device, runs_bf16(state.device))
    folder = _begun(work, checkpoints)
    if state.is_main_process:
        work.announce(folder, state.num_processes, state.device.type, work.slowness())
    state.wait_for_everyone()  # what is missing is counted before anyone adds to it
    own = work.missing(folder, work.shards[state.process_index :: state.num_processes])
    with Progress("teacher logits", work.length(own), UNIT) if state.is_main_process else nullcontext() as progress:
        work.make(own, folder, machine.workers(), progress.advance if progress else lambda seconds: None)
    state.wait_for_everyone()
    if state.is_main_process:
        _complete(work, folder, out)


def _on_cluster(settings: Logits, teacher: Path, corpus: Corpus, checkpoints: Path, out: Path) -> None:
    unit: cluster.Unit = "GPU" if cluster.size("GPU") else "CPU"
    there = (settings.model_dump_json(), teacher, corpus.folder, "cuda" if unit == "GPU" else "cpu")
    ((bf16, slowness),) = engine.mapped(_probed, [there], needs=unit)
    work = Work(settings, teacher, corpus, torch.device("cpu"), bf16)  # it says what there is to do, and runs nothing
    folder = _begun(work, checkpoints)
    work.announce(folder, max(1, cluster.size(unit)), f"{there[-1]} of a Ray cluster", slowness)
    missing = work.missing(folder, work.shards)
    with Progress("teacher logits", work.length(missing), UNIT) as progress:
        pieces = ((*there, bf16, shard, folder) for shard in missing)
        for _ in engine.mapped(_made, pieces, advance=progress.advance, needs=unit):
            pass
    _complete(work, folder, out)


def _begun(work: Work, checkpoints: Path) -> Path:
    """The folder of the files that are there so far."""
    folder = checkpoints / work.fingerprint()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _complete(work: Work, folder: Path, out: Path) -> None:
    if missing := work.missing(folder, work.shards):
        raise BigfootError(f"{shard_path(folder, missing[0])} is missing: several machines need one file system for it")
    write_index(folder, work.index(sha256_of(shard_path(folder, shard) for shard in work.shards)))
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, out)


# ---------------------------------------------------------------- in a worker of the cluster


def _probed(settings: str, teacher: Path, corpus: Path, kind: str) -> tuple[bool, float]:
    """Whether it computes in bfloat16, and in how many seconds a second of audio."""
    work = _work(settings, teacher, corpus, kind)
    return work.bf16, work.slowness()


def _made(settings: str, teacher: Path, corpus: Path, kind: str, bf16: bool, shard: int, folder: Path) -> None:
    work = _work(settings, teacher, corpus, kind)
    if work.bf16 != bf16:
        raise BigfootError("some GPUs of the Ray cluster compute in bfloat16 and some can't: give it machines of one kind")
    work.make([shard], folder, advance=engine.advance)


@lru_cache(maxsize=1)
def _work(settings: str, teacher: Path, corpus: Path, kind: str) -> Work:
    """A process keeps the teacher from one file to the next."""
    device = torch.device(kind)
    if kind == "cpu":
        torch.set_num_threads(1)  # as many as the cores that Ray counts for it
    return Work(Logits.model_validate_json(settings), teacher, open_corpus(corpus), device, runs_bf16(device))
