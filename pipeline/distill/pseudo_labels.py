"""The teacher's own text of audio that has none, as labels for CTC, where the teacher is confident enough.

The text is the greedy path of the stored logits. Its confidence is the geometric mean of its tokens' probabilities at their
peaks. Only utterances above a limit get labels (Kahn et al. 2020, self-training with a confidence filter); the others teach by
their logits alone.
"""

from collections.abc import Callable
from itertools import groupby

import numpy as np

from pipeline.models.vocabulary import Vocabulary
from pipeline.speech.shards import Utterance


def pseudo_labels(
    logits: Callable[[Utterance], np.ndarray], vocabulary: Vocabulary, least_confidence: float
) -> Callable[[Utterance], list[int]]:
    """A function from an utterance to its labels, [] where the teacher is not confident, or recognizes nothing.

    `logits`: the teacher's [frames, vocabulary] for an utterance.
    """

    def labels(utterance: Utterance) -> list[int]:
        recognized, confidence = greedy_labels(logits(utterance), vocabulary)
        return recognized if confidence >= least_confidence else []

    return labels


def greedy_labels(logits: np.ndarray, vocabulary: Vocabulary) -> tuple[list[int], float]:
    """The ids that the greedy path of logits [frames, vocabulary] writes, and their confidence, 0 to 1; 0 without any."""
    logits = logits.astype(np.float32)
    log_probs = -np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1))  # of each frame's likeliest token
    ids: list[int] = []
    peaks: list[float] = []
    frame = 0
    for index, run in groupby(logits.argmax(-1).tolist()):
        length = len(list(run))
        if index != vocabulary.blank and vocabulary.texts[index]:
            ids.append(index)
            peaks.append(float(log_probs[frame : frame + length].max()))
        frame += length
    return ids, float(np.exp(np.mean(peaks))) if peaks else 0.0
