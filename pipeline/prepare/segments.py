"""Cuts a segment out of a long audio file, decoding no more than needed.

Decision: of WAV, FLAC and AIFF only the segment is read, and wrapped up as a small WAV for the one decoder and its checks. In
other formats a seek is not exact to the sample: they are decoded whole, once for consecutive segments of a file.
"""

import io
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from pipeline.speech import audio, headers, media, sndfile
from pipeline.speech.level import Level

EXACT = ("WAV", "WAVEX", "FLAC", "AIFF", "W64", "RF64")
FLOATS = ("FLOAT", "DOUBLE")
SLACK = 0.1  # s; tables round, so a segment may end so much after its file and is then cut there
_decoded: dict[Path, tuple[list[np.ndarray], int]] = {}  # the last recording that was decoded whole


def decode(path: Path, offset: float, duration: float | None) -> tuple[np.ndarray, int]:
    """The samples from `offset` (s) on, for `duration` (s) or, where that is None, to the end: float32 [T, channels], and
    their rate in Hz.

    Raises AudioError as `audio.decode` does, and "truncated" where the segment reaches beyond the file.
    """
    cut = _wrapped(path, offset, duration)
    if cut is not None:
        return audio.decode(cut, str(path))
    blocks, rate = _whole(path)
    starts = np.cumsum([0, *map(len, blocks)])
    first, last = _bounds(path, offset, duration, int(starts[-1]), rate)
    start, stop = np.searchsorted(starts, first, side="right") - 1, np.searchsorted(starts, last)
    around = np.concatenate(blocks[start : max(stop, start + 1)])
    return around[first - starts[start] : last - starts[start]], rate


def level(path: Path, samples: np.ndarray) -> Level:
    """The level of a segment, with the scale of its whole file: a quiet one of integers stored as float has none of its own."""
    own, scale = Level.of(samples), _scale(path)
    return own if scale is None else replace(own, peak=scale.peak, is_whole=scale.is_whole)


@lru_cache(maxsize=1)
def _scale(path: Path) -> Level | None:
    """Of a file whose samples may be beyond [-1, 1]; None of one whose samples are integers."""
    with suppress(OSError, RuntimeError, TypeError, ValueError), soundfile.SoundFile(path) as file:
        if file.format in EXACT and file.subtype not in FLOATS:
            return None
    scale = Level()
    with media.opened(path) as sound:
        for block in sound.blocks:
            scale.add(block[np.isfinite(block).all(axis=1)])  # NaN is for its own segment
    return scale


def _whole(path: Path) -> tuple[list[np.ndarray], int]:
    """All blocks of a recording, not joined, and its rate in Hz; the one before is dropped first. Both save memory."""
    if path not in _decoded:
        _decoded.clear()
        with media.opened(path) as sound:
            _decoded[path] = list(audio.in_memory(sound)), sound.rate
    return _decoded[path]


def _wrapped(path: Path, offset: float, duration: float | None) -> bytes | None:
    """The segment as a WAV file, sample by sample as it was; None where a format has to be decoded from its start."""
    try:
        with sndfile.standard_error([]):  # its notes on files of other formats
            file = soundfile.SoundFile(path)
        with file:
            frames = sndfile.stated_frames(file.frames)
            if file.format not in EXACT or "ADPCM" in file.subtype or not frames or _is_odd(path):
                return None
            sound = audio.Sound(str(path), file.samplerate, file.channels, frames, path.stat().st_size, iter(()))  # its bounds
            first, last = _bounds(path, offset, duration, frames, file.samplerate)
            audio.require_room(sound, last - first)
            is_float = file.subtype in FLOATS
            file.seek(first)
            samples = file.read(last - first, dtype="float32" if is_float else "int32", always_2d=True)
            rate = file.samplerate
    except (OSError, RuntimeError, TypeError, ValueError):  # soundfile's errors are RuntimeErrors: the decoder names the fault
        return None
    if len(samples) < last - first:
        raise audio.AudioError("truncated", f"{path} is cut off: shorter than its header states, fetch it again")
    wrapped = io.BytesIO()
    soundfile.write(wrapped, samples, rate, subtype="FLOAT" if is_float else "PCM_32", format="WAV")
    return wrapped.getvalue()


def _is_odd(path: Path) -> bool:
    """Whether the header does not fit the file; then the decoder says why."""
    with path.open("rb") as file:
        return headers.is_cut(file) or headers.holds_more(file)


def _bounds(path: Path, offset: float, duration: float | None, frames: int, rate: int) -> tuple[int, int]:
    """The segment's first frame and the one after its last."""
    first, length = round(offset * rate), frames / rate
    last = frames if duration is None else round((offset + duration) * rate)
    if first >= frames or last > frames + SLACK * rate:
        until = "" if duration is None else f" to {offset + duration:.2f}"
        raise audio.AudioError("truncated", f"the segment {offset:.2f}{until} s is not within {path}, which has {length:.2f} s")
    return first, min(last, frames)
