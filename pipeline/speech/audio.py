"""Reads audio files as 16 kHz mono float arrays, and writes them as FLAC or WAV.

One decoder (libsndfile: WAV, FLAC, MP3, OGG, Opus) and one resampler (soxr) for everything, so that training, measuring
and transcription get the same samples. torchaudio would do the same, but its import takes seconds and version 2.11 needs a
separate codec. What libsndfile can't read, media.py hands to FFmpeg; a served MLflow model reads uploads with this module
alone.

A file's samples are checked before they are used, in one place each: its scale and the phase of its channels in level.py, and
in `Sound` how much audio it is. A header may lie, so rate, channels and duration have bounds before anything is decoded. Hours
of silence fit in half a megabyte: they are legal where audio is read block by block, as `bigfoot transcribe` does; what is
kept in memory whole has a further bound, see `in_memory`.
"""

import io
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import soundfile

from pipeline.common.errors import BigfootError, one_line
from pipeline.speech import sndfile
from pipeline.speech.level import Level

SAMPLE_RATE = 16_000
FORMATS = "WAV, FLAC, MP3, OGG, Opus, AIFF, AU, CAF, W64, RF64 or SPHERE"
LEAST_HZ, MOST_HZ, MOST_CHANNELS = 2_000, 768_000, 64  # a header beyond these is damaged, and would need gigabytes
MOST_SECONDS = 24 * 3600
MOST_FRAMES_PER_BYTE = 5_500  # no codec holds more silence: FLAC has 65,535 samples in 12 bytes
# In memory, over all channels or resampled: what any file may hold, and how much more per byte of it. Speech has far fewer.
FREE_SAMPLES, MOST_SAMPLES_PER_BYTE = 600 * 2 * 48_000, 256
BLOCK = 1 << 16  # samples read at once, over all channels

log = logging.getLogger(__name__)

Channel = int | Literal["mix"]  # counted from 0; "mix" is the mean of all


class AudioError(BigfootError):
    """Audio that can't be used; `check` is missing, unreadable, empty, truncated or opposite_phase."""

    def __init__(self, check: str, message: str):
        super().__init__(message)
        self.check = check

    def __reduce__(self):
        return AudioError, (self.check, str(self))


@dataclass(frozen=True)
class Sound:
    """An open recording, which is read once, from its start to its end.

    `frames` is what its header states, None where it states nothing; `size` the file's bytes. `blocks` are float32
    [frames, channels], consecutive; AudioError is raised after the last one where the file is empty or shorter than it states,
    and as soon as the bounds are exceeded, by the header or by a block.
    """

    name: str
    rate: int
    channels: int
    frames: int | None
    size: int
    blocks: Iterator[np.ndarray]

    def __post_init__(self):
        if not LEAST_HZ <= self.rate <= MOST_HZ or not 1 <= self.channels <= MOST_CHANNELS:
            raise AudioError(
                "unreadable",
                f"{self.name} states {self.channels} channels at {self.rate:,} Hz: its header is damaged (up to "
                f"{MOST_CHANNELS} channels at {LEAST_HZ:,} to {MOST_HZ:,} Hz are read), fetch it again",
            )
        self._require_within_bounds(self.frames or 0)
        object.__setattr__(self, "blocks", self._bounded(self.blocks))

    def _bounded(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """A header may state too little, or nothing."""
        frames = 0
        for block in blocks:
            frames += len(block)
            self._require_within_bounds(frames)
            yield block

    def _require_within_bounds(self, frames: int) -> None:
        seconds = frames / self.rate
        if seconds > MOST_SECONDS:
            hours = f"{seconds / 3600:,.1f} h, more than the {MOST_SECONDS // 3600} h"
            raise AudioError("unreadable", f"{self.name} holds {hours} of audio that are read: cut it, or fetch it again")
        if frames > self.size * MOST_FRAMES_PER_BYTE:
            raise AudioError(
                "unreadable",
                f"{self.name} has {self.size:,} bytes for {seconds:,.0f} s of audio or more, too few even for silence: it is "
                "damaged, fetch it again",
            )


def read(source: Path | str | bytes) -> np.ndarray:
    """A file (or its bytes) of any rate and any number of channels -> float32 [T] within [-1, 1], mono, 16 kHz.

    Raises AudioError (a BigfootError) as `decode` does, and where `divisor` refuses the samples.
    """
    with opened(source) as sound:
        return speech(sound)


def speech(sound: Sound, channel: Channel = "mix") -> np.ndarray:
    """A channel of an open recording, as `read` gives it."""
    level, picked = Level(), []
    for block in in_memory(sound):
        level.add(block)
        picked.append(pick(block, channel))
    divided_by = divisor(sound.name, level, channel)
    return scaled(change_rate(np.concatenate(picked), sound.rate), divided_by)


def decode(source: Path | str | bytes, name: str | None = None) -> tuple[np.ndarray, int]:
    """The samples as stored in the file, float32 [T, channels], and their rate in Hz; `name` as in `opened`.

    Raises AudioError where the file is missing, unreadable, empty, or shorter than its own header states.
    """
    with opened(source, name) as sound:
        return np.concatenate(list(in_memory(sound))), sound.rate


def in_memory(sound: Sound) -> Iterator[np.ndarray]:
    """The blocks of a recording that is kept whole; raises AudioError as `require_room` does, by the header or by a block."""
    frames = 0
    require_room(sound, sound.frames or 0)
    for block in sound.blocks:
        frames += len(block)
        require_room(sound, frames)
        yield block


def require_room(sound: Sound, frames: int) -> None:
    """Raise AudioError where so many frames of a recording are far more than its bytes hold of speech."""
    seconds = frames / sound.rate
    if max(frames * sound.channels, seconds * SAMPLE_RATE) > FREE_SAMPLES + sound.size * MOST_SAMPLES_PER_BYTE:
        raise AudioError(
            "unreadable",
            f"{sound.name} has {sound.size:,} bytes for {seconds:,.0f} s of audio or more, too few to be read whole: it is "
            "damaged, or hours of silence, which have to be cut",
        )


@contextmanager
def opened(source: Path | str | bytes, name: str | None = None, formats: str = FORMATS) -> Iterator[Sound]:
    """A file, or the bytes of one, as a Sound; `name` is what messages call it, `formats` what they say it could have been.

    Raises AudioError where it is missing, empty or unreadable.
    """
    name = name or name_of(source)
    with open_bytes(source, name) as file, ExitStack() as stack:
        with _errors(name, formats):
            reader = stack.enter_context(sndfile.forward(file))
        yield Sound(name, reader.samplerate, reader.channels, reader.stated, size_of(file), _blocks(name, reader))


def _blocks(name: str, reader: sndfile.Forward) -> Iterator[np.ndarray]:
    """In pieces, because a header may state no length, or one beyond memory."""
    frames = 0
    with _errors(name):
        while len(block := reader.block(max(1, BLOCK // reader.channels))):
            frames += len(block)
            yield block
    if notes := [line for line in reader.notes if line.strip()]:
        log.warning("%s", one_line(f"{name}: {len(notes)} notes of the MP3 decoder, the first: {notes[0]}"))
    if reader.file.failure:
        raise AudioError("unreadable", f"{name} can't be read: {reader.file.failure.strerror}")
    if reader.stated is not None and frames > reader.stated:
        raise AudioError("unreadable", f"{name} holds more samples than its header states: its header is damaged")
    ended(name, frames, reader.least, reader.is_cut)


@contextmanager
def _errors(name: str, formats: str = FORMATS) -> Iterator[None]:
    """libsndfile's errors as AudioError."""
    try:
        yield
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise AudioError("unreadable", f"{name} can't be read as {formats}: {reason}") from None


def name_of(source: Path | str | bytes) -> str:
    """What messages call a source."""
    return "the audio" if isinstance(source, bytes) else str(source)


def open_bytes(source: Path | str | bytes, name: str) -> BinaryIO:
    """The bytes of a source as a file. Raises AudioError where there are none."""
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else _opened_now(Path(source))
    except FileNotFoundError:
        raise AudioError("missing", f"{name} is missing: check the path") from None
    except (OSError, ValueError) as error:  # ValueError: not a valid path, for example one with a NUL
        raise AudioError("unreadable", f"{name!r} can't be opened: {getattr(error, 'strerror', error)}") from None
    if not isinstance(source, bytes) and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise AudioError("unreadable", f"{name} is not a regular file")
    if not file.read(1):
        file.close()
        raise AudioError("empty", f"{name} is empty (0 bytes): fetch it again")
    file.seek(0)
    return file


def _opened_now(path: Path) -> BinaryIO:
    """A file, without waiting for a writer where it is a pipe."""
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))  # noqa: SIM115


def size_of(file: BinaryIO) -> int:
    """The bytes of an open file, whose position stays."""
    at = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(at)
    return size


def ended(name: str, frames: int, stated: int, is_cut: bool) -> None:
    """Raise AudioError where a recording that gave `frames` is cut off or empty; `stated` is the least that it should give."""
    if frames < stated or is_cut:
        raise AudioError("truncated", f"{name} is cut off: shorter than its header states, fetch it again")
    if not frames:
        raise AudioError("empty", f"{name} has no samples: fetch it again")


def divisor(name: str, level: Level, channel: Channel) -> float:
    """What the samples of a recording have to be divided by; raises AudioError where they can't be used (see level.py)."""
    if level.divisor is None:
        raise AudioError(
            "unreadable",
            f"{name} has samples up to {level.peak:,.5g}, where float audio is within [-1, 1], and they are not whole numbers: "
            "divide them by their full scale",
        )
    if channel == "mix" and level.cancels_out:
        raise AudioError(
            "opposite_phase",
            f"{name} has channels of opposite phase, which leave nothing in their mix: use one of them, "
            "by corpus.channels in params.yaml or `--channels first` of `bigfoot transcribe` and `bigfoot align`",
        )
    return level.divisor


def pick(samples: np.ndarray, channel: Channel) -> np.ndarray:
    """One channel, or the mean of all: float32 [T, channels] -> float32 [T]."""
    if channel == "mix":
        with np.errstate(invalid="ignore", over="ignore"):  # samples beyond any scale are for others to find
            return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    return np.ascontiguousarray(samples[:, channel])


def scaled(samples: np.ndarray, divided_by: float) -> np.ndarray:
    """float32 [T] / divided_by; untouched where that is 1."""
    return samples if divided_by == 1 else samples / np.float32(divided_by)


def change_rate(samples: np.ndarray, rate: float, to: float = SAMPLE_RATE) -> np.ndarray:
    """Resample with soxr: float32 [T] at `rate` Hz -> float32 [T * to / rate] at `to` Hz."""
    if rate == to:
        return samples
    import soxr

    return soxr.resample(samples, rate, to)


def flac(samples: np.ndarray) -> bytes:
    """The FLAC file that `write` makes of float [T], as bytes."""
    content = io.BytesIO()
    soundfile.write(content, pcm16(samples), SAMPLE_RATE, "PCM_16", format="FLAC")
    return content.getvalue()


def write(path: Path | str, samples: np.ndarray) -> None:
    """Write float [T] within [-1, 1] as 16 kHz mono PCM16, in the format of the suffix (.flac, .wav).

    Samples beyond [-1, 1] are clipped. The same samples give the same bytes, and reading them back is exact to 1/65,536.
    """
    soundfile.write(str(path), pcm16(samples), SAMPLE_RATE, subtype="PCM_16")


def pcm16(samples: np.ndarray) -> np.ndarray:
    """Float [T] within [-1, 1] -> int16 [T], rounded to the nearest step and clipped at full scale."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
