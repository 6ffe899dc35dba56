"""Decodes uploads from untrusted clients: whole audio files as bytes, within limits, and nothing else.

Decisions, and what they cost:
- No content of a request is ever opened as a path or an address: libsndfile gets bytes only. JSON carries bytes as base64,
  which MLflow decodes before this code runs, skipping invalid characters; so a path becomes bytes that are not audio.
- Size is checked before anything is read, and duration from the header before anything is decoded. A header may be wrong: a
  file that states too much is refused, and of a file that states too little no more is decoded than it states. So memory is
  bounded by the size of `seconds` of stereo at 48 kHz (4 bytes per sample), however the file is compressed.
- Whoever starts the server sets the limits (environment variables, read once), never a request.
"""

import io
import os
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.speech import audio

ACCEPTED = "send the bytes of a whole audio file (in JSON as base64); paths and addresses are not accepted"
MOST_SAMPLES_PER_SECOND = 2 * 48_000  # over all channels


@dataclass(frozen=True)
class Limits:
    """The limits of one request; each one's environment variable is BIGFOOT_SERVE_MAX_ and its name in capitals."""

    files: int = 16
    mb: float = 25.0  # per file, of 10^6 bytes
    seconds: float = 600.0  # of audio, per file

    @classmethod
    def from_environment(cls) -> "Limits":
        """The limits that the environment sets, otherwise the defaults; BigfootError where a value is not a number above 0."""
        limits = fields(cls)
        return cls(**{each.name: number(f"BIGFOOT_SERVE_MAX_{each.name.upper()}", each.type, each.default) for each in limits})


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


def decode_upload(content: object, limits: Limits) -> np.ndarray:
    """The bytes of one audio file -> float32 [T], mono, 16 kHz; BigfootError where they are not audio or exceed the limits."""
    if not isinstance(content, bytes | bytearray | memoryview):
        raise BigfootError(f"audio is {type(content).__name__}, not bytes: {ACCEPTED}")
    content = bytes(content)
    if len(content) > limits.mb * 1e6:
        raise BigfootError(
            f"audio has {len(content) / 1e6:.1f} MB, more than the {limits.mb:g} MB accepted here: cut or compress it"
        )
    _check_duration(content, limits)
    try:
        return audio.read(content)
    except BigfootError as error:
        raise BigfootError(f"{error}; {ACCEPTED}") from None
    except ValueError as error:  # for example a rate that can't be resampled
        raise BigfootError(f"the audio can't be decoded: {error}; {ACCEPTED}") from None


def _check_duration(content: bytes, limits: Limits) -> None:
    """Refuse a file whose header states that it is too long, or too large once decoded; skip headers that can't be read."""
    import soundfile

    try:
        header = soundfile.info(io.BytesIO(content))
    except (soundfile.LibsndfileError, RuntimeError):
        return  # decoding reports the problem
    if audio.stated_frames(header.frames) is None:
        raise BigfootError("the audio's header states no length, as in streamed FLAC: write it to a file first")
    if (seconds := header.frames / header.samplerate) > limits.seconds:
        raise BigfootError(f"audio lasts {seconds:.1f} s, more than the {limits.seconds:g} s accepted here: cut it")
    if header.frames * header.channels > limits.seconds * MOST_SAMPLES_PER_SECOND:
        raise BigfootError(
            f"audio has {header.channels} channels of {header.frames} samples, more than is decoded here: mix it down to one"
        )
