"""Rounds of turns, until every speedup's interval is narrow or the cap is reached, and the latency figures they give.

A round: every variant, in shuffled order, times the same few utterances while the others wait. All run equally many rounds,
because a ratio is of the same utterances in the same rounds. A variant's gain differs between utterances, and more rounds
don't change that. So there is a cap, and a row says whether its interval is narrow.
"""

import logging
import random
import time

import numpy as np

from pipeline.benchmark import ratio
from pipeline.benchmark.processes import Process
from pipeline.params import Benchmark
from pipeline.speech.shards import Utterance

RESAMPLES = 1000
ROUNDS_PER_LINE = 5  # of the log
log = logging.getLogger(__name__)

Times = list[tuple[int, int, float]]  # (round, utterance, seconds) of every timed transcription


def run(workers: dict[str, Process], reference: str, sample: list[Utterance], settings: Benchmark) -> dict[str, dict]:
    """The latency figures of each variant: see `latency`."""
    order = list(workers)
    times: dict[str, Times] = {name: [] for name in workers}
    rng, started, rows = random.Random(settings.seed), time.monotonic(), {}
    for number in range(settings.most_rounds):
        rng.shuffle(order)
        utterances = [(number * settings.turn + i) % len(sample) for i in range(settings.turn)]
        for name in order:
            seconds = workers[name].ask("turn", utterances=utterances)["seconds"]
            times[name] += [(number, u, s) for u, s in zip(utterances, seconds, strict=True)]
        is_due = (number + 1) % ROUNDS_PER_LINE == 0
        if number + 1 < settings.rounds:
            if is_due:
                left = _left(started, number, settings.rounds)
                log.info("benchmark: round %d of %d, %.0f s left", number + 1, settings.rounds, left)
            continue
        rows = {name: latency(times[name], times[reference], sample, settings) for name in workers}
        wide = [name for name, row in rows.items() if not row["narrow"]]
        if not wide:
            break
        if is_due:
            log.info(
                "benchmark: round %d of at most %d, %d variants' intervals are still wide, at most %.0f s left",
                number + 1, settings.most_rounds, len(wide), _left(started, number, settings.most_rounds),
            )  # fmt: skip
    return rows


def latency(times: Times, reference: Times, sample: list[Utterance], settings: Benchmark) -> dict:
    """Percentiles per utterance and per second of audio, RTFx and the speedup over the reference with 95% intervals.

    Intervals resample utterances. `narrow`: whether the speedup's interval is within `precision`; `turns`: rounds run.
    """
    seconds, base = (np.array([t for _, _, t in rows]) for rows in (times, reference))
    utterances = np.array([u for _, u, _ in times])
    audio = np.array([sample[u].duration for u in utterances])
    timed = np.unique(utterances)
    audio_each, base_each, seconds_each = (
        np.bincount(utterances, amounts, len(sample))[timed] for amounts in (audio, base, seconds)
    )
    rtfx_low, rtfx_high = ratio.interval(audio_each, seconds_each, RESAMPLES, settings.seed)
    low, high = ratio.interval(base_each, seconds_each, RESAMPLES, settings.seed)
    speedup = float(base.sum() / seconds.sum())
    return {
        **{f"latency_{name}_ms": value for name, value in _percentiles(1000 * seconds).items()},
        **{f"ms_per_audio_second_{name}": value for name, value in _percentiles(1000 * seconds / audio).items()},
        "rtfx": float(audio.sum() / seconds.sum()), "rtfx_low": rtfx_low, "rtfx_high": rtfx_high,
        "speedup": speedup, "speedup_low": low, "speedup_high": high,
        "narrow": high - low <= settings.precision * speedup,
        "turns": len({number for number, _, _ in times}),
    }  # fmt: skip


def _percentiles(values: np.ndarray) -> dict[str, float]:
    return {f"p{q}": float(np.percentile(values, q)) for q in (50, 95, 99)}


def _left(started: float, number: int, rounds: int) -> float:
    return (time.monotonic() - started) / (number + 1) * (rounds - number - 1)
