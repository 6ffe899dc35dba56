"""Whether a WAV or an Ogg file is cut off, which libsndfile doesn't report: it reads what is there.

- WAV: the data chunk states its number of bytes.
- Ogg (Vorbis, Opus): the last page of a whole stream carries the flag for its end.
"""

import struct
from typing import BinaryIO

_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0x7FFFFFFE, 0xFFFFFFFF, 0xFFFFFFFE)  # what streaming writers leave in a WAV header
_MOST_PAGE = 27 + 255 + 255 * 255  # bytes of an Ogg page
_END_OF_STREAM = 4


def is_cut(file: BinaryIO) -> bool:
    """Whether a WAV or an Ogg file ends before its own end; False for other formats."""
    file.seek(0)
    start = file.read(12)
    if start[:4] == b"RIFF" and start[8:] == b"WAVE":
        return _wav_is_cut(file)
    return start[:4] == b"OggS" and _ogg_is_cut(file)


def _wav_is_cut(file: BinaryIO) -> bool:
    length, at = file.seek(0, 2), 12
    while at + 8 <= length:
        file.seek(at)
        chunk, size = struct.unpack("<4sI", file.read(8))
        if chunk == b"data":
            return size not in _UNKNOWN_SIZES and at + 8 + size > length
        at += 8 + size + size % 2
    return False


def _ogg_is_cut(file: BinaryIO) -> bool:
    """Whether the last page lacks the end-of-stream flag, or some of its bytes."""
    length = file.seek(0, 2)
    file.seek(max(0, length - 2 * _MOST_PAGE))
    tail = file.read()
    at = tail.rfind(b"OggS\0")
    if at < 0 or at + 27 > len(tail):
        return True
    flags, segments = tail[at + 5], tail[at + 26]
    lacing = tail[at + 27 : at + 27 + segments]
    is_whole = len(lacing) == segments and at + 27 + segments + sum(lacing) <= len(tail)
    return not (is_whole and flags & _END_OF_STREAM)
