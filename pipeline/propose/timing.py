"""Times untrained shapes on this machine, one after the other, each in seconds, for the cost model.

Decision: a shape and a reference take turns in two of the benchmark's workers, and what is kept is the ratio of their usual
times, a low percentile of each: what else runs on the machine slows both down, and interrupts most calls of either but not all.
Milliseconds are that ratio times the reference's own usual time. Each shape is remembered at once, so that a second
run goes on where the first ended.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.benchmark import processes
from pipeline.common.progress import Progress
from pipeline.lab.plan.probes import Remembered
from pipeline.propose.costs import Timed
from pipeline.propose.size import FORMAT
from pipeline.propose.untrained import Untrained
from pipeline.speech import audio

SECONDS = (1.0, 3.0)  # of audio that each shape is timed with, beside the budget's
TURNS, FEWEST, ENOUGH_SECONDS = 60, 5, 1.5
USUAL = 20  # percentile


def timed(
    configs: Sequence[dict],
    scheme: str,
    threads: int,
    lengths: Sequence[float],
    remembered: Remembered,
    untrained: Untrained,
    room: Path,
) -> list[Timed]:
    """The configs as measured in this scheme; the first is the reference. `lengths`: seconds of audio; `room`: for files."""
    bench = _Bench(configs[0], scheme, threads, lengths, untrained, room)
    rows = []
    with Progress(f"timing {scheme}", len(configs), "shapes") as progress:
        for config in configs:
            key = ("timed", FORMAT, scheme, threads, list(lengths), config, configs[0], untrained.schemes[scheme])
            rows.append(remembered.of(key, partial(bench.beside, config)))
            progress.advance(1)
    (_, _, *reference), *_ = rows
    timings = [(1.0,) * len(lengths), *(ratios for _, _, *ratios in rows[1:])]
    return [
        Timed(config, disk_mb, {s: 1000 * own * r for s, own, r in zip(lengths, reference, ratios, strict=True)}, ram_mb)
        for config, (disk_mb, ram_mb, *_), ratios in zip(configs, rows, timings, strict=True)
    ]


class _Bench:
    """Where shapes are timed in one scheme, each beside the reference, whose variant is made once."""

    def __init__(self, reference: dict, scheme: str, threads: int, lengths: Sequence[float], untrained: Untrained, room: Path):
        self.reference, self.scheme, self.threads, self.lengths = reference, scheme, threads, lengths
        self.untrained, self.folder, self.speech = untrained, room / f"reference.{scheme}", room / "speech.flac"

    def beside(self, config: dict) -> list[float]:
        """MB, peak memory in MB, and for each length the ratio to the reference, or of the reference its own seconds."""
        if not self.folder.is_dir():
            self.untrained.made(self.reference, self.scheme).rename(self.folder)
            noise = 0.1 * np.random.default_rng(0).standard_normal(round(max(self.lengths) * audio.SAMPLE_RATE))
            self.speech.write_bytes(audio.flac(noise.astype(np.float32)))
        folders = [self.folder] + ([self.untrained.made(config, self.scheme)] if config != self.reference else [])
        with processes.started([folder.name for folder in folders], self.threads) as workers:
            for worker, folder in zip(workers.values(), folders, strict=True):
                facts = worker.ask("open", folder=str(folder), threads=self.threads, files=[str(self.speech)])
            ratios = [_turns(list(workers.values()), length) for length in self.lengths]
        return [processes.size_mb(folders[-1]), facts["peak_mb"], *ratios]


def _turns(workers: list[processes.Process], length: float) -> float:
    """The ratio of the second worker's usual seconds to the first's, who take turns; of one worker its usual seconds."""
    times: list[list[float]] = []
    while len(times) < TURNS and (len(times) < FEWEST or np.sum(times) < ENOUGH_SECONDS):
        times.append([worker.ask("length", seconds=length)["seconds"] for worker in workers])  # each after an untimed one
    usual = np.percentile(times, USUAL, axis=0)
    return float(usual[-1] / usual[0]) if len(workers) > 1 else float(usual[0])
