"""How latency grows with the length of audio: one timing per length in each of the first starts, the variants in turn; with
the benchmark's threads, and then with one.

Each follows an untimed run of the same length in the same process, because runtimes compile and allocate in it. A variant that
takes more than SLOW_SECONDS is timed in the first start alone. Audio is the sample's, one utterance after the other. Beyond
30 s a Recognizer works in windows (pipeline.recognition.recognizer), so from there on time is linear in length.
"""

import random
from collections.abc import Mapping

from pipeline.benchmark.processes import Process
from pipeline.params import Benchmark

SLOW_SECONDS = 1.0

Times = Mapping[str, dict[float, list[float]]]  # {variant: {seconds of audio: seconds taken}}


def run(workers: Mapping[str, Process], settings: Benchmark, rng: random.Random, times: Times) -> None:
    """Time each of `settings.lengths` once per variant in this start, and append the seconds to `times`."""
    order = list(workers)
    for length in sorted(settings.lengths):
        rng.shuffle(order)
        for name in order:
            taken = times[name].setdefault(length, [])
            if not taken or taken[0] <= SLOW_SECONDS:
                taken.append(workers[name].ask("length", seconds=length)["seconds"])
