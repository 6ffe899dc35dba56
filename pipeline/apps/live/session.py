"""Utterances of live audio: their text as it grows, and once it stands.

An utterance begins with its first letter. It ends after `live.silence` without one, or before it would last longer than
`live.longest`: then at the last gap between words, so that no word is cut, or, where a language writes no gaps, as it is. The
text of all utterances is that of the whole stream.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.apps.transcription.words import Word, WordDecoder
from pipeline.recognition.live import Part
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.live import Live


@dataclass(frozen=True)
class Utterance:
    """Words with times in seconds from the stream's start. Until it is final, the next one replaces it, maybe by none."""

    words: list[Word]
    is_final: bool

    @property
    def text(self) -> str:
        return " ".join(word.word for word in self.words)

    def as_object(self) -> dict:
        """For JSON; `start` and `end` are null where there are no words."""
        start, end = (self.words[0].start, self.words[-1].end) if self.words else (None, None)
        return {"text": self.text, "start": start, "end": end, "words": [word.as_object() for word in self.words]}


class Session:
    """One live recording: samples in, utterances out. Like a recognizer, not for several threads at once."""

    def __init__(self, recognizer: Recognizer, live: Live):
        info = recognizer.info
        frame_seconds = math.prod(info["conv_strides"]) / info["sample_rate"]
        self._stream = recognizer.stream_live(live)
        self._decoder = WordDecoder(info)
        self._writes = np.array([bool(token.strip()) for token in info["vocab"]])
        self._writes[info["blank"]] = False
        self._silence, self._longest = (max(1, round(seconds / frame_seconds)) for seconds in (live.silence, live.longest))
        self._words: list[Word] = []  # of this utterance, all ended
        self._quiet = self._lasts = 0  # frames since its last letter, and since its first one
        self._shown = ""

    def feed(self, samples: np.ndarray) -> list[Utterance]:
        """What the next samples, float32 [any number] at 16 kHz, make of the utterance, and those that end in them."""
        return [found for part in self._stream.feed(samples) for found in self._heard(part)]

    def end(self) -> list[Utterance]:
        """The last utterance, now that nothing follows."""
        found = [found for part in self._stream.end() for found in self._heard(part)]
        return found + self._ended(self._decoder.end())

    def _heard(self, part: Part) -> Iterator[Utterance]:
        for piece in self._pieces(part.settled):
            self._words += self._decoder.decode(piece)
            if self._lasts and self._quiet >= self._silence:
                yield from self._ended(self._decoder.end())
            elif self._lasts >= self._longest and self._words:
                yield from self._ended([])
                self._lasts = self._decoder.open_frames  # of the word that is under way
            elif self._lasts >= self._longest:
                yield from self._ended(self._decoder.end())
        ahead = self._decoder.copy()  # what it says of the right context may change
        utterance = Utterance([*self._words, *ahead.decode(part.tentative), *ahead.end()], is_final=False)
        if utterance.text != self._shown:
            self._shown = utterance.text
            yield utterance

    def _pieces(self, logits: np.ndarray) -> Iterator[np.ndarray]:
        """The frames up to each that may end an utterance, and the rest; counts what was quiet and how long it lasts."""
        start = 0
        for frame, is_letter in enumerate(self._writes[logits.argmax(-1)], start=1):
            self._quiet = 0 if is_letter else self._quiet + 1
            self._lasts += bool(self._lasts or is_letter)
            if self._lasts and (self._quiet >= self._silence or self._lasts >= self._longest):
                yield logits[start:frame]
                start = frame
        yield logits[start:]

    def _ended(self, last: list[Word]) -> list[Utterance]:
        words, self._words, self._lasts, self._shown = self._words + last, [], 0, ""
        return [Utterance(words, is_final=True)] if words else []
