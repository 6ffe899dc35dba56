"""How latency grows with the length of audio: medians of a few runs per length, the variants in turn.

The first run of a length is not counted, because runtimes compile and allocate in it. A variant that takes more than
SLOW_SECONDS is the exception: it runs once, as compiling is a small part of that. The others run until they have taken
ENOUGH_SECONDS, so that the pass ends. Audio is the sample's, one utterance after the other. Beyond 30 s a Recognizer works in
windows (pipeline.recognition.recognizer), so from there on time is linear in length.
"""

import logging
import random
import statistics
from collections.abc import Mapping

from pipeline.benchmark.processes import Process
from pipeline.params import Benchmark

RUNS, SLOW_SECONDS, ENOUGH_SECONDS = 9, 1.0, 1.0  # runs that count, at most
log = logging.getLogger(__name__)


def run(workers: dict[str, Process], settings: Benchmark) -> Mapping[str, dict[str, float] | None]:
    """{variant: {"1": milliseconds for 1 s of audio, "2": ...}}; None where settings.lengths is empty."""
    if not settings.lengths:
        return dict.fromkeys(workers)
    rng, order = random.Random(settings.seed), list(workers)
    medians: dict[str, dict[str, float]] = {name: {} for name in workers}
    for length in sorted(settings.lengths):
        log.info("benchmark: %g s of audio", length)
        times: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(1 + RUNS):
            rng.shuffle(order)
            for name in order:
                if not times[name] or (times[name][0] <= SLOW_SECONDS and sum(times[name][1:]) < ENOUGH_SECONDS):
                    times[name].append(workers[name].ask("length", seconds=length)["seconds"])
        for name, (first, *more) in times.items():
            medians[name][f"{length:g}"] = 1000 * statistics.median(more or [first])
    return medians
