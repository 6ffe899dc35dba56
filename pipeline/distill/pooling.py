"""The teacher's outputs for a student with fewer frames per second: several frames of the teacher become one.

Decision: what is pooled reads as the teacher's own text. A CTC model writes a character in one frame, and often several in
frames that follow each other, which would then share a frame of the student: of connected digits most words were lost by
whatever was done frame by frame (90% wrong in the mean of two frames, 72% in the one in which more is written, or by the
probability that anything is; the teacher 17%; docs/students.md). So each character of the teacher's greedy path gets a frame
of its own, with the distribution at its peak, and a blank before a repeated character, as near to its time as their order
allows (isotonic regression). All other frames are the mean of those around their time in which the teacher writes nothing.
"""

import numpy as np
import torch
from scipy.optimize import isotonic_regression


def pooled(logits: torch.Tensor, factor: int, blank: int) -> torch.Tensor:
    """Logits [frames, vocabulary] of one utterance -> log-probabilities [frames // factor, vocabulary].

    Where the text needs more frames than these, its least likely characters are left out.
    """
    probabilities = logits.float().softmax(-1).cpu().numpy()
    count = len(probabilities) // factor
    if not count:
        return logits[:0].float()
    rows = _silent(probabilities, blank, factor, count)
    peaks = _fitting(_peaks(probabilities, blank), probabilities, count)
    if len(peaks):
        rows[_places(peaks, _apart(probabilities[peaks].argmax(-1)), factor, count)] = probabilities[peaks]
    smallest = np.finfo(rows.dtype).tiny  # of 0 the loss would be NaN
    return torch.from_numpy(np.log(np.maximum(rows, smallest))).to(logits.device)


def _silent(probabilities: np.ndarray, blank: int, factor: int, count: int) -> np.ndarray:
    """[count, vocabulary]: of each `factor` frames the mean of those in which nothing is written, or else the nearest such.

    Where something is written in every frame, all are a certain blank.
    """
    rows = np.zeros((count, probabilities.shape[1]), probabilities.dtype)
    silent = np.flatnonzero(probabilities.argmax(-1) == blank)
    if not len(silent):
        rows[:, blank] = 1
        return rows
    row_of = np.minimum(silent // factor, count - 1)
    np.add.at(rows, row_of, probabilities[silent])
    silent_frames = np.bincount(row_of, minlength=count)[:, None]
    nearest = np.abs(np.subtract.outer(np.arange(count), (silent - (factor - 1) / 2) / factor)).argmin(1)
    return np.where(silent_frames > 0, rows / silent_frames.clip(1).astype(rows.dtype), probabilities[silent[nearest]])


def _peaks(probabilities: np.ndarray, blank: int) -> np.ndarray:
    """The frame in which each character of the greedy path is likeliest: one of each run of equal tokens."""
    path, best = probabilities.argmax(-1), probabilities.max(-1)
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    runs = zip(starts, [*starts[1:], len(path)], strict=True)
    return np.array([first + best[first:end].argmax() for first, end in runs if path[first] != blank], dtype=int)


def _fitting(peaks: np.ndarray, probabilities: np.ndarray, count: int) -> np.ndarray:
    """The peaks without the least likely ones that have no room in `count` frames."""
    while len(peaks) and _apart(probabilities[peaks].argmax(-1))[-1] >= count:
        peaks = np.delete(peaks, probabilities[peaks].max(-1).argmin())
    return peaks


def _apart(tokens: np.ndarray) -> np.ndarray:
    """How many frames after the first token each one comes at the earliest: one more each, two where a token is repeated."""
    return np.cumsum([0, *(1 + (tokens[1:] == tokens[:-1]))])


def _places(peaks: np.ndarray, apart: np.ndarray, factor: int, count: int) -> np.ndarray:
    """The frame of each peak: their times in frames, moved by the least squares that leave them `apart` and below `count`."""
    wanted = (peaks - (factor - 1) / 2) / factor - apart
    return np.round(isotonic_regression(wanted).x.clip(0, count - 1 - apart[-1])).astype(int) + apart
