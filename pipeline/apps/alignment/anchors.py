"""Cuts a long recording and its text at the same places, so that each part can be aligned by itself (after Moreno et al. 1998).

torchaudio's search has room for a limited product of frames and characters, some 10 minutes of speech. Where a recording needs
more, its words are recognized first. Where three or more words in a row agree with the text, the recording may be cut before
each of them but the first and the last.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.apps.transcription.words import WordDecoder
from pipeline.common.errors import BigfootError

MOST_CELLS = 1 << 29  # of frames x (2 x characters + 1), 1 GB; four times as many overflow torchaudio's index
PART_SECONDS = 300.0
IN_A_ROW = 3


def fits(frames: int, tokens: int) -> bool:
    """Whether one search has room for so many frames and tokens."""
    return frames * (2 * tokens + 1) < MOST_CELLS


def parts(logits: np.ndarray, spellings: Sequence[str], info: dict, frame_seconds: float) -> Iterator[tuple[range, range]]:
    """Ranges of frames and of words that belong together, in order, each about PART_SECONDS long or as anchors allow.

    `spellings`: the words of the text; `info`: the variant.json that the logits [frames, vocab] come from.
    """
    first_frame = first_word = 0
    for frame, word in _anchors(logits, spellings, info, frame_seconds):
        if (frame - first_frame) * frame_seconds >= PART_SECONDS:
            yield range(first_frame, frame), range(first_word, word)
            first_frame, first_word = frame, word
    yield range(first_frame, len(logits)), range(first_word, len(spellings))


def check(frames: range, spellings: Sequence[str], frame_seconds: float) -> None:
    """Raise BigfootError where a part is still too long for one search."""
    if not fits(len(frames), sum(len(spelling) + 1 for spelling in spellings)):
        minutes = [round(frame * frame_seconds / 60) for frame in (frames.start, frames.stop)]
        raise BigfootError(
            f"between minutes {minutes[0]} and {minutes[1]} the variant recognizes no {IN_A_ROW} words in a row of the text: "
            "is it the transcript of this recording? Else cut it by hand, or use a better variant"
        )


def _anchors(logits: np.ndarray, spellings: Sequence[str], info: dict, frame_seconds: float) -> Iterator[tuple[int, int]]:
    """(frame, word): where the recording and the text may be cut, in order."""
    from rapidfuzz.distance import Levenshtein

    decoder = WordDecoder(info)
    recognized = [*decoder.decode(logits), *decoder.end()]
    blocks = Levenshtein.opcodes([word.word for word in recognized], list(spellings))
    for block in blocks:
        if block.tag == "equal" and block.src_end - block.src_start >= IN_A_ROW:
            for own, given in zip(
                range(block.src_start + 1, block.src_end - 1), range(block.dest_start + 1, block.dest_end - 1), strict=True
            ):
                yield round(recognized[own].start / frame_seconds), given
