"""Cuts an aligned recording into utterances at its pauses, for training or scoring.

A recording that is too long is cut at its longest pause, and so are its parts, until each is short enough. A piece whose score
is too low (the transcript says something else than the speaker, or a word can't be spelled) is left out. A piece takes half of
the pause on either side, at most MARGIN, because the ends of CTC's words come early.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.apps.alignment.align import AlignedWord

MARGIN = 0.3  # seconds


@dataclass(frozen=True)
class Piece:
    """An utterance: its offset in the recording and its duration in seconds, its text as given, and its score.

    `score` is the geometric mean of its characters' probabilities; None where a word can't be spelled.
    """

    offset: float
    duration: float
    text: str
    score: float | None


def cut(words: Sequence[AlignedWord], duration: float, most_seconds: float) -> list[Piece]:
    """The pieces of a recording of `duration` seconds, in order; none is longer than `most_seconds` but a single word."""
    groups = _groups(list(words), most_seconds - 2 * MARGIN)
    ends = [0.0, *(group[-1].end for group in groups)]
    starts = [*(group[0].start for group in groups), duration]
    return [_piece(group, ends[i], starts[i + 1], duration) for i, group in enumerate(groups)]


def _groups(words: list[AlignedWord], most_seconds: float) -> list[list[AlignedWord]]:
    if not words:
        return []
    if len(words) == 1 or words[-1].end - words[0].start <= most_seconds:
        return [words]
    pauses = [after.start - before.end for before, after in zip(words, words[1:], strict=False)]
    middle = (words[0].start + words[-1].end) / 2
    # The longest pause; of equally long ones, the one nearest to the middle.
    at = max(range(len(pauses)), key=lambda i: (pauses[i], -abs(words[i].end - middle))) + 1
    return _groups(words[:at], most_seconds) + _groups(words[at:], most_seconds)


def _piece(group: list[AlignedWord], end_before: float, start_after: float, duration: float) -> Piece:
    start = max(0.0, group[0].start - min(MARGIN, (group[0].start - end_before) / (2 if end_before else 1)))
    end = min(duration, group[-1].end + min(MARGIN, (start_after - group[-1].end) / (2 if start_after < duration else 1)))
    return Piece(round(start, 3), round(end - start, 3), " ".join(word.word for word in group), _score(group))


def _score(group: list[AlignedWord]) -> float | None:
    logs = [(math.log(max(word.score, 1e-10)), len(word.characters)) for word in group if word.score is not None]
    if len(logs) < len(group):
        return None
    return round(math.exp(sum(log * count for log, count in logs) / sum(count for _, count in logs)), 4)
