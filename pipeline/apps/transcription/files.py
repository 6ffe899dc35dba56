"""The recordings that a command line names, each read in blocks, so that hours of audio need no more memory than seconds.

The samples equal those of pipeline.speech.audio.read bit for bit: the same decoder, and the same resampler in its streaming
form. A pipe, which can't be read twice, is copied to a temporary file first.
"""

import mmap
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from pipeline.common.errors import BigfootError
from pipeline.speech import audio
from pipeline.speech.audio import AudioError

BLOCK_SECONDS = 10
MOST_HZ, MOST_CHANNELS = 768_000, 64  # a header that states more is damaged, and would need gigabytes
SUFFIXES = frozenset(".wav .flac .mp3 .ogg .oga .opus .aiff .aif .w64".split())


@dataclass(frozen=True)
class Recording:
    """An audio file: its name as given, its path, and its output's path below an output folder, without suffix."""

    name: str
    path: Path
    out: Path


@dataclass(frozen=True)
class Failure:
    """A name on the command line without a transcript, and the reason in one line."""

    name: str
    reason: str


@dataclass(frozen=True)
class Measured:
    """The figures of a whole recording that normalizing it needs beforehand."""

    samples: int
    mean: float
    variance: float


def find(names: Iterable[str], stack: ExitStack) -> list[Recording | Failure]:
    """The recordings of names, in their order: files, the audio files of folders, sorted, at any depth, and - for stdin.

    Closing `stack` removes the temporary files.
    """
    recordings: list[Recording | Failure] = []
    for name in names:
        path = Path(name)
        if name == "-":
            recordings.append(Recording(name, _copied(sys.stdin.buffer, stack), Path("stdin")))
        elif path.is_fifo():
            with path.open("rb") as pipe:
                recordings.append(Recording(name, _copied(pipe, stack), Path(path.name)))
        elif path.is_dir():
            below = [Recording(str(file), file, file.relative_to(path).with_suffix("")) for file in _audio_files(path)]
            empty = Failure(name, f"{name} holds no audio files ({' '.join(sorted(SUFFIXES))}): check the path")
            recordings += below or [empty]
        else:
            recordings.append(Recording(name, path, Path(path.stem)))
    return recordings


def blocks(recording: Recording) -> Iterator[np.ndarray]:
    """The audio, mono at 16 kHz, in consecutive pieces: float32 [about 160,000]. Raises AudioError as `audio.read` does."""
    name = recording.name
    _check_size(recording)
    frames = 0
    try:
        with audio.Forward(recording.path) as file:
            if file.samplerate > MOST_HZ or file.channels > MOST_CHANNELS:
                what = f"{file.channels} channels at {file.samplerate:,} Hz"
                raise AudioError("unreadable", f"{name} states {what}: its header is damaged, fetch it again")
            resampled = _resampler(file.samplerate)
            while len(samples := file.read(BLOCK_SECONDS * file.samplerate, dtype="float32", always_2d=True)):
                frames += len(samples)
                yield resampled(audio.mono(samples), False)
            stated = audio.stated_frames(file.frames) or 0
            yield resampled(np.zeros(0, dtype=np.float32), True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise AudioError("unreadable", f"{name} can't be read as WAV, FLAC, MP3, OGG or Opus: {reason}") from None
    if frames < stated:
        raise AudioError("truncated", f"{name} is cut off: shorter than its header states, fetch it again")
    if not frames:
        raise AudioError("empty", f"{name} has no samples: fetch it again")


def measure(pieces: Iterable[np.ndarray], keep: int) -> tuple[Measured, list[np.ndarray] | None]:
    """Samples, mean and variance of pieces of audio; and the pieces, or None where they exceed `keep` samples in total."""
    samples, total, squares = 0, 0.0, 0.0
    kept: list[np.ndarray] | None = []
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity show in the variance
        for piece in pieces:
            exact = piece.astype(np.float64)
            samples, total, squares = samples + len(piece), total + float(exact.sum()), squares + float(exact @ exact)
            kept = [*kept, piece] if kept is not None and samples <= keep else None
        mean = total / max(samples, 1)
        variance = np.maximum(squares / max(samples, 1) - mean * mean, 0.0)  # np.maximum keeps NaN
    return Measured(samples, float(mean), float(variance)), kept


def seconds(recording: Recording) -> float | None:
    """The duration that a file's header states: None where it states none, 0 where the file can't be read."""
    try:
        info = soundfile.info(recording.path)
        frames = audio.stated_frames(info.frames)
        return None if frames is None else frames / info.samplerate
    except (soundfile.LibsndfileError, RuntimeError, OSError):
        return 0.0


def _copied(source: BinaryIO, stack: ExitStack) -> Path:
    """A temporary file with the content of a pipe."""
    target = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bigfoot-"))) / "piped"
    try:
        with target.open("wb") as file:
            shutil.copyfileobj(source, file)
    except OSError as error:
        raise BigfootError(f"the piped input can't be written to {target}: {error.strerror}: set TMPDIR") from None
    return target


def _audio_files(folder: Path) -> list[Path]:
    """The files with an audio suffix, except hidden ones (.trash/a.wav, and ._a.wav, which macOS writes beside a.wav)."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _check_size(recording: Recording) -> None:
    """Raise AudioError where a file is missing or empty, or a WAV is shorter than its header states."""
    try:
        with recording.path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise AudioError("empty", f"{recording.name} is empty (0 bytes): fetch it again")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                cut = audio.wav_is_cut(data)
    except FileNotFoundError:
        raise AudioError("missing", f"{recording.name} is missing: check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError("unreadable", f"{recording.name!r} can't be opened: {reason}") from None
    if cut:
        raise AudioError("truncated", f"{recording.name} is cut off: shorter than its header states, fetch it again")


def _resampler(rate: int) -> Callable[[np.ndarray, bool], np.ndarray]:
    """A function (float32 [samples] at `rate`, whether they are the last) -> the next samples at 16 kHz."""
    if rate == audio.SAMPLE_RATE:
        return lambda piece, last: piece
    import soxr

    return soxr.ResampleStream(rate, audio.SAMPLE_RATE, 1, dtype="float32").resample_chunk
