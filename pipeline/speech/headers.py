"""Whether a file is cut off, for formats where libsndfile reads what is there and doesn't report it.

- Ogg (Vorbis, Opus): the last page of a whole stream carries the flag for its end.
- WAV, RF64, W64, AIFF, CAF, AU, SPHERE: the header states how many bytes of audio follow.
"""

import re
import struct
from typing import BinaryIO

_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0x7FFFFFFE, 0xFFFFFFFF, 0xFFFFFFFE, 2**64 - 1)  # what streaming writers leave in a header
_MOST_PAGE = 27 + 255 + 255 * 255  # bytes of an Ogg page
_END_OF_STREAM = 4
_CHUNKS = {  # how a file begins: where its chunks do, their head (name, size), what of the head the size counts, how they align
    b"RIFF": (12, "<4sI", 0, 2),
    b"RF64": (12, "<4sI", 0, 2),
    b"FORM": (12, ">4sI", 0, 2),
    b"caff": (8, ">4sQ", 0, 1),
    b"riff": (40, "<4s12xQ", 24, 8),  # W64
}
_AUDIO = (b"data", b"SSND")
_MOST_CHUNKS = 10_000  # looked at: a file of empty ones would take minutes


def is_cut(file: BinaryIO) -> bool:
    """Whether a file ends before the end that it states; False where it states none."""
    length = file.seek(0, 2)
    kind = read_at(file, 0, 4)
    if kind == b"OggS":
        return _ogg_is_cut(file, length)
    if kind in _CHUNKS:
        begin, size = _data_chunk(file, length, *_CHUNKS[kind])
        if kind == b"RF64":  # its true size lies in the chunk ds64, behind that of the whole file
            size = struct.unpack("<Q", read_at(file, 28, 8).ljust(8, b"\0"))[0]
    elif kind == b".snd":
        begin, size = struct.unpack(">II", read_at(file, 4, 8).ljust(8, b"\0"))
    elif kind == b"NIST":
        begin, size = _sphere_data(read_at(file, 0, 1024))
    else:
        return False
    return size not in _UNKNOWN_SIZES and begin + size > length


def _data_chunk(file: BinaryIO, length: int, at: int, head: str, counted: int, alignment: int) -> tuple[int, int]:
    """Where the bytes of the chunk with the audio begin, and how many it states; 0 where there is none."""
    head_size = struct.calcsize(head)
    for _ in range(_MOST_CHUNKS):
        if at + head_size > length:
            break
        name, size = struct.unpack(head, read_at(file, at, head_size))
        size = max(0, size - counted)
        if name in _AUDIO:
            return at + head_size, size
        at += head_size + size + -size % alignment
    return at, 0


def _sphere_data(header: bytes) -> tuple[int, int]:
    """The same of a NIST SPHERE file, whose header is text."""
    facts = {name: int(value) for name, value in re.findall(rb"(\w+) -i (\d+)", header)}
    begin = re.match(rb"NIST_1A\n *(\d+)\n", header)
    width = 1 if b"law" in header else facts.get(b"sample_n_bytes", 2)
    size = facts.get(b"sample_count", 0) * facts.get(b"channel_count", 1) * width
    return int(begin[1]) if begin else 0, size


def _ogg_is_cut(file: BinaryIO, length: int) -> bool:
    """Whether the last page lacks the end-of-stream flag, or some of its bytes."""
    tail = read_at(file, max(0, length - 2 * _MOST_PAGE), 2 * _MOST_PAGE)
    at = tail.rfind(b"OggS\0")
    if at < 0 or at + 27 > len(tail):
        return True
    flags, segments = tail[at + 5], tail[at + 26]
    lacing = tail[at + 27 : at + 27 + segments]
    is_whole = len(lacing) == segments and at + 27 + segments + sum(lacing) <= len(tail)
    return not (is_whole and flags & _END_OF_STREAM)


def read_at(file: BinaryIO, at: int, count: int) -> bytes:
    """`count` bytes from a position on, fewer where the file ends before."""
    file.seek(at)
    return file.read(count)
