"""Reads audio files as 16 kHz mono float arrays, and writes them as FLAC or WAV.

One decoder (libsndfile: WAV, FLAC, MP3, OGG, Opus) and one resampler (soxr) for everything, so that training, measuring
and transcription get the same samples. torchaudio would do the same, but its import takes seconds and version 2.11 needs a
separate codec.
"""

import io
import struct
from mmap import mmap
from pathlib import Path

import numpy as np
import soundfile

from pipeline.common.errors import BigfootError

SAMPLE_RATE = 16_000
_MOST_FRAMES = 1 << 36  # FLAC's maximum; libsndfile gives 2**63 - 1 where the header states no length
_BLOCK = 1 << 16  # samples read at once, over all channels
_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0x7FFFFFFE, 0xFFFFFFFF, 0xFFFFFFFE)  # what streaming writers leave in a WAV header


class AudioError(BigfootError):
    """Audio that can't be used; `check` names the check that failed: missing, unreadable, empty or truncated."""

    def __init__(self, check: str, message: str):
        super().__init__(message)
        self.check = check

    def __reduce__(self):
        return AudioError, (self.check, str(self))


class Forward(soundfile.SoundFile):
    """An audio file that is read from start to end without seeking.

    In a seekable file soundfile seeks to the current position after each read. The MP3 decoder then loses what the next
    frame needs from the frames before it, and the samples after each block were wrong.
    """

    def seekable(self) -> bool:
        return False


def read(source: Path | str | bytes) -> np.ndarray:
    """A file (or its bytes) of any rate and any number of channels -> float32 [T], mono, 16 kHz.

    Raises AudioError (a BigfootError) as `decode` does.
    """
    channels, rate = decode(source)
    return change_rate(mono(channels), rate)


def decode(source: Path | str | bytes) -> tuple[np.ndarray, int]:
    """The samples as stored in the file, float32 [T, channels], and their rate in Hz.

    Raises AudioError where the file is missing, unreadable, empty, or shorter than its own header states.
    """
    name, data = _bytes_of(source)
    if not data:
        raise AudioError("empty", f"{name} is empty (0 bytes): fetch it again")
    try:
        with Forward(io.BytesIO(data)) as file:
            stated, rate = stated_frames(file.frames), file.samplerate
            samples = _read_to_end(file)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise AudioError("unreadable", f"{name} can't be read as WAV, FLAC, MP3, OGG or Opus: {reason}") from None
    if len(samples) < (stated or 0) or wav_is_cut(data):
        raise AudioError("truncated", f"{name} is cut off: shorter than its header states, fetch it again")
    if not len(samples):
        raise AudioError("empty", f"{name} has no samples: fetch it again")
    return samples, rate


def stated_frames(frames: int) -> int | None:
    """The number of frames that a header states, from libsndfile's value; None where a streaming encoder left it out."""
    return frames if frames <= _MOST_FRAMES else None


def mono(samples: np.ndarray) -> np.ndarray:
    """The mean of all channels: float32 [T, channels] -> float32 [T]."""
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)


def change_rate(samples: np.ndarray, rate: float, to: float = SAMPLE_RATE) -> np.ndarray:
    """Resample with soxr: float32 [T] at `rate` Hz -> float32 [T * to / rate] at `to` Hz."""
    if rate == to:
        return samples
    import soxr

    return soxr.resample(samples, rate, to)


def write(path: Path | str, samples: np.ndarray) -> None:
    """Write float [T] within [-1, 1] as 16 kHz mono PCM16, in the format of the suffix (.flac, .wav).

    Samples beyond [-1, 1] are clipped. The same samples give the same bytes, and reading them back is exact to 1/65,536.
    """
    soundfile.write(str(path), pcm16(samples), SAMPLE_RATE, subtype="PCM_16")


def pcm16(samples: np.ndarray) -> np.ndarray:
    """Float [T] within [-1, 1] -> int16 [T], rounded to the nearest step and clipped at full scale."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def _bytes_of(source: Path | str | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        return "the audio", source
    try:
        return str(source), Path(source).read_bytes()
    except FileNotFoundError:
        raise AudioError("missing", f"{source} is missing: check the path") from None
    except (OSError, ValueError) as error:  # ValueError: not a valid path, for example one with a NUL
        raise AudioError("unreadable", f"{str(source)!r} can't be opened: {getattr(error, 'strerror', error)}") from None


def _read_to_end(file: Forward) -> np.ndarray:
    """All samples: float32 [T, channels]. Read in pieces, because a header may state no length, or one beyond memory."""
    pieces = [np.zeros((0, file.channels), dtype=np.float32)]
    while len(piece := file.read(max(1, _BLOCK // file.channels), dtype="float32", always_2d=True)):
        pieces.append(piece)
    return np.concatenate(pieces)


def wav_is_cut(data: bytes | mmap) -> bool:
    """Whether a WAV's data chunk states more bytes than the file has, which libsndfile does not report."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return False
    at = 12
    while at + 8 <= len(data):
        chunk, size = struct.unpack_from("<4sI", data, at)
        if chunk == b"data":
            return size not in _UNKNOWN_SIZES and at + 8 + size > len(data)
        at += 8 + size + size % 2
    return False
