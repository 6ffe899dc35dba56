"""What a corpus costs as it grows: files, and the time and memory of what a training does with its utterances.

    python -m pipeline.lab.growth FOLDER UTTERANCES...

Writes a split of as many utterances (every one the same 0.1 s of tone, so that the audio takes little room) into FOLDER and
removes it again. Each size is measured in a process of its own. Memory is what a process has written for itself: the files are
memory-mapped, so what is read of them is the page cache's, shared by all processes, and free when something else needs it.
On Linux alone.
"""

import json
import multiprocessing
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from pipeline.common.command import stage_main
from pipeline.common.errors import BigfootError
from pipeline.common.tables import markdown
from pipeline.speech import audio
from pipeline.speech.corpus import durations
from pipeline.speech.shards import ROWS, SplitWriter, Utterance, Utterances
from pipeline.train.batches import Batches

WORKERS, READ = 2, 20_000


def main(folder: str = "growth", *utterances: int) -> None:
    """Print a table with one row per size."""
    if not utterances:
        raise BigfootError("name a folder and numbers of utterances: python -m pipeline.lab.growth growth 28100 281000")
    rows = []
    for count in utterances:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            rows.append(process.submit(measured, Path(folder) / str(count), count).result())
        print(json.dumps(rows[-1]), flush=True)
    print(markdown(list(rows[0]), [[f"{value:,}" for value in row.values()] for row in rows]))


def measured(folder: Path, count: int) -> dict[str, float]:
    """Files, seconds and bytes per utterance for one size."""
    flac = audio.flac(0.1 * np.sin(np.arange(1600) / 10).astype(np.float32))
    began = time.perf_counter()
    writer = SplitWriter(folder)
    for number in range(count):
        writer.add(Utterance(f"u{number:08}", "one two three", f"s{number % 2500}", 1.0 + number % 1400 / 100), flac)
    writer.close({})
    os.sync()  # or what was just written counts as this process's memory where it is mapped
    wrote = time.perf_counter() - began
    files = list(folder.iterdir())
    list(Utterances(folder)[:ROWS])  # what is loaded once is not counted
    before, began = _private(), time.perf_counter()
    utterances = Utterances(folder)
    batches = Batches(durations(utterances), 60.0, count=10**9, seed=0)
    next(iter(batches))
    opened, own = time.perf_counter() - began, _private() - before
    loader = DataLoader(Items(utterances), batch_size=64, num_workers=WORKERS, sampler=_Random(count))
    began = time.perf_counter()
    shares = [int(share.max()) for share in loader]
    row = {
        "utterances": count, "files": len(files), "MB on disk": round(sum(f.stat().st_size for f in files) / 1e6),
        "s to write": round(wrote, 1), "s to open and order one epoch": round(opened, 1),
        "bytes per utterance": round(own / count, 1), "MB per loading process": round(max(shares) / 1e6),
        "utterances read per s": round(READ / (time.perf_counter() - began)),
    }  # fmt: skip
    shutil.rmtree(folder)
    return row


class Items:
    """The utterances' audio, read in worker processes; each item is its process's private memory in bytes."""

    def __init__(self, utterances: Utterances):
        self.utterances = utterances

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, row: int) -> int:
        assert self.utterances[row].text and len(audio.read(self.utterances.flac(row)))
        return _private() if row % 64 == 0 else 0


class _Random:
    """READ rows, drawn at random."""

    def __init__(self, count: int):
        self.rows = np.random.default_rng(0).integers(0, count, READ)

    def __len__(self) -> int:
        return READ

    def __iter__(self):
        return iter(self.rows.tolist())


def _private() -> int:
    """Bytes that only this process has and has written: neither pages of files nor what it shares with its parent."""
    rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(row.split()[1]) for row in rows if row.startswith("Private_Dirty:"))


if __name__ == "__main__":
    stage_main(main)
