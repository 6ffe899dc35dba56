"""The recordings that a command line names, each read in blocks, so that hours of audio need no more memory than seconds.

The samples equal those of pipeline.speech.audio.read bit for bit: the same decoders, the same resampler in its streaming
form, and scaled after it, when all of a recording is known. A pipe, which can't be read twice, is copied to a temporary file
first, and so is what is at an address, by whoever reads it (`here`).
"""

import logging
import os
import shutil
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import BinaryIO, Literal

import numpy as np

from pipeline.apps.transcription import remote
from pipeline.common.addresses import named
from pipeline.common.errors import Away, BigfootError, one_line
from pipeline.speech import audio, media
from pipeline.speech.audio import AudioError, Channel
from pipeline.speech.level import Level

Channels = Literal["mix", "first", "split"]
TEXTS = frozenset(".txt .json .jsonl .srt .vtt .ctm .textgrid .csv .tsv .md".split())  # what lies beside recordings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """An audio file: its name as given, its path, and its output's path below an output folder, without suffix.

    One at an address has that as its `url`, without whose secrets it is named; `here` gives it a path. `version` differs where
    its content does.
    """

    name: str
    path: Path
    out: Path
    url: str | None = None
    version: str = ""

    @property
    def is_alone(self) -> bool:
        """Whether the file is from a pipe or an address, so that nothing lies beside it."""
        return self.url is not None or self.path != Path(self.name)


@dataclass(frozen=True)
class Failure:
    """A name on the command line without a transcript, and the reason in one line."""

    name: str
    reason: str

    @classmethod
    def of(cls, recording: Recording, error: BigfootError) -> "Failure":
        """An error as the reason, which names the recording."""
        is_named = one_line(recording.name) in str(error)
        return cls(recording.name, str(error) if is_named else f"{recording.name}: {error}")


@dataclass(frozen=True)
class Measured:
    """The figures of a whole recording that normalizing it needs beforehand."""

    samples: int
    mean: float
    variance: float


def find(names: Iterable[str], stack: ExitStack) -> list[Recording | Failure]:
    """The recordings of names, in their order: files, the audio files of folders, sorted, at any depth, and - for stdin.

    Files and folders may be at addresses. A line says which other files of a folder are passed over, unless they are hidden or
    texts; links are followed, and a folder that can't be read is a failure. Closing `stack` removes the temporary files. Raises
    BigfootError where an address can't be asked.
    """
    recordings: list[Recording | Failure] = []
    for name in names:
        path = Path(name)
        if not name:
            recordings.append(Failure(name, "the name of a recording is empty: leave it out, or name a file or folder"))
        elif name == "-":
            if sys.stdin is None:
                raise BigfootError("stdin is closed: pipe a recording into it")
            recordings.append(Recording(name, _copied(sys.stdin.buffer, stack), Path("stdin")))
        elif remote.is_url(name):
            recordings += _at(name)
        elif _is_pipe(path):
            try:
                with path.open("rb") as pipe:
                    recordings.append(Recording(name, _copied(pipe, stack), Path(path.name)))
            except PermissionError as error:
                recordings.append(Failure(name, f"{name} can't be read: {error.strerror}"))
        elif os.path.isdir(path):
            below = list(_below(path))
            closed = [each for each in below if isinstance(each, Failure)]
            sounds = _sounds(name, (each.relative_to(path) for each in below if isinstance(each, Path)))
            found = [Recording(str(path / file), path / file, file.with_suffix("")) for file in sounds]
            recordings += [*found, *closed] or [_empty(name)]
        else:
            recordings.append(Recording(name, path, Path(path.stem)))
    return recordings


def _is_pipe(path: Path) -> bool:
    try:
        return path.is_fifo()
    except OSError:  # whoever opens it says why it can't be
        return False


def _below(folder: Path) -> Iterator[Path | Failure]:
    """The files below a folder that are not hidden, in any order, and those of its folders that can't be read.

    Each folder is read once: by its own path where it has one below, else by a link's.
    """
    seen: set[str] = set()
    folders, links = [folder], deque[Path]()
    while folders or links:
        here = folders.pop() if folders else links.popleft()
        if (real := os.path.realpath(here)) in seen:
            continue
        seen.add(real)
        try:
            names = sorted(name for name in os.listdir(here) if not name.startswith("."))
        except OSError as error:
            yield Failure(str(here), f"{here} can't be read: {error.strerror}")
            continue
        for path in (here / name for name in names):
            if os.path.isdir(path):
                (links if path.is_symlink() else folders).append(path)
            elif os.path.isfile(path) or not os.path.exists(path):  # a link to what is gone is a recording that is missing
                yield path


def _at(url: str) -> list[Recording | Failure]:
    """The recordings at an address."""
    name = named(url)
    try:
        found = {Path(each.below): each for each in remote.listed(url)}
    except Away:
        raise
    except BigfootError as error:
        return [Failure(name, str(error))]
    if not found:
        return [Failure(name, f"{name} is missing: check the address")]
    if Path() in found:
        return [Recording(name, Path(remote.stem(url)), Path(remote.stem(url)), url, found[Path()].version)]
    files = {file: found[file] for file in _sounds(name, found)}
    below = [Recording(named(each.url), file, file.with_suffix(""), each.url, each.version) for file, each in files.items()]
    return [*below] or [_empty(name)]


def _empty(name: str) -> Failure:
    return Failure(name, f"{name} holds no audio files ({' '.join(sorted(media.SUFFIXES))}): check the path")


@contextmanager
def here(recording: Recording) -> Iterator[Recording]:
    """A recording with a file on this machine: of one at an address a copy, for as long as it is needed.

    Raises BigfootError where it can't be fetched, or there is no room for it.
    """
    if recording.url is None:
        yield recording
        return
    with tempfile.TemporaryDirectory(prefix="bigfoot-") as folder:
        remote.fetch(recording.url, Path(folder) / "fetched")
        yield replace(recording, path=Path(folder) / "fetched")


def channels(recording: Recording, which: Channels) -> list[Channel]:
    """The channels of a recording that are transcribed one by one. Raises AudioError where it can't be opened."""
    if which != "split":
        return ["mix" if which == "mix" else 0]
    with media.opened(recording.path, recording.name) as sound:
        return list(range(sound.channels))


def measured(recording: Recording, channel: Channel, keep: int) -> tuple[Measured, Iterable[np.ndarray]]:
    """The figures of a channel, and its samples at 16 kHz in consecutive pieces, float32 [about 65,536 or fewer].

    Those of up to `keep` samples in total are kept in memory; longer ones are read again. Raises AudioError as `audio.read`.
    """
    level = Level()
    figures, kept = measure(blocks(recording, channel, level), keep)
    divided_by = audio.divisor(recording.name, level, channel)
    pieces = blocks(recording, channel, Level()) if kept is None else kept
    scaled = Measured(figures.samples, figures.mean / divided_by, figures.variance / divided_by**2)
    return scaled, (audio.scaled(piece, divided_by) for piece in pieces)


def blocks(recording: Recording, channel: Channel, level: Level) -> Iterator[np.ndarray]:
    """A channel at 16 kHz as it is in the file, not scaled, in consecutive pieces; `level` takes all channels into account."""
    with media.opened(recording.path, recording.name) as sound:
        resampled = _resampler(sound.rate)
        for samples in sound.blocks:
            level.add(samples)
            yield resampled(audio.pick(samples, channel), False)
        yield resampled(np.zeros(0, dtype=np.float32), True)


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
    """The duration that a file's header states: None where it states none, or is not here; 0 where the file can't be read."""
    if recording.url:
        return None
    try:
        with media.opened(recording.path, recording.name) as sound:
            return None if sound.frames is None else sound.frames / sound.rate
    except AudioError:
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


def _sounds(folder: str, files: Iterable[PurePath]) -> list[Path]:
    """Those of a folder's files that have an audio suffix, sorted; all are given by their paths below it.

    A line says what else is there, but for texts and what is hidden (.trash/a.wav, and ._a.wav, which macOS writes beside
    a.wav).
    """
    shown = [Path(path) for path in sorted(files) if not any(part.startswith(".") for part in path.parts)]
    others = [path for path in shown if path.suffix.lower() not in media.SUFFIXES | TEXTS]
    if others:
        log.warning("%s", one_line(f"{folder}: passed over, no audio by their names: {_counted(others)}"))
    return [path for path in shown if path.suffix.lower() in media.SUFFIXES]


def _counted(paths: list[Path]) -> str:
    """3 .dat, 1 without suffix."""
    counts = Counter(path.suffix.lower() or "without suffix" for path in paths)
    return ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common())


def _resampler(rate: int) -> Callable[[np.ndarray, bool], np.ndarray]:
    """A function (float32 [samples] at `rate`, whether they are the last) -> the next samples at 16 kHz."""
    if rate == audio.SAMPLE_RATE:
        return lambda piece, last: piece
    import soxr

    return soxr.ResampleStream(rate, audio.SAMPLE_RATE, 1, dtype="float32").resample_chunk
