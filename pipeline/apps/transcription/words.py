"""Words with times and confidences, from consecutive parts of a CTC model's logits.

The method, and its limits:
- The greedy path: the likeliest token of each frame; repeats are one token, blanks and special tokens (<s>) are left out. The
  words are exactly those of pipeline.speech.text.greedy.
- A word lasts from the first to the last frame of its tokens. A frame is 20 or 40 ms. CTC models peak: a letter holds one or
  two frames within the sound it stands for, blanks fill the rest. So starts are good to a few frames, ends come early (by
  a tenth of a second or more in a long last vowel), and nothing finer than a frame means anything.
- A token's confidence is the highest softmax probability among its frames, a word's the mean over its tokens. It is not
  calibrated: a CTC model gives high probabilities to most of its output, wrong words included. It ranks words; 0.9 does not
  mean that nine of ten are right. Missed words have none.
"""

import math
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Letter(NamedTuple):
    """A token of a word, its start and end in seconds from the recording's start."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Word:
    """A word, its start and end in seconds from the recording's start, and its confidence from 0 to 1.

    `channel` is counted from 1; None where channels were not transcribed apart. `letters` are its tokens, where they are known.
    """

    word: str
    start: float
    end: float
    confidence: float
    channel: int | None = None
    letters: tuple[Letter, ...] = ()

    def as_object(self) -> dict:
        """For JSON: all but the letters, and the channel where there is one."""
        fields = {"word": self.word, "start": self.start, "end": self.end, "confidence": self.confidence}
        return fields if self.channel is None else {**fields, "channel": self.channel}


@dataclass
class _Token:
    """A token of the word that is not yet ended: its text, its first and last frame, its confidence."""

    text: str
    first: int
    last: int
    confidence: float


class WordDecoder:
    """Logits in consecutive parts -> words; `info` is a variant.json."""

    def __init__(self, info: dict):
        self._vocab, self._blank = info["vocab"], info["blank"]
        self._frame_seconds = math.prod(info["conv_strides"]) / info["sample_rate"]
        self._frames = 0  # so far
        self._last = -1  # the last frame's token
        self._open: list[_Token] = []  # of the word that is not yet ended

    @property
    def open_frames(self) -> int:
        """How many frames the word that is not yet ended has lasted; 0 where there is none."""
        return self._frames - self._open[0].first if self._open else 0

    def copy(self) -> "WordDecoder":
        """Another decoder in the same state."""
        other = copy(self)
        other._open = [copy(token) for token in self._open]
        return other

    def decode(self, logits: np.ndarray) -> list[Word]:
        """The words that end in the next frames: float32 [frames, vocab]."""
        if not len(logits):
            return []
        ids = logits.argmax(-1)
        confidences = 1 / np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)
        starts = np.flatnonzero(np.diff(ids, prepend=-1))
        stops, peaks = [*starts[1:].tolist(), len(ids)], np.maximum.reduceat(confidences, starts).tolist()
        words: list[Word] = []
        for index, start, stop, peak in zip(ids[starts].tolist(), starts.tolist(), stops, peaks, strict=True):
            continues = start == 0 and index == self._last
            words += self._token(index, self._frames + start, self._frames + stop - 1, peak, continues)
        self._frames, self._last = self._frames + len(ids), int(ids[-1])
        return words

    def end(self) -> list[Word]:
        """The last word, if the recording ends in one."""
        if not self._open:
            return []
        tokens, self._open = self._open, []
        letters = tuple(Letter(token.text, self._seconds(token.first), self._seconds(token.last + 1)) for token in tokens)
        confidence = round(sum(token.confidence for token in tokens) / len(tokens), 4)
        text = "".join(token.text for token in tokens)
        return [Word(text, letters[0].start, letters[-1].end, confidence, letters=letters)]

    def _seconds(self, frame: int) -> float:
        return round(frame * self._frame_seconds, 3)

    def _token(self, index: int, first: int, last: int, confidence: float, continues: bool) -> list[Word]:
        """Add a run of equal frames; returns the word that it ends, if any."""
        text = self._vocab[index]
        if index == self._blank or not text:
            return []
        if text.isspace():
            return self.end()
        if continues and not self._open:  # its word was ended within it
            return []
        if continues:  # from the previous part
            self._open[-1].last, self._open[-1].confidence = last, max(confidence, self._open[-1].confidence)
        else:
            self._open.append(_Token(text, first, last, confidence))
        return []
