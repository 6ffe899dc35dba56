"""A group of variants, measured in several starts of their processes until every speedup's interval is narrow, or up to a cap.

A variant's gain differs between utterances, and more starts don't change that. So there is a cap, `max_rounds`, and a row says
whether its interval is narrow.

The best of many measurements looks better than it is (winner's curse). So after every second start comes one whose timings
choose, the champion above all, and are not reported; those of all others are reported, and choose nothing. Profiles, energy and
cold starts are measured once, beside the first and the last start.
"""

import logging
import random
import time
from pathlib import Path
from statistics import median

from pipeline.benchmark import cold_start, consumption, lengths, processes, rounds
from pipeline.benchmark.processes import Process
from pipeline.benchmark.rounds import Timed
from pipeline.benchmark.timings import REFERENCE
from pipeline.common.numbers import clock
from pipeline.params import Benchmark
from pipeline.speech.shards import Utterance

log = logging.getLogger(__name__)

CHOOSES_AFTER = 2  # reported starts


class Group:
    """Variants that are resident together, and what was measured of them in all starts of their processes so far."""

    def __init__(self, folders: list[Path], files: list[str], sample: list[Utterance], settings: Benchmark):
        self.folders, self.files, self.sample, self.settings = folders, files, sample, settings
        self.names = [folder.name for folder in folders]
        self.rng, self.starts = random.Random(settings.seed), 0
        self.times: dict[str, list[Timed]] = {name: [] for name in self.names}
        self.to_choose: dict[str, list[Timed]] = {name: [] for name in self.names}
        self.by_length: dict[str, dict[float, list[float]]] = {name: {} for name in self.names}
        self.alone, self.by_length_alone = self.times, self.by_length  # with one thread
        if settings.threads > 1:
            self.alone, self.by_length_alone = {name: [] for name in self.names}, {name: {} for name in self.names}
        self.batched: dict[str, list[float]] = {name: [] for name in self.names}
        self.peaks: dict[str, float] = {}

    def rows(self) -> tuple[dict[str, dict], float | None]:
        """The figures of each variant, and the machine's idle power in W."""
        began, settings, once = time.monotonic(), self.settings, {}
        each, most, idle, is_narrow = settings.rounds_per_start, settings.most_starts, None, False
        while self.starts < settings.restarts or (self.starts < most and not is_narrow):
            numbers = range(self.starts * each, (self.starts + 1) * each)
            with processes.started(self.names, settings.threads) as workers:
                if self.starts == 0:
                    self.peaks = self._open(workers, None)
                    profiles = {name: workers[name].ask("profile") for name in self.names}
                    energy, idle = consumption.run(workers, settings)
                    once = {name: profiles[name] | energy[name] for name in self.names}
                else:
                    self._open(workers, numbers)
                self._take(workers, numbers)
            self.starts += 1
            if self.starts % CHOOSES_AFTER == 0:
                self._take_to_choose(self.starts // CHOOSES_AFTER - 1)
            is_narrow = self._is_narrow()
            wide = "" if is_narrow else ", intervals are still wide"
            least = (time.monotonic() - began) / self.starts * max(0, settings.restarts - self.starts)
            left = f", at least {clock(least)} left" if least else ""
            log.info("benchmark: start %d of %d to %d%s%s", self.starts, settings.restarts, most, wide, left)
        for folder in self.folders:
            log.info("benchmark: cold start of %s", folder.name)
            once[folder.name] |= cold_start.measure(folder, self.files[0], settings.threads, settings.cold_starts)
        return {name: once[name] | self._figures(name) for name in self.names}, idle

    def _open(self, workers: dict[str, Process], numbers: range | None) -> dict[str, float]:
        """Open all variants at the same time, and transcribe what these rounds time, or all, once untimed: -> peak memory."""
        self.rng.shuffle(self.names)
        folders = {folder.name: str(folder) for folder in self.folders}
        count, turn, untimed = len(self.sample), self.settings.turn, None
        if numbers is not None:
            untimed = sorted({index for number in numbers for index in rounds.timed_in(number, count, turn)})
        for name in self.names:
            open_with = {"threads": self.settings.threads, "files": self.files, "untimed": untimed}
            workers[name].tell("open", folder=folders[name], **open_with)
        return {name: workers[name].answer()["peak_mb"] for name in self.names}

    def _take(self, workers: dict[str, Process], numbers: range) -> None:
        """The timings of one start."""
        settings, count = self.settings, len(self.sample)
        for name, timed in rounds.run(workers, self.starts, numbers, count, settings.turn, self.rng).items():
            self.times[name] += timed
        for name in self.names:
            self.batched[name].append(workers[name].ask("batched", size=settings.batch)["rtfx"])
        if self.starts < settings.restarts:
            lengths.run(workers, settings, self.rng, self.by_length)
        if settings.threads > 1:
            for name in self.names:
                workers[name].ask("one_thread")
            for name, timed in rounds.run(workers, self.starts, numbers, count, settings.turn, self.rng).items():
                self.alone[name] += timed
            if self.starts < settings.restarts:
                lengths.run(workers, settings, self.rng, self.by_length_alone)

    def _take_to_choose(self, start: int) -> None:
        """A start of its own, whose timings choose and are not reported; it has as many rounds as the reported ones before."""
        each = CHOOSES_AFTER * self.settings.rounds_per_start
        numbers = range(start * each, (start + 1) * each)
        with processes.started(self.names, self.settings.threads) as workers:
            self._open(workers, numbers)
            timed = rounds.run(workers, start, numbers, len(self.sample), self.settings.turn, self.rng)
        for name in self.names:
            self.to_choose[name] += timed[name]

    def _is_narrow(self) -> bool:
        if self.starts < self.settings.restarts:
            return False
        return all(
            rounds.latency(self.times[name], self.times[REFERENCE], self.sample, self.settings)["narrow"] for name in self.names
        )

    def _figures(self, name: str) -> dict:
        """The figures of all starts."""
        with_one = rounds.latency(self.alone[name], self.alone[REFERENCE], self.sample, self.settings)
        teachers = [other for other in sorted(self.times) if other.partition(".")[0] == REFERENCE.partition(".")[0]]
        return {
            "speedups": {other: list(rounds.speedup(self.times[name], self.times[other])) for other in teachers},
            "speedup_to_choose": rounds.ratio_of(self.to_choose[name], self.to_choose[REFERENCE]),
            **rounds.latency(self.times[name], self.times[REFERENCE], self.sample, self.settings),
            "latency_p50_ms_one_thread": with_one["latency_p50_ms"],
            **{f"speedup_one_thread{end}": with_one[f"speedup{end}"] for end in ("", "_low", "_high")},
            "rtfx_batched": median(self.batched[name]), "latency_by_length": _medians(self.by_length[name]),
            "latency_by_length_one_thread": _medians(self.by_length_alone[name]),
            "ram_mb": self.peaks[name],
        }  # fmt: skip


def _medians(taken: dict[float, list[float]]) -> dict[str, float] | None:
    """{seconds of audio: ms}, None where no length was timed."""
    return {f"{length:g}": 1000 * median(seconds) for length, seconds in taken.items()} or None
