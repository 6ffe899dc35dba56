"""The confidence interval of a ratio of times, such as a speedup, that also holds for another run of the same benchmark.

Decision: what varies between runs is above all how a process happens to lie in memory and what the machine does in those
minutes; then the choice of utterances, since a variant's gain differs between them. So each variant's process is started
several times, spread over the run, and the interval adds the variance of the ratio between starts to that between utterances.
There are few starts: Student's t with Satterthwaite's degrees of freedom (Satterthwaite 1946) makes up for that, which
percentiles of a bootstrap over five starts don't.
"""

import numpy as np
from scipy.stats import t

CONFIDENCE = 0.95


def interval(
    reference: np.ndarray, times: np.ndarray, starts: np.ndarray | None, utterances: np.ndarray
) -> tuple[float, float]:
    """95% interval of sum(reference) / sum(times); all are [timings]: seconds, number of the start, number of the utterance.

    `reference` and `times` are of the same utterances in the same starts. There have to be two starts or more; None: all were
    timed in one process, whose own speed is then not in the interval.
    """
    by_utterance = _sums(reference, utterances) / reference.sum() - _sums(times, utterances) / times.sum()
    groups = [(_of_a_sum(by_utterance), max(1, len(by_utterance) - 1))]
    if starts is not None:
        by_start = np.log(_sums(reference, starts) / _sums(times, starts))
        groups.append((by_start.var(ddof=1) / len(by_start), len(by_start) - 1))
    variance = sum(part for part, _ in groups)
    if not variance:
        ratio = float(reference.sum() / times.sum())
        return ratio, ratio
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in groups)
    reach = t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(variance)
    low, high = reference.sum() / times.sum() * np.exp([-reach, reach])
    return float(low), float(high)


def _sums(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The sum of each group that occurs."""
    sums = np.bincount(groups, values)
    return sums[np.bincount(groups) > 0]


def _of_a_sum(parts: np.ndarray) -> float:
    """The variance of the sum of these parts, drawn at random; 0 where there is one, which shows none."""
    return float(len(parts) * parts.var(ddof=1)) if len(parts) > 1 else 0.0
