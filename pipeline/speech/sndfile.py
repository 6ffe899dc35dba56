"""libsndfile as a reader that goes from a file's start to its end: WAV, FLAC, MP3, OGG, Opus, AIFF ...

Its MP3 decoder writes notes on damaged frames to the process's standard error, without the file's name. They are caught there
and kept in `notes`, for who knows the name.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import numpy as np
import soundfile

from pipeline.speech import headers, mp3

_STANDARD_ERROR = 2
_one_at_a_time = threading.Lock()  # there is one standard error
_MOST_SAMPLES = 1 << 36  # FLAC's maximum; libsndfile gives 2**63 - 1 where the header states no length


class Forward(soundfile.SoundFile):
    """An audio file that is read from start to end without seeking.

    In a seekable file soundfile seeks to the current position after each read. The MP3 decoder then loses what the next
    frame needs from the frames before it, and the samples after each block were wrong.
    """

    def __init__(self, file: "_Callbacks", is_cut: bool, stated: int | None = None):
        super().__init__(file)
        self.file, self.is_cut = file, is_cut
        self.stated = stated or stated_frames(self.frames)  # None where a streaming encoder left it out
        self.spare = 0  # samples per channel that may be missing
        self.left: int | None = None  # samples per channel before what is no audio; None: it is audio to the end
        self.notes: list[str] = []

    def block(self, samples: int) -> np.ndarray:
        """The next samples of each channel: float32 [samples or, at the end, fewer, channels]."""
        if self.left is not None:
            block = self.read(min(samples, self.left), dtype="float32", always_2d=True)
            self.left -= len(block)
            return block
        if self.format != "MP3":
            return self.read(samples, dtype="float32", always_2d=True)
        with standard_error(self.notes):
            return self.read(samples, dtype="float32", always_2d=True)

    def seekable(self) -> bool:
        return False

    @property
    def least(self) -> int:
        """The samples per channel below which the file is cut off."""
        return max(0, (self.stated or 0) - self.spare)


def stated_frames(frames: int) -> int | None:
    """What a header states, from libsndfile's value; None where it states nothing."""
    return frames if frames <= _MOST_SAMPLES else None


@contextmanager
def forward(file: BinaryIO) -> Iterator[Forward]:
    """Open the bytes of an audio file; raises soundfile's errors, and ValueError where not all of it can be read."""
    notes: list[str] = []
    if mp3.is_mp3(file):
        found = mp3.scan(file)
        if found.fault:
            raise ValueError(found.fault)
        with standard_error(notes):
            frames = mp3.Frames(file, found)
            reader = Forward(_Callbacks(frames, frames.patch_at, frames.patch), found.is_cut)
        with reader:
            reader.notes = notes
            reader.spare = mp3.SPARE_FRAMES * mp3.samples_per_frame(reader.samplerate)
            yield reader
        return
    is_cut = headers.is_cut(file)
    if headers.holds_more(file):
        raise ValueError("it holds more than its header states: its header is damaged")
    if headers.is_chained(file):
        raise ValueError(
            "it is several Ogg streams in a row, of which only one is read: split it, or convert it to WAV or FLAC"
        )
    stated = headers.flac_samples(file)
    end = headers.audio_end(file)
    patch_at, patch = headers.endless(file, end)
    with standard_error(notes):  # libsndfile may take for MP3 what we don't
        reader = Forward(_Callbacks(file, patch_at, patch, end), is_cut, stated)
    with reader:
        reader.notes = notes
        if stated and not patch:
            reader.left = stated
        if reader.subtype.startswith("MPEG"):
            reader.stated = None  # of MP3 in a WAV it is libsndfile's estimate
        yield reader


@contextmanager
def standard_error(lines: list[str]) -> Iterator[None]:
    """Append what libraries write to standard error meanwhile to `lines`."""
    with _one_at_a_time, tempfile.TemporaryFile() as file:
        try:
            saved = os.dup(_STANDARD_ERROR)
        except OSError:  # it is closed
            yield
            return
        os.dup2(file.fileno(), _STANDARD_ERROR)
        try:
            yield
        finally:
            os.dup2(saved, _STANDARD_ERROR)
            os.close(saved)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


class _Callbacks:
    """A file as libsndfile sees it through callbacks, which must not raise: Python would print the exception, and go on.

    `patch` takes the place of the bytes at `patch_at`; what lies behind `end` is not seen.
    A damaged header makes libsndfile seek to impossible places; then the position stays. `failure` is an error of the disk,
    which ends the file.
    """

    def __init__(self, file: Any, patch_at: int = 0, patch: bytes = b"", end: int | None = None):
        self._file, self._patch_at, self._patch, self._end = file, patch_at, patch, end
        self.failure: OSError | None = None
        file.seek(0)

    def readinto(self, buffer) -> int:
        try:
            begin = self._file.tell()
            most = len(buffer) if self._end is None else max(0, self._end - begin)
            count = self._file.readinto(memoryview(buffer)[:most])
        except OSError as error:
            self.failure = error
            return 0
        for at, byte in enumerate(self._patch, self._patch_at - begin):
            if 0 <= at < count:
                buffer[at : at + 1] = bytes([byte])
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        with suppress(OSError, ValueError, OverflowError):
            if whence == 2 and self._end is not None:
                offset, whence = offset + self._end, 0
            self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()
