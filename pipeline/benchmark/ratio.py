"""The confidence interval of a ratio of sums, such as a speedup."""

import numpy as np


def interval(reference: np.ndarray, times: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """95% interval of sum(reference) / sum(times), by resampling units. Both are [units]: seconds for the same units."""
    drawn = np.random.default_rng(seed).integers(0, len(times), (resamples, len(times)))
    low, high = np.quantile(reference[drawn].sum(1) / times[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)
