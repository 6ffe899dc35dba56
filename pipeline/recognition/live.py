"""Logits of audio that is still being spoken, in the memory of one window, however long it goes on.

Decisions, and what they cost:
- A sliding window: each chunk is computed with its left and right context as if these were a whole recording. Nothing is
  carried over to the next window, so any model and runtime can do it, for (left + chunk + right) / chunk times a file's work.
- What comes out depends on the audio alone, not on the blocks that it arrives in.
- A file is normalized by its own mean and variance, which are not known yet. Here they are those of what was heard so far, the
  last half minute counting most (a new speaker, another microphone), and at the start of a second of something faint (-40 dB)
  besides, so that noise before the first word is not made as loud as speech.
- A chunk in which nothing is louder than the background is a pause: it is blank, without a pass, and doesn't count for the mean
  and the variance. A model that learned from single utterances hears words in noise once a window holds nothing else: on 60 of
  the quickstart's, 20 s of faint noise apart, 118 words were inserted among 248 without this rule, 11 with it.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.speech.live import Live

DAMAGED = "audio has NaN, infinite or far too large samples: its file is damaged, record or convert it again"
MEMORY_SECONDS = 30.0
FIRST_SECONDS, FIRST_VARIANCE = 1.0, 0.01**2  # -40 dB of full scale
BACKGROUND_SECONDS, LEARNED_SECONDS = 8.0, 1.0
LOUDER = 8.0  # in power, 9 dB
NOTHING = 1e-9  # the power of digital silence, -90 dB


@dataclass(frozen=True)
class Part:
    """The logits [frames, vocab] of the next chunk, and of the right context after it, which the next parts give anew."""

    settled: np.ndarray
    tentative: np.ndarray


class Stream:
    """The state of one live recording; a recognizer may have several, one after the other or in turns.

    `run` is a pass: float32 [samples] -> logits [frames, vocab]. A frame is `field` samples long, and one begins every `hop`.
    """

    def __init__(self, live: Live, info: dict, hop: int, field: int, run: Callable[[np.ndarray], np.ndarray]):
        self._hop, self._field, self._run = hop, field, run
        rate = info["sample_rate"]
        self._chunk, self._left, self._right = (round(each * rate / hop) for each in (live.chunk, live.left, live.right))
        self._chunk = max(1, self._chunk)
        self._level = _Level(rate) if info["normalize"] else None
        self._background = _Background(hop, self._chunk * hop / rate)
        self._blank = np.where(np.arange(len(info["vocab"])) == info["blank"], 10, -10).astype(np.float32)
        self._audio = np.zeros(0, dtype=np.float32)
        self._begin = 0  # the frame that begins with the first sample of `_audio`
        self._next = 0  # the first frame that is not settled
        self._measured = 0  # samples of `_audio` that `_level` knows

    def feed(self, samples: np.ndarray) -> list[Part]:
        """The parts that the next samples, float32 [any number], complete; raises BigfootError where they are not numbers."""
        if samples.ndim != 1 or samples.dtype.kind != "f":
            raise BigfootError(f"audio has to be one channel of floats within [-1, 1], not {samples.dtype} of {samples.shape}")
        if not np.isfinite(samples).all():
            raise BigfootError(DAMAGED)
        self._audio = np.concatenate([self._audio, samples], dtype=np.float32)
        parts = []
        while (end := self._sample(self._next + self._chunk + self._right - 1) + self._field) <= self._audio.size:
            parts.append(self._part(end, self._chunk))
        gone = self._sample(max(self._begin, self._next - self._left))
        self._audio, self._begin, self._measured = (
            self._audio[gone:].copy(),
            self._begin + gone // self._hop,
            max(0, self._measured - gone),
        )
        return parts

    def end(self) -> list[Part]:
        """What is left, now that nothing follows."""
        frames = self._begin + 1 + (self._audio.size - self._field) // self._hop
        if self._next == 0 and self._audio.size:
            frames = max(1, frames)  # as of a file that is shorter than a frame
        return [self._part(self._audio.size, frames - self._next)] if frames > self._next else []

    def _part(self, end: int, frames: int) -> Part:
        """Settle the next frames, by the audio up to sample `end` of `_audio`."""
        heard, first = self._next, max(self._begin, self._next - self._left)
        new, self._measured, self._next = self._audio[self._measured : end], end, heard + frames
        if self._background.is_pause(self._audio[self._sample(heard) : end]):
            return Part(np.repeat(self._blank[None], frames, axis=0), self._blank[None][:0])
        window = self._audio[self._sample(first) : end]
        if self._level:
            self._level.add(new)
            window = self._level.normalized(window)
        logits = self._run(np.pad(window, (0, max(0, self._field - window.size))))
        done = heard - first
        return Part(logits[done : done + frames], logits[done + frames :])

    def _sample(self, frame: int) -> int:
        """Where a frame begins in `_audio`."""
        return (frame - self._begin) * self._hop


class _Level:
    """The running mean and variance: of each past sample the weight halves about every 20 s."""

    def __init__(self, rate: int):
        self._memory = MEMORY_SECONDS * rate
        self._weight, self._sum, self._squares = FIRST_SECONDS * rate, 0.0, FIRST_SECONDS * rate * FIRST_VARIANCE

    def add(self, samples: np.ndarray) -> None:
        kept, exact = math.exp(-samples.size / self._memory), samples.astype(np.float64)
        self._weight = self._weight * kept + samples.size
        self._sum = self._sum * kept + float(exact.sum())
        self._squares = self._squares * kept + float(exact @ exact)

    def normalized(self, samples: np.ndarray) -> np.ndarray:
        mean = self._sum / self._weight
        variance = max(0.0, self._squares / self._weight - mean * mean)
        return (samples - np.float32(mean)) * np.float32((variance + 1e-7) ** -0.5)


class _Background:
    """The least power that was heard lately, of three frames each, which is never that of speech."""

    def __init__(self, hop: int, seconds: float):
        self._hop = hop
        self._lately: deque[float] = deque(maxlen=math.ceil(BACKGROUND_SECONDS / seconds))
        self._learned = math.ceil(LEARNED_SECONDS / seconds)

    def is_pause(self, samples: np.ndarray) -> bool:
        """Whether nothing in the next chunk and its right context is louder than the background."""
        steps = np.square(samples[: samples.size // self._hop * self._hop]).reshape(-1, self._hop).mean(axis=1)
        powers = np.convolve(steps, np.full(3, 1 / 3), "valid") if steps.size >= 3 else steps
        if not powers.size:
            return False
        self._lately.append(float(powers.min()))
        loudest = float(powers.max())
        return loudest < NOTHING or (len(self._lately) > self._learned and loudest < LOUDER * min(self._lately))
