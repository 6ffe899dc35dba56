"""An interval of a speedup covers what another run of the same benchmark would find, as often as it promises."""

import numpy as np
import pytest

from pipeline.benchmark import ratio

UTTERANCES, PER_START = 60, 12


def simulated(rng, starts, by_start, by_utterance):
    """Seconds of a reference and of a variant, with their starts and utterances: the variant takes half as long.

    `by_start`, `by_utterance`: the standard deviations of the logarithm of the gain between starts and between utterances.
    """
    start = np.repeat(np.arange(starts), PER_START)
    utterance = np.arange(len(start)) % UTTERANCES
    length = rng.uniform(0.5, 2.0, UTTERANCES)[utterance]
    gains = rng.normal(0, by_start, starts)[start] + rng.normal(0, by_utterance, UTTERANCES)[utterance]
    noise = rng.normal(0, 0.05, (2, len(start)))
    return length * np.exp(noise[0]), 0.5 * length * np.exp(noise[1] - gains), start, utterance


@pytest.mark.parametrize("starts", [5, 10])
@pytest.mark.parametrize(("by_start", "by_utterance"), [(0.05, 0.0), (0.05, 0.1), (0.0, 0.1), (0.1, 0.02)])
def test_95_of_100_intervals_cover_the_true_speedup(starts, by_start, by_utterance):
    rng = np.random.default_rng(starts)
    covered = []
    for _ in range(1500):
        low, high = ratio.interval(*simulated(rng, starts, by_start, by_utterance))
        covered.append(low <= 2 <= high)
    assert 0.93 < np.mean(covered) < 0.99, np.mean(covered)


@pytest.mark.parametrize("by_start", [0.1, 0.15])
def test_92_of_100_do_where_starts_are_added_until_the_interval_is_narrow(by_start):
    """Within 15% of the speedup, from 5 starts to 15, as `benchmark` adds them; here for a single variant."""
    rng, covered = np.random.default_rng(5), []
    for _ in range(800):
        whole = simulated(rng, 15, by_start, 0.0)
        for starts in range(5, 16):
            reference, variant, *units = (column[: starts * PER_START] for column in whole)
            low, high = ratio.interval(reference, variant, *units)
            if high - low <= 0.15 * reference.sum() / variant.sum():
                break
        covered.append(low <= 2 * np.exp(-(by_start**2) / 2) <= high)
    assert 0.905 < np.mean(covered) < 0.97, np.mean(covered)


def test_a_constant_ratio_has_no_spread():
    times = np.array([1.0, 2.0, 3.0, 4.0])
    assert ratio.interval(2 * times, times, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])) == (2, 2)


def test_only_more_starts_narrow_what_differs_between_starts():
    rng = np.random.default_rng(1)
    widths = {}
    for starts in (3, 12):
        reach = [np.log(np.divide(*ratio.interval(*simulated(rng, starts, 0.1, 0.0))[::-1])) for _ in range(200)]
        widths[starts] = np.median(reach)
    assert widths[12] < 0.5 * widths[3]
