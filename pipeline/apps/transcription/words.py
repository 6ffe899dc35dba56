"""Words, their times and confidences, from a CTC model's logits as they come, piece by piece.

The method, and its limits:
- The greedy path: the likeliest token of each frame; repeats are one token, blanks and special tokens (<s>) are none. The
  words are exactly those of pipeline.speech.text.greedy.
- A word lasts from the first to the last frame of its tokens. A frame is 20 ms, and CTC models peak: a letter holds one or
  two frames within the sound it stands for, blanks fill the rest. So starts are good to a few frames, ends come early (by
  a tenth of a second or more in a long last vowel), and nothing finer than 20 ms means anything.
- A token's confidence is the highest softmax probability among its frames, a word's the mean over its tokens. It is not
  calibrated: a CTC model is sure of most of what it says, wrong words included. It ranks words; 0.9 does not mean that nine
  of ten are right. Words that were left out have none.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Word:
    """A word, when it was said in seconds from the recording's start, and how sure the model was, from 0 to 1."""

    word: str
    start: float
    end: float
    confidence: float


class Speller:
    """Logits in consecutive parts -> words; `info` is a variant.json."""

    def __init__(self, info: dict):
        self._vocab, self._blank, self._delimiter = info["vocab"], info["blank"], info["word_delimiter"]
        self._frame_seconds = math.prod(info["conv_strides"]) / info["sample_rate"]
        self._heard = 0  # frames so far
        self._last = -1  # the token of the last one
        self._open: list[list] = []  # of the word not yet ended: [text, first frame, last frame, confidence] a token

    def hear(self, logits: np.ndarray) -> list[Word]:
        """The words that end in the next frames: float32 [frames, vocab]."""
        if not len(logits):
            return []
        ids = logits.argmax(-1)
        sure = 1 / np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)
        starts = np.flatnonzero(np.diff(ids, prepend=-1))
        stops, peaks = [*starts[1:].tolist(), len(ids)], np.maximum.reduceat(sure, starts).tolist()
        words: list[Word] = []
        for index, start, stop, peak in zip(ids[starts].tolist(), starts.tolist(), stops, peaks, strict=True):
            goes_on = start == 0 and index == self._last
            words += self._token(index, self._heard + start, self._heard + stop - 1, peak, goes_on)
        self._heard, self._last = self._heard + len(ids), int(ids[-1])
        return words

    def end(self) -> list[Word]:
        """The last word, if the recording ends in one."""
        if not self._open:
            return []
        tokens, self._open = self._open, []
        return [
            Word(
                "".join(text for text, *_ in tokens),
                round(tokens[0][1] * self._frame_seconds, 3),
                round((tokens[-1][2] + 1) * self._frame_seconds, 3),
                round(sum(sure for *_, sure in tokens) / len(tokens), 4),
            )
        ]

    def _token(self, index: int, first: int, last: int, sure: float, goes_on: bool) -> list[Word]:
        """Take in a run of equal frames; returns the word that it ends, if any."""
        text = " " if (token := self._vocab[index]) == self._delimiter else token
        if index == self._blank or not token or (token.startswith("<") and token.endswith(">")):
            return []
        if text.isspace():
            return self.end()
        if goes_on:  # from the part before
            self._open[-1][2:] = [last, max(sure, self._open[-1][3])]
        else:
            self._open.append([text, first, last, sure])
        return []
