"""Recordings read in blocks are those that audio.read gives, bit for bit, and fail as it fails."""

import errno
import io
import os
import threading
from contextlib import ExitStack

import numpy as np
import pytest
import soundfile

from pipeline.apps.transcription import files
from pipeline.apps.transcription.files import Failure, Recording
from pipeline.speech import audio, media
from pipeline.speech.audio import AudioError
from tests import media as media_files
from tests.recordings import sound, streamed, tone


def recording(path) -> Recording:
    return Recording(str(path), path, path)


def read(recording, channel="mix", keep=0) -> list[np.ndarray]:
    """The pieces of a recording, read twice unless `keep` samples hold it."""
    return list(files.measured(recording, channel, keep)[1])


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [
        ("a.wav", 16_000, 1), ("a.wav", 8_000, 1), ("a.flac", 44_100, 2), ("a.ogg", 48_000, 2), ("a.mp3", 22_050, 1),
        ("a.m4a", 16_000, 1), ("a.webm", 48_000, 2), ("a.amr", 8_000, 1),
    ],
)  # fmt: skip
def test_blocks_are_the_whole_file(tmp_path, name, rate, channels):
    samples = np.stack([tone(23.4, seed, rate) for seed in range(channels)], axis=1)
    path = tmp_path / name
    media_files.media(path, samples, rate) if path.suffix in media_files.CODECS else soundfile.write(path, samples, rate)
    for channel in ("mix", channels - 1):
        pieces = read(recording(path), channel)
        assert len(pieces) >= 3 and max(map(len, pieces)) < 170_000
        np.testing.assert_array_equal(np.concatenate(pieces), media.read(path, channel))


def test_floats_of_integers_are_scaled_by_the_peak_of_the_whole_file(tmp_path):
    samples = np.rint(np.concatenate([tone(20.0) * 10, tone(5.0) * 32_767]))
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    figures, pieces = files.measured(recording(tmp_path / "a.wav"), "mix", keep=0)
    read = np.concatenate(list(pieces))
    np.testing.assert_array_equal(read, audio.read(tmp_path / "a.wav"))
    assert np.abs(read).max() < 0.5
    np.testing.assert_allclose([figures.mean, figures.variance], [read.mean(), read.var()], rtol=1e-3, atol=1e-6)


def test_a_flac_that_was_streamed_states_no_length_and_is_read_to_its_end(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(12.0, 1), 16_000)
    streamed(tmp_path / "a.flac", tmp_path / "streamed.flac")

    samples = np.concatenate(read(recording(tmp_path / "streamed.flac")))
    np.testing.assert_array_equal(samples, audio.read(tmp_path / "a.flac"))
    assert files.seconds(recording(tmp_path / "streamed.flac")) is None


def test_measuring_is_exact_and_keeps_what_is_short():
    pieces = [tone(1.0, seed) + np.float32(0.3) for seed in range(3)]
    exact = np.concatenate(pieces).astype(np.float64)
    measured, kept = files.measure(pieces, keep=48_000)

    assert measured.samples == 48_000 and kept is not None and len(kept) == 3
    np.testing.assert_allclose([measured.mean, measured.variance], [exact.mean(), exact.var()], rtol=1e-9)
    assert files.measure(pieces, keep=47_999)[1] is None
    assert not np.isfinite(files.measure([np.array([1.0, np.nan], dtype=np.float32)], keep=9)[0].variance)


@pytest.mark.parametrize("check", ["missing", "empty", "unreadable", "truncated", "no samples"])
def test_what_cannot_be_read_is_told_as_audio_tells_it(tmp_path, check):
    path = sound(tmp_path / "a.wav")
    if check == "missing":
        path.unlink()
    elif check == "no samples":
        soundfile.write(path, np.zeros(0), 16_000)
    else:
        path.write_bytes({"empty": b"", "unreadable": b"no audio", "truncated": path.read_bytes()[:-2000]}[check])
    with pytest.raises(AudioError) as expected:
        media.read(path, "mix")
    with pytest.raises(AudioError) as raised:
        read(recording(path))
    assert (raised.value.check, str(raised.value)) == (expected.value.check, str(expected.value))


def test_a_cut_flac_is_truncated_or_unreadable(tmp_path):
    path = sound(tmp_path / "a.flac", 20.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError):
        read(recording(path))


def test_a_header_that_asks_for_gigabytes_is_damaged(tmp_path):
    path = sound(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    data[24:28] = (2_147_483_647).to_bytes(4, "little")  # fmt chunk: sample rate
    path.write_bytes(data)
    with pytest.raises(AudioError, match=r"1 channels at 2,147,483,647 Hz: its header is damaged .*, fetch it again"):
        read(recording(path))


def test_folders_are_searched_by_suffix_in_order_and_without_what_is_hidden(tmp_path):
    for name in ("b.wav", "a/z.FLAC", "a/b/c.mp3", "notes.txt", "._b.wav", ".trash/d.wav", "call.M4A", "old.ape", "cover.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "none").mkdir()
    with ExitStack() as stack:
        recordings = files.find([str(tmp_path), str(tmp_path / "a" / "none"), "x.wav"], stack)

    assert [recording.name for recording in recordings[:5]] == [
        str(tmp_path / name) for name in ("a/b/c.mp3", "a/z.FLAC", "b.wav", "call.M4A", "old.ape")
    ]
    assert [str(recording.out) for recording in recordings[:3]] == ["a/b/c", "a/z", "b"]
    assert isinstance(recordings[5], Failure) and "no audio files" in recordings[5].reason
    assert recordings[6].name == "x.wav"


def test_links_in_a_folder_are_followed_and_what_can_not_be_read_is_said(tmp_path, monkeypatch):
    inside, elsewhere = tmp_path / "inside", tmp_path / "elsewhere"
    for name in ("inside/a.wav", "inside/locked/c.wav", "elsewhere/b.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (inside / "linked").symlink_to(elsewhere)
    (inside / "again").symlink_to(inside / "locked")
    (inside / "0-again").symlink_to(elsewhere)  # read once, by the link that comes first
    (elsewhere / "back").symlink_to(inside)
    (inside / "gone.wav").symlink_to("nowhere.wav")
    listed = os.listdir

    def list_some(folder):  # the tests' user may be root, to whom nothing is locked
        if os.path.basename(folder) == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return listed(folder)

    monkeypatch.setattr(os, "listdir", list_some)
    with ExitStack() as stack:
        found = files.find([str(inside)], stack)
    assert [str(each.path.relative_to(inside)) for each in found[:-1]] == ["0-again/b.wav", "a.wav", "gone.wav"]
    assert found[-1] == Failure(f"{inside}/locked", f"{inside}/locked can't be read: Permission denied")


@pytest.mark.parametrize("name", ["n" * 300, "locked/" + "n" * 300])
def test_a_name_that_is_too_long_is_one_recordings_failure(tmp_path, name):
    with ExitStack() as stack:
        (found,) = files.find([str(tmp_path / f"{name}.wav")], stack)
    with pytest.raises(AudioError, match="File name too long|is missing"):
        read(found)


def test_a_pipe_is_kept_for_as_long_as_it_is_needed(tmp_path, monkeypatch):
    content = sound(tmp_path / "a.wav").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(content))
    writer.start()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    with ExitStack() as stack:
        piped, named = files.find(["-", str(tmp_path / "pipe")], stack)
        for one in (piped, named):
            np.testing.assert_array_equal(np.concatenate(read(one)), audio.read(content))
    writer.join()
    assert not piped.path.exists() and not named.path.exists()
