"""What libsndfile can't read comes from FFmpeg, which opens nothing but that file and is imported when one comes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from pipeline.speech import audio, media
from pipeline.speech.audio import AudioError
from tests.planted import ROOT
from tests.recordings import sound, tone

pytest.importorskip("av")
from tests.media import CODECS  # noqa: E402
from tests.media import media as made

RATES = {".webm": 48_000, ".wma": 44_100, ".amr": 8_000, ".3gp": 8_000}  # others: 16 kHz


def same(read: np.ndarray, original: np.ndarray) -> bool:
    """Whether a lossy codec's samples at 16 kHz are the original's, late by up to 0.1 s."""
    middle = original[4_000:12_000]
    return max(np.corrcoef(read[4_000 + late : 12_000 + late], middle)[0, 1] for late in range(0, 1_600, 2)) > 0.9


@pytest.mark.accepts("Audio", "M4A, MP4, MOV, 3GP, WebM, Matroska, AMR, AAC, WMA", "by FFmpeg, with the extra `media`")
@pytest.mark.parametrize("suffix", CODECS)
def test_other_formats_have_the_sound_of_their_original(tmp_path, suffix):
    rate = RATES.get(suffix, 16_000)
    path = made(tmp_path / f"a{suffix}", tone(2.0, rate=rate), rate)
    samples = media.read(path, "mix")
    assert samples.dtype == np.float32 and abs(samples.size - 32_000) < 2_500
    assert same(samples, audio.change_rate(tone(2.0, rate=rate), rate))
    np.testing.assert_array_equal(media.read(path.read_bytes(), "mix"), samples)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_an_mp3_in_a_wav_is_read_and_refused_where_it_is_cut(tmp_path, rate):
    """libsndfile only estimates how many samples there are."""
    whole = made(tmp_path / "a.wav", tone(2.0, rate=rate), rate).read_bytes()
    assert same(audio.read(whole), audio.change_rate(tone(2.0, rate=rate), rate))
    with pytest.raises(AudioError, match="cut off"):
        audio.read(whole[: len(whole) // 2])


@pytest.mark.parametrize("suffix", [".mkv", ".m4a"])
def test_channels_stay_apart(tmp_path, suffix):
    left, right = tone(2.0, 1), tone(2.0, 2)
    path = made(tmp_path / f"a{suffix}", np.stack([left, right], axis=1), 16_000)
    assert same(media.read(path, 0), left) and same(media.read(path, 1), right)
    assert not same(media.read(path, 1), left)


def test_a_recording_that_changes_its_rate_or_channels_is_refused(tmp_path):
    """AAC frames of two files in one; or damaged ones, of which a bit says stereo."""
    first = made(tmp_path / "a.aac", tone(2.0), 16_000).read_bytes()
    others = [
        made(tmp_path / "b.aac", tone(2.0, rate=44_100), 44_100),
        made(tmp_path / "c.aac", np.stack([tone(2.0)] * 2, 1), 16_000),
    ]
    assert media.read(first + first, "mix").size > 60_000
    for other in others:
        with pytest.raises(AudioError, match="changes its rate or channels on the way"):
            media.read(first + other.read_bytes(), "mix")


def test_integers_are_read_exactly(tmp_path):
    samples = np.rint(tone() * 32_768) / 32_768
    path = made(tmp_path / "a.mkv", samples, 16_000)
    np.testing.assert_array_equal(media.read(path, "mix"), samples.astype(np.float32))


@pytest.mark.accepts("Audio", "video", "its first audio stream")
def test_the_sound_of_a_video_is_read(tmp_path):
    assert same(media.read(made(tmp_path / "a.mp4", tone(2.0), 16_000, picture=True), "mix"), tone(2.0))


@pytest.mark.refuses("Audio", "video without sound", "said by name")
def test_a_video_without_sound_is_refused(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, width=32, height=32, pix_fmt="yuv420p")
        container.mux([*stream.encode(av.VideoFrame(32, 32, "yuv420p")), *stream.encode(None)])
    with pytest.raises(AudioError, match="a.mp4 has no audio stream"):
        media.read(tmp_path / "a.mp4", "mix")


@pytest.mark.parametrize("suffix", [suffix for suffix in CODECS if suffix not in (".amr", ".aac")])
@pytest.mark.parametrize("movflags", ["", "faststart"])
def test_a_cut_file_is_never_taken(tmp_path, suffix, movflags):
    rate = RATES.get(suffix, 16_000)
    options = {"movflags": movflags} if movflags and suffix in (".m4a", ".mp4") else {}
    whole = made(tmp_path / f"a{suffix}", tone(5.0, rate=rate), rate, **options).read_bytes()
    for part in (0.05, 0.1, 0.5, 0.9):
        with pytest.raises(AudioError) as caught:
            media.read(whole[: int(len(whole) * part)], "mix")
        assert caught.value.check in ("truncated", "unreadable") and "\n" not in str(caught.value)


@pytest.mark.refuses("Audio", "playlists, concat scripts, SDP (which name other files and addresses)", "nothing else is opened")
@pytest.mark.parametrize("suffix", [".m4a", ".webm", ".m3u8", ".sdp"])
@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{other}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    ],
    ids="HLS concat SDP".split(),
)
def test_a_file_that_names_another_opens_nothing(tmp_path, suffix, content):
    other = made(tmp_path / "other.m4a", tone(), 16_000)
    path = tmp_path / f"a{suffix}"
    for start in (b"", b"\x1a\x45\xdf\xa3", b"\0\0\0\x1cftypM4A "):
        path.write_bytes(start + content.format(other=other).encode())
        with pytest.raises(AudioError) as caught:
            media.read(path, "mix")
        assert caught.value.check == "unreadable"


def test_only_a_file_that_needs_it_imports_ffmpeg(tmp_path):
    code = (
        "import sys\nfrom pipeline.speech import media\nmedia.read(sys.argv[1], 'mix')\n"
        "print(sorted({'av', 'torch'} & set(sys.modules)))\n"
    )
    for path, imported in ((sound(tmp_path / "a.wav"), "[]"), (made(tmp_path / "a.m4a", tone(), 16_000), "['av']")):
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        assert (done.stdout.strip(), done.stderr) == (imported, "")


def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch):
    path = made(tmp_path / "a.m4a", tone(), 16_000)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"a.m4a is M4A, .*: `pip install bigfoot-asr\[media\]`"):
        media.read(path, "mix")


def test_bytes_after_amr_frames_are_not_taken_for_silence(tmp_path):
    wide = b"#!AMR-WB\n" + (b"\x04" + bytes(17)) * 100  # frames of 20 ms in the lowest mode
    narrow = made(tmp_path / "a.amr", tone(2.0, rate=8_000), 8_000).read_bytes()
    assert len(media.read(wide, "mix")) == 2.0 * 16_000
    for whole in (wide, narrow):
        with pytest.raises(
            AudioError, match=r"the audio holds bytes that are not AMR after 2\.0\d s: it is damaged, fetch it again"
        ):
            media.read(whole + b"\xff" * 100, "mix")


def test_damaged_files_are_refused_in_one_line_and_print_nothing(tmp_path, capfd):
    rng = np.random.default_rng(0)
    for suffix in (".m4a", ".webm", ".amr"):
        rate = RATES.get(suffix, 16_000)
        whole = made(tmp_path / f"a{suffix}", tone(rate=rate), rate).read_bytes()
        for _ in range(60):
            content = bytearray(whole)
            for at in rng.integers(len(whole), size=6):
                content[at] = rng.integers(256)
            try:
                media.read(bytes(content), "mix")
            except AudioError as error:
                assert "\n" not in str(error)
    assert capfd.readouterr().err == ""


def test_a_file_that_is_no_audio_is_told_all_formats_that_could_be_read(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match="can't be read as WAV, FLAC, MP3, .* SPHERE, M4A, MP4, .* AAC or WMA: "):
        media.decode(tmp_path / "a.wav")
