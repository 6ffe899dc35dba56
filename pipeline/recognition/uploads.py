"""What is taken of strangers: a whole audio file as bytes, within limits, and nothing else.

Decisions, and what they cost:
- Nothing that a request says is ever opened as a path or an address: libsndfile is only given bytes. JSON brings bytes as
  base64, which MLflow decodes before this is reached, skipping what is no base64; a path so becomes bytes that are no audio.
- Size is checked before anything is read, and duration from the header before anything is decoded. A header may lie: one that
  promises too much is refused, and of one that promises too little no more is decoded than it promises. So memory is bounded by
  what MAX_SECONDS of stereo at 48 kHz take (4 bytes a sample), however the file is compressed.
- The limits belong to whoever starts the server (environment variables, read once), never to a request.
"""

import io
import os
from dataclasses import dataclass, fields

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.speech import audio

WHAT_IS_TAKEN = "send the bytes of a whole audio file (in JSON as base64); paths and addresses are not taken"
SAMPLES_A_SECOND = 2 * 48_000  # over all channels, as far as decoding is allowed to go


@dataclass(frozen=True)
class Limits:
    """What one request may hold; the environment variable of each is BIGFOOT_SERVE_MAX_ and its name in capitals."""

    files: int = 16
    mb: float = 25.0  # of 10^6 bytes, a file
    seconds: float = 600.0  # of audio, a file

    @classmethod
    def from_environment(cls) -> "Limits":
        """The defaults, and what the environment says instead. Raises BigfootError where that is no number above 0."""
        return cls(**{one.name: number(f"BIGFOOT_SERVE_MAX_{one.name.upper()}", one.type, one.default) for one in fields(cls)})


def number(name: str, kind: type, default):
    """An environment variable as a number above 0; `default` where it isn't set."""
    given = os.environ.get(name)
    if given is None:
        return default
    try:
        value = kind(given)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise BigfootError(f"{name} is {given!r}: set it to a {'whole ' if kind is int else ''}number above 0, or not at all")
    return value


def hear(content: object, limits: Limits) -> np.ndarray:
    """The bytes of one audio file -> float32 [T], mono, 16 kHz; BigfootError where they are no audio or beyond the limits."""
    if not isinstance(content, bytes | bytearray | memoryview):
        raise BigfootError(f"audio is {type(content).__name__}, not bytes: {WHAT_IS_TAKEN}")
    content = bytes(content)
    if len(content) > limits.mb * 1e6:
        raise BigfootError(
            f"audio has {len(content) / 1e6:.1f} MB, more than the {limits.mb:g} MB taken here: cut or compress it"
        )
    _check_duration(content, limits)
    try:
        return audio.read(content)
    except BigfootError as error:
        raise BigfootError(f"{error}; {WHAT_IS_TAKEN}") from None
    except ValueError as error:  # such as a rate that can't be resampled
        raise BigfootError(f"the audio can't be decoded: {error}; {WHAT_IS_TAKEN}") from None


def _check_duration(content: bytes, limits: Limits) -> None:
    """Refuse by the header what is too long, or would be too large once decoded; headers that can't be read are left alone."""
    import soundfile

    try:
        told = soundfile.info(io.BytesIO(content))
    except (soundfile.LibsndfileError, RuntimeError):
        return  # decoding says what is wrong
    if audio.frames_said(told.frames) is None:
        raise BigfootError("the audio doesn't say how long it is, as streamed FLAC does: write it to a file first")
    if (seconds := told.frames / told.samplerate) > limits.seconds:
        raise BigfootError(f"audio lasts {seconds:.1f} s, more than the {limits.seconds:g} s taken here: cut it")
    if told.frames * told.channels > limits.seconds * SAMPLES_A_SECOND:
        raise BigfootError(
            f"audio has {told.channels} channels of {told.frames} samples, more than is decoded here: mix it down to one"
        )
