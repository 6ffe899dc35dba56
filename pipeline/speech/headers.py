"""Whether a file is cut off, or holds more than it states, where libsndfile and FFmpeg read what they find and report nothing.

- Ogg (Vorbis, Opus): the last page of a whole stream carries the flag for its end. Of several streams that follow each other,
  libsndfile reads the first.
- WAV, RF64, W64, AIFF, CAF, AU, SPHERE: the header states how many bytes of audio follow. After them only further chunks may.
- WMA (ASF): the header states the size of the file.
- FLAC: libsndfile stops at the number of samples that the header states, and likewise at a WAV's size of 0, which a stream
  leaves. `endless` makes it read on, unless a FLAC ends in padding, which it would take for damage, as a tag.
"""

import re
import struct
from typing import BinaryIO

# What streaming writers leave in a header, some rounded down to whole samples: SoX and espeak, arecord, FFmpeg and others.
_UNKNOWN_SIZES = (0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1 - 24, 2**64 - 1)
_ROUNDED = 64  # bytes
_MOST_PAGE = 27 + 255 + 255 * 255  # bytes of an Ogg page
_BEGIN_OF_STREAM, _END_OF_STREAM = 2, 4
_ID3 = 128  # bytes of a tag at the end of a file, of ID3's first version
_CHUNKS = {  # how a file begins: where its chunks do, their head (name, size), what of the head the size counts, how they align
    b"RIFF": (12, "<4sI", 0, 2),
    b"RF64": (12, "<4sI", 0, 2),
    b"FORM": (12, ">4sI", 0, 2),
    b"caff": (8, ">4sQ", 0, 1),
    b"riff": (40, "<4s12xQ", 24, 8),  # W64
}
_AUDIO = (b"data", b"SSND")
_FLAC_SAMPLES = (1 << 36) - 1  # the bits of 8 bytes at position 18
_SPARE = 1 << 12  # bytes after the audio that are taken for padding or a tag
_MOST_CHUNKS = 10_000  # looked at: a file of empty ones would take minutes
_ASF, _ASF_PROPERTIES = bytes.fromhex("3026b2758e66cf11"), bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def is_cut(file: BinaryIO) -> bool:
    """Whether a file ends before the end that it states; False where it states none."""
    length = file.seek(0, 2)
    start = read_at(file, 0, 8)
    if start.startswith(b"OggS"):
        return _ogg_is_cut(file, length)
    if start == _ASF:
        return _asf_size(read_at(file, 0, 1 << 16)) > length
    begin, size = _stated(file, length, start[:4])
    return not is_unknown(size) and begin + size > length


def holds_more(file: BinaryIO) -> bool:
    """Whether the stated audio is followed by more than padding, a tag or further chunks; False where no size is stated."""
    length, kind = file.seek(0, 2), read_at(file, 0, 4)
    begin, size = _stated(file, length, kind)
    if is_unknown(size):
        return False
    at = begin + size
    if kind in _CHUNKS:  # some writers leave out the padding
        _, head, counted, alignment = _CHUNKS[kind]
        at = max(_after_chunks(file, length, at + skipped, head, counted, alignment) for skipped in (0, -size % alignment))
    return length - at > _SPARE


def is_chained(file: BinaryIO) -> bool:
    """Whether an Ogg file has further streams behind its first ones, as joined files and radio recordings do."""
    at, has_begun = 0, False
    while (page := read_at(file, at, 27 + 255)).startswith(b"OggS") and len(page) >= 27:
        begins = bool(page[5] & _BEGIN_OF_STREAM)
        if begins and has_begun:
            return True
        has_begun = has_begun or not begins
        at += 27 + page[26] + sum(page[27 : 27 + page[26]])
    return False


def is_unknown(size: int) -> bool:
    """Whether a header's size is what is written where it isn't known yet, as into a pipe."""
    return size == 0 or any(0 <= unknown - size < _ROUNDED for unknown in _UNKNOWN_SIZES)


def flac_samples(file: BinaryIO) -> int | None:
    """The samples per channel that a FLAC states; None where it states none, or is not FLAC."""
    return (int.from_bytes(read_at(file, 18, 8), "big") & _FLAC_SAMPLES or None) if read_at(file, 0, 4) == b"fLaC" else None


def endless(file: BinaryIO, end: int) -> tuple[int, bytes]:
    """The bytes of the header, and their position, with which libsndfile reads to the end of the audio, which is at `end`.

    None to change: b"".
    """
    kind = read_at(file, 0, 4)
    if kind == b"fLaC":
        if read_at(file, end - 2, 2) == b"\0\0":
            return 0, b""
        return 18, (int.from_bytes(read_at(file, 18, 8), "big") & ~_FLAC_SAMPLES).to_bytes(8, "big")
    if kind == b"RIFF":
        begin, size = _stated(file, file.seek(0, 2), kind)
        if size == 0:
            return begin - 4, b"\xff" * 4
    return 0, b""


def audio_end(file: BinaryIO) -> int:
    """Where a file ends, without a tag behind the frames of a FLAC."""
    end = file.seek(0, 2)
    has_tag = read_at(file, 0, 4) == b"fLaC" and read_at(file, max(0, end - _ID3), 3) == b"TAG"
    return end - _ID3 if has_tag else end


def _stated(file: BinaryIO, length: int, kind: bytes) -> tuple[int, int]:
    """Where the audio begins and how many bytes of it the header states; 0 of another kind of file."""
    if kind in _CHUNKS:
        begin, size = _data_chunk(file, length, *_CHUNKS[kind])
        if kind == b"RF64":  # its true size lies in the chunk ds64, behind that of the whole file
            size = struct.unpack("<Q", read_at(file, 28, 8).ljust(8, b"\0"))[0]
    elif kind == b".snd":
        begin, size = struct.unpack(">II", read_at(file, 4, 8).ljust(8, b"\0"))
    elif kind == b"NIST":
        begin, size = _sphere_data(read_at(file, 0, 1024))
    else:
        return 0, 0
    return begin, size


def _after_chunks(file: BinaryIO, length: int, at: int, head: str, counted: int, alignment: int) -> int:
    """Where the chunks that begin at `at` end: each has a name of printable characters, and lies within the file."""
    head_size = struct.calcsize(head)
    while at + head_size <= length:
        name, size = struct.unpack(head, read_at(file, at, head_size))
        size = max(0, size - counted)
        if not (name.isascii() and name.decode().isprintable()) or at + head_size + size > length:
            return at
        at += head_size + size + -size % alignment
    return at


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


def _asf_size(header: bytes) -> int:
    """The bytes of the file that the header of a WMA states; 0 where it was streamed, and states none."""
    at = header.find(_ASF_PROPERTIES)
    if at < 0 or at + 92 > len(header):
        return 0
    size, flags = struct.unpack("<Q", header[at + 40 : at + 48])[0], struct.unpack("<I", header[at + 88 : at + 92])[0]
    return 0 if flags & 1 else size


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
