"""An MP3 is read whole whatever its header says, and one that lacks a part of its end or middle is refused."""

import numpy as np
import pytest

from pipeline.speech import audio
from pipeline.speech.audio import AudioError
from tests.mp3 import FRAME, encoded, speech_and_silence, stated, stating, streamed

SAMPLES = speech_and_silence()
WHOLE = encoded(SAMPLES)
ID3 = b"ID3\x03\0\0\0\0\1\0" + bytes(128)
ID3_1 = b"TAG" + bytes(125)
PICTURE = b"ID3\x03\0\0\0\0\x40\0" + bytes(1 << 13)


@pytest.mark.accepts("Audio", "MP3 with a variable bit rate and without a Xing frame (cut or streamed)", "read to its end")
def test_a_variable_bit_rate_without_a_xing_frame_is_read_to_its_end():
    read = audio.read(streamed(WHOLE))
    assert SAMPLES.size <= read.size < SAMPLES.size + 4 * FRAME
    quiet = np.abs(read).reshape(-1)[[1_000, read.size // 2, -1_000]]
    assert quiet[1] > 1e-3 and max(quiet[0], quiet[2]) < 1e-3, "noise in the middle third alone"


def test_one_with_a_xing_frame_has_just_its_samples():
    read = audio.read(WHOLE)
    assert read.size == SAMPLES.size
    assert np.corrcoef(read, SAMPLES)[0, 1] > 0.8  # without the encoder's delay


@pytest.mark.accepts("Audio", "MP3 files joined end to end, of one rate and number of channels", "read to the end of the last")
@pytest.mark.parametrize("between", [b"", ID3, ID3_1 + PICTURE], ids=["nothing", "ID3v2", "ID3v1 and ID3v2 with a picture"])
def test_joined_files_are_read_to_the_end_of_the_last(between):
    read = audio.read(WHOLE + between + WHOLE)
    assert 2 * SAMPLES.size <= read.size < 2 * SAMPLES.size + 4 * FRAME
    assert np.abs(read[SAMPLES.size + SAMPLES.size // 3 :][: SAMPLES.size // 3]).std() > 0.05, "the second one's noise"


@pytest.mark.refuses("Audio", "MP3 files of different rates or channels joined end to end", "the byte to cut them at is said")
@pytest.mark.parametrize(("rate", "channels"), [(44_100, 1), (24_000, 1), (16_000, 2)])
def test_joined_files_of_another_kind_are_refused_whichever_comes_first(rate, channels):
    other = encoded(np.stack([SAMPLES] * channels, axis=1), rate)
    for first, tags, second in ((WHOLE, b"", other), (other, b"", WHOLE), (streamed(WHOLE), ID3_1 + ID3, other)):
        with pytest.raises(AudioError, match="from byte .* another rate or number of channels") as caught:
            audio.read(first + tags + second)
        at = int(str(caught.value).split("from byte ")[1].split()[0].replace(",", ""))
        assert (caught.value.check, at) == ("unreadable", len(first + tags))


def test_tags_are_no_audio():
    np.testing.assert_array_equal(audio.read(ID3 + WHOLE + ID3_1), audio.read(WHOLE))


@pytest.mark.accepts("Audio", "MP3 that states up to 4 frames more than it has", "what is there")
def test_a_few_frames_more_than_there_are_may_be_stated():
    np.testing.assert_array_equal(audio.read(stating(WHOLE, stated(WHOLE) + 4)), audio.read(WHOLE))


@pytest.mark.refuses(
    "Audio", "WAV, FLAC, MP3, Ogg, M4A, WebM or WMA that is cut off", "`corpus.checks.truncated` or `unreadable`"
)
@pytest.mark.parametrize(
    "content", [stating(WHOLE, stated(WHOLE) + 5), WHOLE[: len(WHOLE) // 2]], ids=["five frames missing", "half"]
)
def test_one_that_was_cut_is_truncated(content):
    with pytest.raises(AudioError) as caught:
        audio.read(content)
    assert caught.value.check == "truncated"


def test_bytes_between_frames_that_are_none_are_damage():
    middle = len(WHOLE) // 2
    with pytest.raises(AudioError, match="is damaged at byte") as caught:
        audio.read(WHOLE[:middle] + b"\0no frames" * 99 + WHOLE[middle:])
    assert caught.value.check == "unreadable"


@pytest.mark.parametrize("junk", [bytes(9_000), np.random.default_rng(0).bytes(9_000)], ids=["zeros", "random"])
def test_an_end_that_is_no_frames_is_damage_unless_all_stated_frames_are_there(junk):
    content = streamed(WHOLE)
    with pytest.raises(AudioError, match="is damaged at byte"):
        audio.read(content[: len(content) // 2] + junk)
    assert audio.read(content + junk[:3_000]).size == audio.read(content).size
    assert audio.read(WHOLE + junk).size == SAMPLES.size


@pytest.mark.parametrize("content", [b"ID3" * 500_000, WHOLE[:900] + ID3 * 20_000], ids=["tags", "a cut file and tags"])
def test_what_only_looks_like_frames_is_refused(content):
    with pytest.raises(AudioError):
        audio.read(content)


def test_what_the_decoder_notes_is_said_with_the_files_name(tmp_path, capfd, caplog):
    content = bytearray(streamed(WHOLE))
    for at in range(len(content) // 3, 2 * len(content) // 3, 50):  # no frame of the noise is whole, but all headers are
        if b"\xff" not in content[at - 4 : at + 8]:
            content[at : at + 4] = b"\x96\x0f\xa5\x69"
    (tmp_path / "damaged.mp3").write_bytes(content)
    audio.decode(tmp_path / "damaged.mp3")
    assert capfd.readouterr().err == ""
    assert "damaged.mp3: " in caplog.text and "notes of the MP3 decoder" in caplog.text
