"""Recordings of any format, for the person who runs Bigfoot: what libsndfile can't read goes to FFmpeg (PyAV).

Decisions, and what they cost:
- The kind is told from the file's first bytes, and FFmpeg is given that one demuxer by name and an open file, never a path.
  So nothing else is ever probed: playlists (HLS, DASH), concat scripts and SDP, which make FFmpeg open further paths or
  addresses, are not audio here. The protocols are forbidden besides.
- PyAV is the extra `media` and is imported when such a file comes. FFmpeg's many parsers are given bytes of strangers only in a
  process of its own, by `bigfoot serve`; an MLflow model reads uploads by audio.py alone.
- Of several audio streams the first is taken, pictures are skipped. Without an audio stream a file is refused.
- A file is cut off where all its streams end a quarter of a second before its stated duration. FFmpeg makes up the
  duration of a cut WMA, so its stated size counts. A live WebM states none (nor do AMR and AAC): if it is cut between two
  packets, what is left is all there is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.speech import audio, headers
from pipeline.speech.audio import AudioError, Channel, Sound

FORMATS = "M4A, MP4, MOV, 3GP, WebM, Matroska, AMR, AAC or WMA"
# Of files that are audio or hold some; the last two lines are of formats that can't be read.
SUFFIXES = frozenset(
    ".wav .wave .bwf .flac .mp3 .mpga .ogg .oga .opus .aiff .aif .aifc .au .snd .caf .rf64 .sph .nist .voc .w64 "
    ".3g2 .3gp .aac .adts .amr .asf .awb .f4a .f4v .m4a .m4b .m4r .m4v .mka .mkv .mov .mp4 .qt .weba .webm .webma .wma .wmv "
    ".ac3 .ape .avi .dff .ds2 .dsf .dss .dts .eac3 .flv .gsm .m2ts .mp2 .mpc .mpeg .mpg .mts .ogv .ogx .pcm .ra .raw .rm .spx "
    ".tak .ts .tta .ulaw .vob .vox .wv".split()
)
_NOT_AMR = 0b10000011  # bits that are 0 where a frame begins (RFC 4867); FFmpeg takes each byte of 255 for 20 ms of silence
SPARE_SECONDS = 0.25  # that a file may end before its stated duration
_KINDS = {  # demuxer: how a file of its kind begins, and where
    "mov": [(4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (4, b"wide"), (4, b"free"), (4, b"skip")],
    "matroska": [(0, b"\x1a\x45\xdf\xa3")],
    "asf": [(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")],
    "amr": [(0, b"#!AMR")],
    "aac": [(0, b"\xff\xf0"), (0, b"\xff\xf1"), (0, b"\xff\xf8"), (0, b"\xff\xf9")],
}


def read(source: Path | str | bytes, channel: Channel) -> np.ndarray:
    """As audio.read, of any format, one channel or the mix of all."""
    with opened(source) as sound:
        return audio.speech(sound, channel)


def decode(source: Path | str | bytes) -> tuple[np.ndarray, int]:
    """As audio.decode, of any format."""
    with opened(source) as sound:
        return np.concatenate(list(audio.in_memory(sound))), sound.rate


@contextmanager
def opened(source: Path | str | bytes, name: str | None = None) -> Iterator[Sound]:
    """As audio.opened, of any format. Raises AudioError."""
    name = name or audio.name_of(source)
    with audio.open_bytes(source, name) as file:
        kind = demuxer(file.read(16))
        if kind is None:
            with audio.opened(source, name, f"{audio.FORMATS.replace(' or ', ', ')}, {FORMATS}") as sound:
                yield sound
            return
        is_cut = headers.is_cut(file)
        file.seek(0)
        with _container(name, file, kind, is_cut) as sound:
            yield sound


def demuxer(start: bytes) -> str | None:
    """FFmpeg's demuxer for a file that begins with these 16 bytes; None where libsndfile is to read it."""
    for name, marks in _KINDS.items():
        if any(start[at : at + len(mark)] == mark for at, mark in marks):
            return name
    return None


@contextmanager
def _container(name: str, file: BinaryIO, kind: str, is_cut: bool) -> Iterator[Sound]:
    try:
        import av
    except ImportError:
        raise AudioError(
            "unreadable", f"{name} is {FORMATS}: `pip install bigfoot-asr[media]` to read it, or convert it to WAV or FLAC"
        ) from None
    try:
        container: Any = av.open(_Seekable(file), format=kind, options={"protocol_whitelist": "none"})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    size = audio.size_of(file)
    with container:
        if not container.streams.audio:
            raise AudioError("unreadable", f"{name} has no audio stream: it is a video without sound, or cut off")
        stream = container.streams.audio[0]
        if not stream.codec_context or not stream.rate or not stream.channels:
            raise AudioError("unreadable", f"{name} has audio that can't be decoded: convert it to WAV or FLAC")
        stated = None if container.duration is None else container.duration / 1e6
        # Once: what the stream says follows the decoder.
        rate, channels = stream.rate, stream.channels
        frames = None if stated is None else round(stated * rate)
        yield Sound(name, rate, channels, frames, size, _blocks(name, container, (rate, channels), stated, is_cut))


class _Seekable:
    """A file as FFmpeg reads it. A damaged one is sought at impossible places: -1 says so, where PyAV prints exceptions."""

    def __init__(self, file: BinaryIO):
        self.read, self.tell, self._file = file.read, file.tell, file

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1


def _blocks(name: str, container: Any, layout: tuple[int, int], stated: float | None, is_cut: bool) -> Iterator[np.ndarray]:
    """Pieces of about audio.BLOCK samples over all channels, of a recording with this rate and number of channels.

    All streams are read, because the longest one ends the file.
    """
    import av

    stream, (rate, channels) = container.streams.audio[0], layout

    end, frames, waiting = 0.0, 0, []
    try:
        for packet in container.demux():
            if packet.pts is not None and packet.time_base:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index != stream.index:
                continue
            if container.format.name == "amr" and packet.size and bytes(packet)[0] & _NOT_AMR:
                seconds = frames / rate
                raise AudioError(
                    "unreadable", f"{name} holds bytes that are not AMR after {seconds:.2f} s: it is damaged, fetch it again"
                )
            for frame in packet.decode():
                waiting.append(_samples(name, frame, layout))
                frames += len(waiting[-1])
                if sum(map(len, waiting)) * channels >= audio.BLOCK:
                    yield np.concatenate(waiting)
                    waiting = []
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    if waiting:
        yield np.concatenate(waiting)
    begin = 0.0 if container.start_time is None else container.start_time / 1e6
    is_short = stated is not None and end - begin < stated - SPARE_SECONDS
    audio.ended(name, frames, 0, is_cut or is_short)


def _samples(name: str, frame: Any, layout: tuple[int, int]) -> np.ndarray:
    """A frame of any sample format as float32 [samples, channels], integers divided by their full scale."""
    if (frame.sample_rate, frame.layout.nb_channels) != layout:
        raise AudioError("unreadable", f"{name} changes its rate or channels on the way: convert it to WAV or FLAC")
    samples = frame.to_ndarray()
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, layout[1])
    if samples.dtype.kind == "u":
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / np.float32(2.0 ** (8 * samples.dtype.itemsize - 1))
    return np.ascontiguousarray(samples, dtype=np.float32)


def _unreadable(name: str, error: Exception) -> AudioError:
    reason = str(getattr(error, "strerror", None) or error).strip().rstrip(".")
    return AudioError("unreadable", f"{name} can't be read as {FORMATS}, it is damaged or cut off: {reason}")
