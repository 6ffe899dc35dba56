"""How latency grows with the length of audio: medians of a few hearings of each length, the variants in turn.

The first hearing of a length is not counted, as runtimes compile and allocate for it; but a variant that takes more than
SLOW_SECONDS is heard once and no more, since then that is little of it, and the others until they have had ENOUGH_SECONDS,
so that the pass has an end. Audio is the sample's, one utterance after the other. Beyond 30 s a Recognizer hears windows
(pipeline.recognition.recognizer), so from there on time grows in line.
"""

import logging
import random
import statistics

from pipeline.benchmark.processes import Process
from pipeline.params import Benchmark

HEARINGS, SLOW_SECONDS, ENOUGH_SECONDS = 9, 1.0, 1.0  # counted hearings
log = logging.getLogger(__name__)


def run(workers: dict[str, Process], settings: Benchmark) -> dict[str, dict[str, float] | None]:
    """{variant: {"1": milliseconds for 1 s of audio, "2": ...}}; None where no lengths are asked for."""
    if not settings.lengths:
        return dict.fromkeys(workers)
    rng, order, found = random.Random(settings.seed), list(workers), {name: {} for name in workers}
    for length in sorted(settings.lengths):
        log.info("benchmark: %g s of audio", length)
        times: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(1 + HEARINGS):
            rng.shuffle(order)
            for name in order:
                if not times[name] or (times[name][0] <= SLOW_SECONDS and sum(times[name][1:]) < ENOUGH_SECONDS):
                    times[name].append(workers[name].ask("length", seconds=length)["seconds"])
        for name, (first, *more) in times.items():
            found[name][f"{length:g}"] = 1000 * statistics.median(more or [first])
    return found
