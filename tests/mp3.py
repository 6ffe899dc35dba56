"""MP3 files with a variable bit rate, as libsndfile writes them and as streams and cuts leave them."""

import io
import struct

import numpy as np
import soundfile

RATE, FRAME = 16_000, 576  # samples of a frame


def speech_and_silence(seconds: float = 9.0) -> np.ndarray:
    """Noise between two silences, a third each: the first frame of its MP3 is the smallest, and says nothing of the rest."""
    third = round(seconds * RATE / 3)
    rng = np.random.default_rng(0)
    return np.concatenate([np.zeros(third), 0.2 * rng.standard_normal(third), np.zeros(third)]).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = RATE) -> bytes:
    """With a Xing frame, which states the number of frames."""
    content, channels = io.BytesIO(), 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(
        content, "w", rate, channels, format="MP3", bitrate_mode="VARIABLE", compression_level=0.3
    ) as file:
        file.write(samples)
    return content.getvalue()


def stated(mp3: bytes) -> int:
    """The frames that the Xing frame states."""
    return struct.unpack_from(">I", mp3, mp3.index(b"Xing") + 8)[0]


def stating(mp3: bytes, frames: int) -> bytes:
    at = mp3.index(b"Xing") + 8
    return mp3[:at] + struct.pack(">I", frames) + mp3[at + 4 :]


def streamed(mp3: bytes) -> bytes:
    """Without the Xing frame."""
    start = mp3.index(mp3[:2], 4)  # where the next frame's header begins
    while mp3[start + 3] >> 6 != mp3[3] >> 6 or mp3[start + 2] & 0x0C != mp3[2] & 0x0C:
        start = mp3.index(mp3[:2], start + 1)
    return mp3[start:]
