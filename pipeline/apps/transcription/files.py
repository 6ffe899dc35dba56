"""The recordings that a command line names, each read in blocks, so that hours of audio need no more memory than seconds.

The samples are those of pipeline.speech.audio.read, bit for bit: the same decoder, the same resampler in its streaming form.
What can't be read twice (a pipe) is copied to a temporary file first.
"""

import mmap
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from pipeline.common.errors import BigfootError
from pipeline.speech import audio
from pipeline.speech.audio import AudioError

BLOCK_SECONDS = 10
MOST_HZ, MOST_CHANNELS = 768_000, 64  # more than anything records: a header with more is damaged, and asks for gigabytes
SUFFIXES = frozenset(".wav .flac .mp3 .ogg .oga .opus .aiff .aif .w64".split())


@dataclass(frozen=True)
class Recording:
    """An audio file: its name as given, where its bytes lie, and its name below an output folder, without suffix."""

    name: str
    path: Path
    out: Path


@dataclass(frozen=True)
class Failure:
    """Something named that has no transcript, and why, in one line."""

    name: str
    reason: str


@dataclass(frozen=True)
class Measured:
    """What normalizing needs to know of a whole recording beforehand."""

    samples: int
    mean: float
    variance: float


def find(names: Iterable[str], stack: ExitStack) -> list[Recording | Failure]:
    """What is named, in that order: files as they are, folders' audio files by name, at any depth, - for stdin.

    Temporary files that this needs are gone once `stack` is closed.
    """
    found: list[Recording | Failure] = []
    for name in names:
        path = Path(name)
        if name == "-":
            found.append(Recording(name, _copied(sys.stdin.buffer, stack), Path("stdin")))
        elif path.is_fifo():
            with path.open("rb") as pipe:
                found.append(Recording(name, _copied(pipe, stack), Path(path.name)))
        elif path.is_dir():
            below = [Recording(str(one), one, one.relative_to(path).with_suffix("")) for one in _audio_files(path)]
            nothing = Failure(name, f"{name} holds no audio files ({' '.join(sorted(SUFFIXES))}): check the path")
            found += below or [nothing]
        else:
            found.append(Recording(name, path, Path(path.stem)))
    return found


def blocks(recording: Recording) -> Iterator[np.ndarray]:
    """The audio, mono at 16 kHz, in consecutive pieces: float32 [about 160,000]. Raises AudioError as audio.decode does."""
    name = recording.name
    _check_size(recording)
    heard = 0
    try:
        with audio.Forward(recording.path) as file:
            if file.samplerate > MOST_HZ or file.channels > MOST_CHANNELS:
                what = f"{file.channels} channels at {file.samplerate:,} Hz"
                raise AudioError("unreadable", f"{name} says that it has {what}: its header is damaged, fetch it again")
            resampled = _resampler(file.samplerate)
            while len(samples := file.read(BLOCK_SECONDS * file.samplerate, dtype="float32", always_2d=True)):
                heard += len(samples)
                yield resampled(audio.mono(samples), False)
            promised = audio.stated_frames(file.frames) or 0
            yield resampled(np.zeros(0, dtype=np.float32), True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise AudioError("unreadable", f"{name} can't be read as WAV, FLAC, MP3, OGG or Opus: {reason}") from None
    if heard < promised:
        raise AudioError("truncated", f"{name} is cut off: shorter than its header states, fetch it again")
    if not heard:
        raise AudioError("empty", f"{name} has no samples: fetch it again")


def measure(pieces: Iterable[np.ndarray], keep: int) -> tuple[Measured, list[np.ndarray] | None]:
    """Samples, mean and variance of pieces of audio; and these, unless they have more than `keep` samples together."""
    samples, total, squares, kept = 0, 0.0, 0.0, []
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite shows in the variance
        for piece in pieces:
            exact = piece.astype(np.float64)
            samples, total, squares = samples + len(piece), total + exact.sum(), squares + exact @ exact
            kept = [*kept, piece] if kept is not None and samples <= keep else None
        mean = total / max(samples, 1)
        variance = np.maximum(squares / max(samples, 1) - mean * mean, 0.0)  # np.maximum hands NaN on
    return Measured(samples, float(mean), float(variance)), kept


def seconds(recording: Recording) -> float:
    """How long a file says it is; 0 where it says nothing."""
    try:
        info = soundfile.info(recording.path)
        return (audio.stated_frames(info.frames) or 0) / info.samplerate
    except (soundfile.LibsndfileError, RuntimeError, OSError):
        return 0.0


def _copied(source, stack: ExitStack) -> Path:
    target = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bigfoot-"))) / "piped"
    try:
        with target.open("wb") as file:
            shutil.copyfileobj(source, file)
    except OSError as error:
        raise BigfootError(f"what is piped in can't be kept in {target}: {error.strerror}: set TMPDIR") from None
    return target


def _audio_files(folder: Path) -> list[Path]:
    """Those with a suffix of audio, but what is hidden (.trash/a.wav, and the ._a.wav that macOS leaves beside a.wav)."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _check_size(recording: Recording) -> None:
    """Raise AudioError where there is no file, nothing in it, or less than a WAV's header says."""
    try:
        with recording.path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise AudioError("empty", f"{recording.name} is empty (0 bytes): fetch it again")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                cut = audio._wav_is_cut(data)
    except FileNotFoundError:
        raise AudioError("missing", f"{recording.name} is missing: check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError("unreadable", f"{recording.name!r} can't be opened: {reason}") from None
    if cut:
        raise AudioError("truncated", f"{recording.name} is cut off: shorter than its header states, fetch it again")


def _resampler(rate: int):
    """A function (float32 [samples] at `rate`, whether they are the last) -> as many as are due at 16 kHz."""
    if rate == audio.SAMPLE_RATE:
        return lambda piece, last: piece
    import soxr

    return soxr.ResampleStream(rate, audio.SAMPLE_RATE, 1, dtype="float32").resample_chunk
