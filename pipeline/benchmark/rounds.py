"""Rounds of turns within one start of the variants' processes, and the latency figures that the rounds of all starts give.

A round: every variant, in shuffled order, times the same few utterances while the others wait. All run equally many rounds,
because a ratio is of the same utterances in the same rounds.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.benchmark import ratio
from pipeline.benchmark.processes import Process
from pipeline.params import Benchmark
from pipeline.speech.shards import Utterance


class Timed(NamedTuple):
    """One timed transcription; start, round and utterance are numbers, rounds are counted over all starts."""

    start: int
    round: int
    utterance: int
    seconds: float


def run(
    workers: Mapping[str, Process], start: int, numbers: Iterable[int], utterances: int, turn: int, rng: random.Random
) -> dict[str, list[Timed]]:
    """The rounds with these numbers, each of `turn` of the sample's `utterances`, in one start of the processes."""
    order = list(workers)
    times: dict[str, list[Timed]] = {name: [] for name in workers}
    for number in numbers:
        rng.shuffle(order)
        chosen = timed_in(number, utterances, turn)
        for name in order:
            seconds = workers[name].ask("turn", utterances=chosen)["seconds"]
            times[name] += [Timed(start, number, u, s) for u, s in zip(chosen, seconds, strict=True)]
    return times


def timed_in(number: int, utterances: int, turn: int) -> list[int]:
    """The utterances of the sample that are timed in the round with this number."""
    return [(number * turn + i) % utterances for i in range(turn)]


def latency(times: Sequence[Timed], reference: Sequence[Timed], sample: Sequence[Utterance], settings: Benchmark) -> dict:
    """Percentiles per utterance and per second of audio, RTFx and the speedup over the reference with 95% intervals.

    `narrow`: whether the speedup's interval is within `precision`; `turns`: rounds run.
    """
    seconds = np.array([timed.seconds for timed in times])
    starts, utterances = (np.array([getattr(timed, key) for timed in times]) for key in ("start", "utterance"))
    audio = np.array([sample[u].duration for u in utterances])
    rtfx_low, rtfx_high = ratio.interval(audio, seconds, starts, utterances)
    gained, low, high = speedup(times, reference)
    return {
        **{f"latency_{name}_ms": value for name, value in _percentiles(1000 * seconds).items()},
        **{f"ms_per_audio_second_{name}": value for name, value in _percentiles(1000 * seconds / audio).items()},
        "rtfx": float(audio.sum() / seconds.sum()), "rtfx_low": rtfx_low, "rtfx_high": rtfx_high,
        "speedup": gained, "speedup_low": low, "speedup_high": high,
        "narrow": high - low <= settings.precision * gained,
        "turns": len({timed.round for timed in times}),
    }  # fmt: skip


def speedup(times: Sequence[Timed], reference: Sequence[Timed]) -> tuple[float, float, float]:
    """How many times as long the reference takes for the same utterances in the same rounds, with a 95% interval."""
    seconds, base = (np.array([timed.seconds for timed in rows]) for rows in (times, reference))
    starts, utterances = (np.array([getattr(timed, key) for timed in times]) for key in ("start", "utterance"))
    return ratio_of(times, reference), *ratio.interval(base, seconds, starts, utterances)


def ratio_of(times: Sequence[Timed], reference: Sequence[Timed]) -> float:
    """The reference's seconds for each second of these timings."""
    return sum(timed.seconds for timed in reference) / sum(timed.seconds for timed in times)


def _percentiles(values: np.ndarray) -> dict[str, float]:
    return {f"p{q}": float(np.percentile(values, q)) for q in (50, 95, 99)}
