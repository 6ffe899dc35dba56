"""Decodes uploads from untrusted clients: whole audio files as bytes, within limits, and nothing else.

Decisions, and what they cost:
- No content of a request is ever opened as a path or an address: its decoder gets bytes only. JSON carries bytes as base64,
  which MLflow decodes before this code runs, skipping invalid characters; so a path becomes bytes that are not audio.
- An MLflow model never gives them to FFmpeg: M4A, WebM and the like are refused. `bigfoot serve` does so in another process.
- Size is checked before anything is read, duration from the header before anything is decoded, and again with every block
  that is decoded, since a header may state too little or nothing. So memory is bounded by the size of `seconds` of stereo at
  48 kHz (4 bytes per sample), however the file is compressed.
- Whoever starts the server sets the limits (environment variables, read once), never a request.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.speech import audio
from pipeline.speech.audio import Sound

ACCEPTED = f"send the bytes of a whole {audio.FORMATS} file (in JSON as base64); paths and addresses are not accepted"
LIMIT = "BIGFOOT_SERVE_MAX_"  # begins the names of environment variables that set a limit
MOST_SAMPLES_PER_SECOND = 2 * 48_000  # over all channels

Opened = Callable[[bytes], AbstractContextManager[Sound]]


@dataclass(frozen=True)
class Limits:
    """The limits of one request; each one's environment variable is LIMIT and its name in capitals."""

    files: int = 16
    mb: float = 25.0  # per file, of 10^6 bytes
    seconds: float = 600.0  # of audio, per file

    @classmethod
    def from_environment(cls) -> "Limits":
        """The limits that the environment sets, otherwise the defaults; BigfootError where a value is not a number above 0."""
        limits = zip(cls.variables(), fields(cls), strict=True)
        return cls(**{each.name: number(variable, each.type, each.default) for variable, each in limits})

    @classmethod
    def variables(cls) -> list[str]:
        """The environment variables of the limits, in their order."""
        return [f"{LIMIT}{each.name.upper()}" for each in fields(cls)]


def number(name: str, kind: Any, default):
    """An environment variable as a number (`kind`: int or float) above 0; `default` where it isn't set."""
    setting = os.environ.get(name)
    if setting is None:
        return default
    try:
        value = kind(setting)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise BigfootError(f"{name} is {setting!r}: set it to a {'whole ' if kind is int else ''}number above 0, or unset it")
    return value


def decode_upload(content: object, limits: Limits, opened: Opened = audio.opened) -> np.ndarray:
    """The bytes of one audio file -> float32 [T], mono, 16 kHz; `opened` is that of audio.py or media.py.

    Raises AudioError where they are not audio, BigfootError where they are not bytes or exceed the limits.
    """
    if not isinstance(content, bytes | bytearray | memoryview):
        raise BigfootError(f"audio is {type(content).__name__}, not bytes: {ACCEPTED}")
    content = bytes(content)
    if len(content) > limits.mb * 1e6:
        raise BigfootError(
            f"audio has {len(content) / 1e6:.1f} MB, more than the {limits.mb:g} MB accepted here: cut or compress it"
        )
    with opened(content) as sound:
        return audio.speech(replace(sound, blocks=_bounded(sound, limits)))


def _bounded(sound: Sound, limits: Limits) -> Iterator[np.ndarray]:
    """The blocks of a recording; raises BigfootError once they, or before them its header, exceed the limits."""
    _require_within(sound, sound.frames or 0, limits)
    frames = 0
    for block in sound.blocks:
        frames += len(block)
        _require_within(sound, frames, limits)
        yield block


def _require_within(sound: Sound, frames: int, limits: Limits) -> None:
    if (seconds := frames / sound.rate) > limits.seconds:
        raise BigfootError(f"audio lasts {seconds:.1f} s, more than the {limits.seconds:g} s accepted here: cut it")
    if frames * sound.channels > limits.seconds * MOST_SAMPLES_PER_SECOND:
        raise BigfootError(
            f"audio has {sound.channels} channels of {frames} samples, more than is decoded here: mix it down to one"
        )
