"""The frames of an MP3 file, and nothing else of it, so that libsndfile reads all of them.

libsndfile reads as many frames as a Xing or Info frame states, although joined files go on. Without one it guesses the number
from the first frame and the file's size, and stops there, unless the file hides its size; then it counts. Bytes that are no
frame may end it early, and its decoder prints notes about them that don't name the file. So we go from header to header
ourselves, leave out the tags (ID3, APE) before, between and after the frames, write the true numbers into the Xing or Info
frame, and hide the size. Other bytes between frames, or after the last one, are damage. Frames of another rate, or mono after
stereo, end what libsndfile can read: a recording of another kind was joined on.
"""

import re
import struct
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO

from pipeline.speech.headers import read_at

SPARE_FRAMES = 4  # a Xing or Info frame may state so many more than there are: encoders count it too, or their padding

_CHUNK = 1 << 16
_PADDING = 1 << 12  # the most bytes of no use between a tag and the first frame, or after the last one
_MOST_FALSE = 10_000  # headers that no frame follows, before what they lie in counts as damage
_VERSION_1, _VERSION_2, _VERSION_25 = 3, 2, 0
_RATES = {_VERSION_1: (44_100, 48_000, 32_000), _VERSION_2: (22_050, 24_000, 16_000), _VERSION_25: (11_025, 12_000, 8_000)}
_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_FIRST = re.compile(rb"\xff[\xe2-\xfb][^\xf0-\xff]")


@dataclass(frozen=True)
class Mp3:
    """What lies in an MP3 file: `runs` are the positions (start, end) of frames without a gap, in order.

    `frames` is their number without a Xing or Info frame, `stated` what that states (None: it has none), at position `tag`.
    `damage` is the position of bytes that belong to nothing known, between frames or after them, `change` that of frames of
    another kind; None where there are none.
    """

    runs: list[tuple[int, int]]
    frames: int
    stated: int | None
    tag: int
    damage: int | None
    change: int | None

    @property
    def is_cut(self) -> bool:
        return self.stated is not None and self.stated > self.frames + SPARE_FRAMES

    @property
    def fault(self) -> str:
        """Why not all of it can be read; "" where nothing stands against it."""
        if self.damage is not None:
            return f"it is damaged at byte {self.damage:,}, where no frame begins"
        if self.change is not None:
            return f"from byte {self.change:,} on it has another rate or number of channels, cut it into two files there"
        return ""


def is_mp3(file: BinaryIO) -> bool:
    """Whether a frame of MPEG layer III begins the file, or comes after its tag and no more than some padding."""
    start = _after_tags(file, 0)
    if not start:
        return _frame_size(read_at(file, 0, 4)) > 0
    return read_at(file, start, 4) != b"fLaC" and _next_frame(file, start, _PADDING) - start <= _PADDING


def two_frames(content: bytes) -> int:
    """How many bytes tell whether `content`, at least 4 bytes, begins with frames: 0 where it can't."""
    size = _frame_size(content[:4])
    return size + 4 if size else 0


def begins_with_frames(content: bytes) -> bool:
    """Whether a frame begins it that another one of its kind follows; a header alone may be two samples of PCM."""
    size = _frame_size(content[:4])
    after = content[size:][:4]
    return size > 0 and _frame_size(after) > 0 and _kind(after) == _kind(content[:4])


def scan(file: BinaryIO) -> Mp3:
    """Find all frames of a file of MPEG layer III."""
    length = file.seek(0, 2)
    at = start = first = _next_frame(file, _after_tags(file, 0))
    kind, (stated, tag) = _kind(read_at(file, first, 4)), _stated(file, first)
    frames, runs, damage, change = 0, [], None, None
    while at + 4 <= length:
        header = read_at(file, at, 4)
        size = _frame_size(header)
        if size and _kind(header) == kind:
            if at + size > length:
                break  # a frame that is cut
            frames, at = frames + 1, at + size
            continue
        runs.append((start, at))
        after = _after_tags(file, at)
        start = _next_frame(file, after)
        spare = length if start == length and stated is not None else _PADDING if start == length or after > at else 0
        if start - after > spare:
            damage = after
            break
        if start < length and _kind(read_at(file, start, 4)) != kind:
            change, start = start, length
        at = start
    runs.append((start, at))
    return Mp3([run for run in runs if run[0] < run[1]], frames - (stated is not None), stated, tag, damage, change)


class Frames:
    """The frames of a file as a file of its own, that hides its size."""

    def __init__(self, file: BinaryIO, mp3: Mp3):
        self._file, self._runs, self._at = file, mp3.runs, 0
        self._begins = list(accumulate((end - start for start, end in mp3.runs), initial=0))  # where each run lies here
        self.patch_at, self.patch = 0, b""  # the true numbers for the Xing or Info frame, and where they belong
        if mp3.stated is not None:
            flags = int.from_bytes(read_at(file, mp3.tag + 4, 4), "big")
            self.patch_at = mp3.tag + 4 - mp3.runs[0][0]
            self.patch = struct.pack(">II", flags, mp3.frames) + (struct.pack(">I", self._begins[-1]) if flags & 2 else b"")

    def readinto(self, buffer) -> int:
        begin, count = self._at, 0
        while count < len(buffer) and begin + count < self._begins[-1]:
            run = bisect_right(self._begins, begin + count) - 1
            start, end = self._runs[run]
            there = start + begin + count - self._begins[run]
            content = read_at(self._file, there, min(end - there, len(buffer) - count))
            if not content:
                break  # the file became shorter
            buffer[count : count + len(content)] = content
            count += len(content)
        self._at += count
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence != 2:
            self._at = max(0, offset + (self._at if whence == 1 else 0))
        return self._at

    def tell(self) -> int:
        return self._at


def samples_per_frame(rate: int) -> int:
    """Of MPEG layer III: 1,152 at 32 kHz and above, otherwise 576."""
    return 1152 if rate >= 32_000 else 576


def _stated(file: BinaryIO, first: int) -> tuple[int | None, int]:
    """The number of frames that the first frame states, if it is a Xing or Info frame, and the position of that word."""
    header = read_at(file, first, 4)
    if not _frame_size(header):
        return None, 0
    is_mono, is_version_1 = header[3] >> 6 == 3, header[1] >> 3 & 3 == _VERSION_1
    tag = first + 4 + {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[is_version_1, is_mono]
    word, flags, frames = struct.unpack(">4sII", read_at(file, tag, 12).ljust(12, b"\0"))
    if word in (b"Xing", b"Info") and flags & 1:
        return frames, tag
    return None, 0


def _frame_size(header: bytes) -> int:
    """Bytes of a layer III frame from its header of 4 bytes; 0 where it isn't one."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bits, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bits in (0, 15) or rate == 3:
        return 0
    kbps = (_KBPS_1 if version == _VERSION_1 else _KBPS_2)[bits]
    return (144 if version == _VERSION_1 else 72) * kbps * 1000 // _RATES[version][rate] + (header[2] >> 1 & 1)


def _kind(header: bytes) -> bytes:
    """What all headers of a stream have in common: version, layer, rate, and whether it is mono."""
    return header[:1] + bytes([header[1] & 0xFE, header[2] & 0x0C, header[3] >> 6 == 3]) if len(header) == 4 else b""


def _next_frame(file: BinaryIO, at: int, within: int | None = None) -> int:
    """The position of the next frame that another one of its kind or the file's end follows, or the length of the file.

    It isn't sought beyond `within` bytes; and after too many headers that are none, the position is that of the last.
    """
    length, false = file.seek(0, 2), 0
    most = length if within is None else at + within
    size_of_chunk = _PADDING  # the next frame is mostly near
    while at <= most and (chunk := read_at(file, at, size_of_chunk)):
        for match in _FIRST.finditer(chunk):
            header = chunk[match.start() : match.start() + 4]
            size, here = _frame_size(header), at + match.start()
            if not size:
                continue
            after = read_at(file, here + size, 4)
            false += 1
            if here + size == length or (_frame_size(after) and _kind(after) == _kind(header)) or false > _MOST_FALSE:
                return here
        at += max(1, len(chunk) - 3)  # a header may lie across two chunks
        size_of_chunk = _CHUNK
    return length


def _after_tags(file: BinaryIO, at: int) -> int:
    """The position behind the tags that begin at `at`."""
    while (after := _after_tag(file, at)) > at:
        at = after
    return at


def _after_tag(file: BinaryIO, at: int) -> int:
    """The position behind an ID3 or APE tag at `at`, or `at`."""
    start = read_at(file, at, 16)
    if start[:3] == b"ID3" and len(start) >= 10:
        a, b, c, d = start[6:10]  # 7 bits each
        return at + 10 + (a << 21 | b << 14 | c << 7 | d)
    if start[:3] == b"TAG":
        return at + 128
    if start[:8] == b"APETAGEX" and len(start) == 16:
        return at + 32 + int.from_bytes(start[12:], "little")
    return at
