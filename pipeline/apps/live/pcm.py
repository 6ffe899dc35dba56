"""Bytes of 16-bit PCM, as they come, to samples: 16 kHz, mono, little-endian; a WAV header before them is read and checked.

What follows a WAV's audio is left out, where its header states a length: who writes to a pipe often doesn't know it. A
second WAV is refused.
"""

import struct

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.speech import headers, mp3

EXPECTED = "16-bit little-endian PCM at 16 kHz, mono, or a WAV of it"
CONVERT = "convert it: ffmpeg -i INPUT -f s16le -ac 1 -ar 16000 -"
OTHERS = {  # how files of other formats begin, and where
    (0, b"fLaC"): "FLAC", (0, b"OggS"): "Ogg", (0, b"ID3"): "MP3", (0, b"\x1aE\xdf\xa3"): "WebM", (0, b"RF64"): "RF64",
    (0, b"RIFX"): "big-endian WAV", (0, b"caff"): "CAF", (0, b".snd"): "AU", (0, b"riff"): "W64", (0, b"#!AMR"): "AMR",
    (8, b"AIFF"): "AIFF", (8, b"AIFC"): "AIFF", (4, b"ftyp"): "M4A or MP4",
}  # fmt: skip
FIRST_BYTES = 12  # of which OTHERS are told
LONGEST_HEADER = 1 << 16


class Pcm:
    """The state between two pieces: half a sample, or an incomplete header; and the bytes of audio that are still to come."""

    def __init__(self):
        self._rest = b""
        self._has_begun = False
        self._to_come: int | None = None  # None: unknown
        self._after, self._skipped = b"", 0  # the last bytes behind the audio, and how many to come are of a chunk

    def feed(self, data: bytes) -> np.ndarray:
        """The samples that the next bytes complete: float32 [any number] within [-1, 1).

        Raises BigfootError where the first bytes are those of another format.
        """
        self._rest += data
        if not self._has_begun and not self._begins():
            return np.zeros(0, dtype=np.float32)
        if self._to_come is not None:
            self._refuse_another(self._rest[self._to_come :])
            self._rest = self._rest[: self._to_come]
        whole = len(self._rest) // 2 * 2
        samples = np.frombuffer(self._rest[:whole], dtype="<i2").astype(np.float32) / np.float32(32768)
        self._rest = self._rest[whole:]
        if self._to_come is not None:
            self._to_come -= whole
        return samples

    def _refuse_another(self, data: bytes) -> None:
        """Raise BigfootError where a WAV begins in the bytes behind the audio, or behind chunks there."""
        self._after += data
        while self._after:
            skipped = min(self._skipped, len(self._after))
            self._after, self._skipped = self._after[skipped:], self._skipped - skipped
            if self._after.startswith(b"RIFF"):
                raise BigfootError("a second WAV follows the first: give one WAV, or PCM without headers")
            if len(self._after) < 8:
                return
            size = int.from_bytes(self._after[4:8], "little")
            self._skipped = 8 + size + size % 2

    def end(self) -> None:
        """Raise BigfootError where a WAV ended before its audio began."""
        if self._rest.startswith(b"RIFF") and not self._has_begun:
            raise BigfootError(f"the WAV ended before its audio, give {EXPECTED}: {CONVERT}")

    def _begins(self) -> bool:
        """Whether the first sample is reached; a header before it is taken off."""
        for (at, mark), name in OTHERS.items():
            if self._rest[at : at + len(mark)] == mark:
                raise BigfootError(f"this is {name}, not {EXPECTED}: {CONVERT}")
        if len(self._rest) < max(FIRST_BYTES, mp3.two_frames(self._rest)):
            return False
        if mp3.begins_with_frames(self._rest):
            raise BigfootError(f"this is MP3, not {EXPECTED}: {CONVERT}")
        if self._rest.startswith(b"RIFF"):
            begin = self._data()
            if begin is None:
                return False
            self._rest = self._rest[begin:]
        self._has_begun = True
        return True

    def _data(self) -> int | None:
        """Where a WAV's samples begin, None where that has not come yet."""
        at, is_known = 12, False
        while at + 8 <= len(self._rest):
            name, size = self._rest[at : at + 4], int.from_bytes(self._rest[at + 4 : at + 8], "little")
            if name == b"data" and is_known:
                self._to_come = None if headers.is_unknown(size) else size
                return at + 8
            if name == b"fmt " and at + 24 <= len(self._rest):
                _require_expected(*struct.unpack_from("<HHIIHH", self._rest, at + 8))
                is_known = True
            at += 8 + size + size % 2
        if at > LONGEST_HEADER or len(self._rest) > LONGEST_HEADER:
            raise BigfootError(f"the WAV header is damaged, give {EXPECTED}: {CONVERT}")
        return None


def _require_expected(kind: int, channels: int, rate: int, _: int, __: int, bits: int) -> None:
    if (kind in (1, 0xFFFE), channels, rate, bits) != (True, 1, 16_000, 16):
        what = f"{channels} channels of {bits} bits at {rate:,} Hz" if kind in (1, 0xFFFE) else f"format {kind}"
        raise BigfootError(f"the WAV has {what}, not {EXPECTED}: {CONVERT}")
