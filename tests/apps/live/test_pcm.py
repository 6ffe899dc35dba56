"""PCM becomes the same samples in whatever pieces its bytes come; other formats are named in one line."""

import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.apps.live.pcm import Pcm
from pipeline.common.errors import BigfootError
from tests import mp3
from tests.tiny import speech

SAMPLES = np.round(speech(0.05) * 32767).astype("<i2")


def wav(rate: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(SAMPLES.tobytes())
    return file.getvalue()


def piped(content: bytes) -> bytes:
    """A WAV whose writer did not know its length, with a list of notes of odd length before the samples."""
    unknown = b"\xff\xff\xff\xff"
    return b"RIFF" + unknown + content[8:36] + b"LIST\3\0\0\0abc\0" + b"data" + unknown + content[44:]


def with_notes(content: bytes) -> bytes:
    """A WAV of a stated length with a chunk after its samples, as editors write."""
    return content + b"id3 " + (1000).to_bytes(4, "little") + bytes(range(250)) * 4


@given(
    st.sampled_from([SAMPLES.tobytes(), wav(), piped(wav()), with_notes(wav())]),
    st.lists(st.integers(0, 999), min_size=1, max_size=9),
)
def test_any_pieces_give_the_samples(content, sizes):
    pcm, found, at = Pcm(), [], 0
    for size in [*sizes * 3, len(content)]:
        found.append(pcm.feed(content[at : at + size]))
        at += size
    np.testing.assert_array_equal(np.concatenate(found), SAMPLES.astype(np.float32) / 32768)


@pytest.mark.parametrize("size", [1, 3, 1000, 1 << 20])
def test_a_second_wav_is_refused_in_whatever_pieces_it_comes(size):
    pcm, content = Pcm(), with_notes(wav()) + wav()
    with pytest.raises(BigfootError, match="a second WAV follows the first"):
        for at in range(0, len(content), size):
            pcm.feed(content[at : at + size])


@pytest.mark.parametrize("content", [wav()[:40], wav()[:12] + wav()[36:]], ids=["cut off", "without a format"])
def test_a_wav_that_ends_before_its_audio_is_refused(content):
    pcm = Pcm()
    assert pcm.feed(content).size == 0
    with pytest.raises(BigfootError, match="ended before its audio"):
        pcm.end()


@pytest.mark.parametrize("content", [b"", wav(), SAMPLES.tobytes(), b"ab"])
def test_what_ends_after_its_audio_began_or_is_too_short_for_it_is_none_the_less_whole(content):
    pcm = Pcm()
    pcm.feed(content)
    pcm.end()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (wav(rate=44_100), "44,100 Hz"),
        (wav(channels=2), "2 channels"),
        (wav(width=1), "8 bits"),
        (wav()[:20] + b"\3\0" + wav()[22:], "format 3"),
        (b"RIFF" + bytes(100_000), "header is damaged"),
        (b"fLaC" + bytes(9), "FLAC"),
        (b"OggS" + bytes(9), "Ogg"),
        (b"ID3\4" + bytes(9), "MP3"),
        (b"\x1aE\xdf\xa3", "WebM"),
        (b"FORM\0\0\0\0AIFC", "AIFF"),
        (b"caff\0\1\0\0", "CAF"),
        (b"\0\0\0\x1cftypM4A ", "M4A"),
        (mp3.streamed(mp3.encoded(mp3.speech_and_silence())), "MP3"),
    ],
    ids="rate channels bits float damaged flac ogg mp3 webm aiff caf m4a frames".split(),
)
def test_another_format_is_refused_with_its_cure(content, named):
    with pytest.raises(BigfootError, match=f"{named}.*ffmpeg"):
        Pcm().feed(content)


def test_samples_that_look_like_one_header_of_mp3_are_samples():
    content = mp3.streamed(mp3.encoded(mp3.speech_and_silence()))[:4] + SAMPLES.tobytes()
    pcm = Pcm()
    assert sum(pcm.feed(content[at : at + 7]).size for at in range(0, len(content), 7)) == 2 + SAMPLES.size


def test_an_odd_last_byte_is_no_sample():
    assert Pcm().feed(bytes(range(1, 14))).size == 6
