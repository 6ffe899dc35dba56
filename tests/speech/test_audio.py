"""Promises of pipeline/speech/audio.py."""

import io
import os
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.speech import audio, media
from pipeline.speech.audio import AudioError, Sound
from tests.recordings import sound, streamed, tone, with_stated_frames


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_every_format_is_read_as_16_khz_mono_float(tmp_path, suffix):
    samples = audio.read(sound(tmp_path / f"a.{suffix}", seconds=1.0))
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert abs(samples.size - 16_000) < 200
    assert 0.15 < np.sqrt(np.mean(samples**2)) < 0.3


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_any_rate_keeps_duration_and_pitch(tmp_path, rate):
    samples = audio.read(sound(tmp_path / "a.wav", seconds=1.0, seed=3, rate=rate))
    reference = tone(1.0, seed=3)
    peaks = [np.abs(np.fft.rfft(x[:16_000])).argmax() for x in (samples, reference)]
    assert abs(samples.size - 16_000) <= 1 and abs(peaks[0] - peaks[1]) <= 1


def test_stereo_becomes_the_mean_of_its_channels(tmp_path):
    left, right = tone(seed=1), tone(seed=2)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav"), (left + right) / 2, atol=1e-6)


def test_bytes_are_read_like_files(tmp_path):
    path = sound(tmp_path / "a.flac")
    np.testing.assert_array_equal(audio.read(path.read_bytes()), audio.read(path))


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_16_bit_samples_survive_writing_and_reading_exactly(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("a") / "a.flac"
    audio.write(path, np.array(steps) / 32768.0)
    np.testing.assert_array_equal(audio.read(path) * 32768, steps)


def test_too_loud_samples_are_clipped_not_wrapped(tmp_path):
    audio.write(tmp_path / "a.wav", np.array([2.0, -2.0, 0.0]))
    assert audio.read(tmp_path / "a.wav") == pytest.approx([1.0, -1.0, 0.0], abs=1e-4)


def test_an_unusable_file_is_an_error_of_one_line_that_names_it(tmp_path):
    whole = sound(tmp_path / "whole.wav").read_bytes()
    (tmp_path / "empty.wav").touch()
    (tmp_path / "unreadable.wav").write_bytes(b"these are not samples" * 50)
    (tmp_path / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    for check in ("missing", "empty", "unreadable", "truncated"):
        with pytest.raises(BigfootError, match=f"{check}.wav") as caught:
            audio.read(tmp_path / f"{check}.wav")
        assert caught.value.check == check and "\n" not in str(caught.value)


def test_a_file_with_a_header_and_no_samples_is_empty(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16_000)
    with pytest.raises(AudioError) as caught:
        audio.read(tmp_path / "a.wav")
    assert caught.value.check == "empty"


def test_a_cut_flac_is_truncated_or_unreadable_but_never_passes(tmp_path):
    whole = sound(tmp_path / "a.flac", seconds=3).read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError) as caught:
        audio.read(tmp_path / "a.flac")
    assert caught.value.check in ("truncated", "unreadable")


def test_a_streamed_flac_without_a_stated_length_is_read_to_its_end(tmp_path):
    whole = tone(80.0)  # more than is read at once
    soundfile.write(tmp_path / "a.flac", whole, 16_000)
    path = streamed(tmp_path / "a.flac", tmp_path / "streamed.flac")
    np.testing.assert_array_equal(audio.read(path), audio.read(tmp_path / "a.flac"))
    path.write_bytes(path.read_bytes()[:42])
    with pytest.raises(AudioError, match="streamed.flac") as caught:
        audio.read(path)
    assert caught.value.check == "empty"


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (2**36 - 1, "1,193.0 h, more than the 24 h"),
        (2**30, "bytes for 67,109 s of audio or more, too few even for silence"),
        (16_000, "is cut off"),
    ],
)
def test_a_header_that_states_more_than_the_file_holds_is_refused(tmp_path, frames, why):
    path = sound(tmp_path / "a.flac")
    path.write_bytes(with_stated_frames(path.read_bytes(), frames))
    with pytest.raises(AudioError, match=f"a.flac .*{why}"):
        audio.read(path)


def silence(suffix: str, minutes: int, rate: int = 16_000, channels: int = 1) -> bytes:
    content, minute = io.BytesIO(), np.zeros((60 * rate, channels), dtype=np.float32)
    with soundfile.SoundFile(content, "w", rate, channels, format=suffix) as file:
        for _ in range(minutes):
            file.write(minute)
    return content.getvalue()


def test_silence_is_read_block_by_block_as_long_as_audio_may_be(tmp_path):
    """45 minutes in 137 kB, as a pause in a recording may last."""
    (tmp_path / "a.flac").write_bytes(silence("FLAC", 45))
    for path in (tmp_path / "a.flac", streamed(tmp_path / "a.flac", tmp_path / "b.flac")):
        with audio.opened(path) as sound:
            assert sum(len(block) for block in sound.blocks) == 45 * 60 * 16_000
    most = audio.MOST_SECONDS * 16_000
    Sound("a", 16_000, 1, most, size=most * 16 // 65_535, blocks=iter(()))  # FLAC's largest frames, of 16 bytes
    with pytest.raises(AudioError, match="a has 200,000 bytes for 86,400 s of audio or more, too few even for silence"):
        Sound("a", 16_000, 1, most, size=200_000, blocks=iter(()))


def test_silence_that_is_kept_whole_is_refused_by_its_header_or_at_the_latest_at_the_bound(tmp_path, monkeypatch):
    """The bound is lowered, so that 45 minutes are beyond it."""
    content = silence("FLAC", 45)
    (tmp_path / "a.flac").write_bytes(content)
    streamed(tmp_path / "a.flac", tmp_path / "b.flac")
    monkeypatch.setattr(audio, "FREE_SAMPLES", 60_000)
    monkeypatch.setattr(audio, "change_rate", lambda *_: pytest.fail("it was resampled"))
    read = []
    with (
        pytest.raises(
            AudioError, match=r"b.flac has 1\d\d,\d{3} bytes for 2,\d{3} s of audio or more, too few to be read whole"
        ),
        audio.opened(tmp_path / "b.flac") as sound,
    ):
        read += [len(block) for block in audio.in_memory(sound)]
    assert sum(read) <= 60_000 + len(content) * audio.MOST_SAMPLES_PER_BYTE
    for whole in (audio.read, audio.decode, lambda path: media.read(path, "mix"), media.decode):
        with pytest.raises(AudioError, match=r"\.flac has .* bytes for 2,\d{3} s of audio"):
            whole(tmp_path / "a.flac")


def test_what_a_file_may_expand_to_counts_over_all_channels_and_resampled():
    for content in (silence("FLAC", 1, 384_000, 8), silence("FLAC", 80, 2_000)):
        with pytest.raises(AudioError, match=r"bytes for (60|4,800) s of audio or more, too few to be read whole"):
            audio.read(content)


def test_real_rates_and_quiet_minutes_are_read():
    for rate in (4_000, 8_000, 48_000, 384_000):
        assert len(audio.read(silence("FLAC", 1, rate))) == 60 * 16_000
    assert len(audio.read(silence("OGG", 1))) == 60 * 16_000


def test_many_channels_take_no_more_than_they_hold(tmp_path):
    import tracemalloc

    soundfile.write(tmp_path / "a.wav", np.zeros((50, 64), dtype=np.float32), 16_000)
    tracemalloc.start()
    assert audio.read(tmp_path / "a.wav").size == 50
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


def test_a_folder_is_not_audio(tmp_path):
    with pytest.raises(AudioError) as caught:
        audio.read(tmp_path)
    assert caught.value.check == "unreadable" and str(tmp_path) in str(caught.value)


def with_rate(wav: bytes, rate: int) -> bytes:
    """The WAV file with another rate in its header."""
    return wav[:24] + rate.to_bytes(4, "little") + wav[28:]


@pytest.mark.refuses(
    "Audio", "rates below 2 kHz or above 768 kHz, more than 64 channels", "the header is damaged; nothing is resampled"
)
@pytest.mark.parametrize("rate", [1, 8, 1_999, 768_001, 2**31 - 1])
def test_a_rate_that_no_recorder_has_is_refused_before_it_is_resampled(tmp_path, monkeypatch, rate):
    monkeypatch.setattr(audio, "change_rate", lambda *_: pytest.fail("it was resampled"))
    wav = with_rate(sound(tmp_path / "a.wav").read_bytes(), rate)
    with pytest.raises(AudioError, match=rf"1 channels at {rate:,} Hz: its header is damaged"):
        audio.read(wav)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_cut_ogg_is_truncated_and_a_whole_one_is_read(tmp_path, subtype):
    noise = 0.2 * np.random.default_rng(0).standard_normal(16_000 * 6)
    soundfile.write(tmp_path / "a.ogg", noise, 16_000, format="OGG", subtype=subtype)
    whole = (tmp_path / "a.ogg").read_bytes()
    assert abs(audio.read(whole).size - noise.size) < 400
    pages = [at for at in range(len(whole)) if whole.startswith(b"OggS", at)]
    for end in (len(whole) // 2, pages[-1], pages[-1] + 20, len(whole) - 1):
        with pytest.raises(AudioError) as caught:
            audio.read(whole[:end])
        assert caught.value.check == "truncated", f"the first {end:,} of {len(whole):,} bytes"


@pytest.mark.refuses(
    "Audio", "several Ogg streams in a row, as of radio recordings", "`corpus.checks.unreadable`: the first alone would be read"
)
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_joined_ogg_files_are_refused(tmp_path, subtype):
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.ogg", tone(1.5), 16_000, format="OGG", subtype=subtype)
    one, other = ((tmp_path / f"{name}.ogg").read_bytes() for name in ("a", "b"))
    assert audio.read(one).size
    with pytest.raises(AudioError, match="several Ogg streams in a row"):
        audio.read(one + one)
    with pytest.raises(AudioError, match="several Ogg streams in a row") as caught:
        audio.read(one + other)
    assert caught.value.check == "unreadable"


@pytest.mark.accepts("Audio", "FLAC with a tag or padding behind its last frame", "as without")
@pytest.mark.parametrize("end", [b"TAG" + bytes(125), b"TAG" + b"a" * 125, bytes(100), bytes(2)])
def test_a_tag_or_padding_at_the_end_of_a_flac_is_no_damage(tmp_path, end):
    soundfile.write(tmp_path / "a.flac", tone(1.5), 16_000)
    content = (tmp_path / "a.flac").read_bytes()
    np.testing.assert_array_equal(audio.read(content + end), audio.read(content))
    with pytest.raises(AudioError):
        audio.read(content[: len(content) // 2] + end)
    less = content[:18] + (int.from_bytes(content[18:26], "big") - 9_000).to_bytes(8, "big") + content[26:]
    if end.startswith(b"TAG"):
        with pytest.raises(AudioError, match="more samples than its header states"):
            audio.read(less + end)


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "NIST", "FLAC"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "ULAW", "FLOAT"])
def test_a_cut_file_of_any_kind_is_refused_and_a_whole_one_is_read(kind, subtype):
    if not soundfile.check_format(kind, subtype):
        return
    content = io.BytesIO()
    soundfile.write(content, np.stack([tone(1.00003)] * 3, axis=1), 16_000, format=kind, subtype=subtype)
    whole = content.getvalue()
    assert audio.read(whole).size == 16_000
    for part in (0.5, 0.9, 0.99):
        with pytest.raises(AudioError):
            audio.read(whole[: int(len(whole) * part)])


@pytest.mark.refuses("Audio", "WAV, AIFF, CAF, FLAC ... that hold more than their header states", "the header is damaged")
@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU"])
def test_a_file_that_holds_more_than_its_header_states_is_refused(kind):
    content = io.BytesIO()
    soundfile.write(content, tone(1.0), 16_000, format=kind, subtype="PCM_16")
    whole = content.getvalue()
    with pytest.raises(AudioError, match="holds more than its header states") as caught:
        audio.read(whole + whole[-16_000:])
    assert caught.value.check == "unreadable"


@pytest.mark.accepts("Audio", "WAV from a stream, whose header states no length", "read to its end")
@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x7FFFEFFC, 0x80000000])  # 7FFFF...: SoX, espeak
def test_a_streamed_wav_and_chunks_after_the_audio_are_taken(tmp_path, size):
    whole = sound(tmp_path / "a.wav", 1.0).read_bytes()
    at, stated = whole.index(b"data") + 4, size.to_bytes(4, "little")
    assert audio.read(whole[:4] + stated + whole[8:at] + stated + whole[at + 4 :]).size == 16_000
    assert audio.read(whole + bytes(4_000)).size == 16_000, "padding"
    notes = b"LIST" + (9_001).to_bytes(4, "little") + bytes(9_002)
    assert audio.read(whole + notes + b"id3 " + (5_000).to_bytes(4, "little") + bytes(5_000)).size == 16_000


@pytest.mark.parametrize("stated", [1, 15_999, 8_000])
def test_a_flac_that_holds_more_than_its_header_states_is_refused(tmp_path, stated):
    whole = sound(tmp_path / "a.flac", 1.0).read_bytes()
    with pytest.raises(AudioError, match="holds more samples than its header states") as caught:
        audio.read(with_stated_frames(whole, stated))
    assert caught.value.check == "unreadable" and audio.read(with_stated_frames(whole, 16_000)).size == 16_000


def as_floats(samples) -> bytes:
    """A float WAV file."""
    file = io.BytesIO()
    soundfile.write(file, np.asarray(samples, dtype=np.float32), 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


STEPS = np.rint(np.sin(np.arange(1_600) / 9) * 32_767)  # a tone as 16-bit integers


@pytest.mark.accepts(
    "Audio", "float WAV with the numbers of 16, 24 or 32-bit integers, or an overshoot up to 2", "scaled, and reported"
)
@pytest.mark.parametrize(
    ("samples", "divided_by"),
    [
        (STEPS, 32_768),
        (STEPS * 256, 8_388_608),
        (STEPS * 65_536, 2_147_483_648),
        ([0.0, 2.0, -2.0], 32_768),
        ([0.25, -1.5, 0.0], 1.5),
        ([0.25, -1.0, 0.0], 1),
    ],
    ids="16-bit 24-bit 32-bit quiet-16-bit overshoot within".split(),
)
def test_floats_beyond_one_are_scaled_and_never_clipped(samples, divided_by):
    np.testing.assert_allclose(audio.read(as_floats(samples)), np.asarray(samples) / divided_by, atol=1e-6)


@pytest.mark.refuses("Audio", "float WAV of an unknown scale", "nothing is clipped")
@pytest.mark.parametrize("samples", [[0.5, 2.1], [0.5, 30_000.25], [2.0**32]], ids="3x fractions too-large".split())
def test_floats_of_an_unknown_scale_are_refused(samples):
    with pytest.raises(AudioError, match="samples up to .* divide them by their full scale") as caught:
        audio.read(as_floats(samples))
    assert caught.value.check == "unreadable"


@pytest.mark.refuses("Audio", "channels of opposite phase", "`channels: first` takes one of them")
def test_channels_that_cancel_each_other_are_no_silence():
    with pytest.raises(AudioError, match="opposite phase.*--channels first") as caught:
        audio.read(as_floats(np.stack([tone(), -0.95 * tone()], axis=1)))
    assert caught.value.check == "opposite_phase"


@pytest.mark.parametrize(
    "channels",
    [
        [tone(seed=1), tone(seed=2)],
        [tone(), 0 * tone()],
        [tone(), -0.5 * tone()],
        [0 * tone()] * 2,
        [tone(), *[0 * tone()] * 7],
    ],
    ids="independent one-sided attenuated silent one-of-eight".split(),
)
def test_other_channels_are_mixed(channels):
    samples = np.stack(channels, axis=1)
    np.testing.assert_allclose(audio.read(as_floats(samples)), samples.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("kind", ["WAV", "OGG", "AIFF", "FLAC", "MP3", "W64", "CAF"])
def test_a_damaged_file_prints_nothing_of_its_own(tmp_path, capfd, monkeypatch, kind):
    ignored = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    soundfile.write(tmp_path / "a", tone(1.0), 16_000, format=kind)
    whole = (tmp_path / "a").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        content = bytearray(whole)
        for at in rng.integers(0, min(200, len(whole)), 4):
            content[at] = rng.integers(256)
        try:
            audio.read(bytes(content))
        except AudioError as error:
            assert "\n" not in str(error)
    assert not ignored and capfd.readouterr().err == ""


def test_a_line_break_in_a_name_is_escaped_in_messages(tmp_path):
    with pytest.raises(AudioError, match=r"a\\nb.wav is missing"):
        audio.read(tmp_path / "a\nb.wav")


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(audio.AudioError, match=r"a.wav is not a regular file"):
        audio.read(tmp_path / "a.wav")
