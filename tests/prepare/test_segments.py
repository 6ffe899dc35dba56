"""Promises of pipeline/prepare/segments.py: a segment is just its part of the file, and one that isn't all there is found."""

import json
import tracemalloc

import numpy as np
import pytest
import soundfile

from pipeline.params import FolderSource
from pipeline.prepare import folder, segments
from pipeline.speech import audio, media
from pipeline.speech.corpus import open_corpus
from tests import recordings
from tests.recordings import lines, prepare


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".ogg", ".mp3"])
@pytest.mark.parametrize(("offset", "duration"), [(0.0, 1.0), (1.2345, 0.5), (3.5, None)])
def test_a_segment_has_the_samples_of_its_place_in_the_whole_file(tmp_path, suffix, offset, duration):
    path = recordings.sound(tmp_path / f"long{suffix}", 5.0, rate=22_050)
    whole, rate = audio.decode(path)
    samples, same_rate = segments.decode(path, offset, duration)
    last = len(whole) if duration is None else round((offset + duration) * rate)
    assert same_rate == rate and np.array_equal(samples, whole[round(offset * rate) : last])


def test_segments_of_files_of_one_name_in_two_folders_are_of_two_recordings(tmp_path):
    data = recordings.folder(tmp_path / "data")
    for split in ("train", "dev", "test"):
        recordings.sound(data / split / "call1.ogg", 5.0, seed=len(split))
        pieces = [{"audio": f"{split}/call1.ogg", "offset": n, "duration": 1.0, "text": "abc" * (n + 1)} for n in range(4)]
        lines(data / f"{split}.jsonl", pieces)
    info = prepare(recordings.corpus(data, checks={"shared_audio": "report"}), tmp_path / "tiny", workers=0)
    assert info["leaks"]["shared_recording"]["train-test"] == 0
    assert {u.recording for u in open_corpus(tmp_path / "tiny").utterances("train")} == {"train/call1"}


def test_a_recording_is_the_same_one_however_and_wherever_it_is_listed(tmp_path):
    data = recordings.folder(tmp_path / "data")
    path = recordings.sound(data / "calls/call1.flac", 5.0)
    pieces = [{"audio": str(path), "offset": n, "duration": 1.0, "text": "abc" * (n + 1)} for n in range(2)]
    lines(data / "train.jsonl", pieces)
    lines(data / "test.jsonl", [{"audio": "calls/call1.flac", "offset": n, "duration": 0.5, "text": "cab"} for n in (2.5, 3.5)])
    lines(data / "more.jsonl", [{"audio": "calls/call1.flac"}])
    (data / "disk/x").mkdir(parents=True)
    (data / "linked").symlink_to("disk/x")  # from where .. leads to disk
    lines(data / "linked/gate.jsonl", [{"audio": "../../calls/call1.flac", "offset": 4.5, "duration": 0.5, "text": "bca"}])
    raws = folder.read(FolderSource(kind="folder", unlabelled="more.jsonl", gate="linked/gate.jsonl"), data)
    assert {raw.recording for raw in raws if raw.split != "dev"} == {"calls/call1"}


def test_a_whole_file_belongs_with_its_segments_elsewhere(tmp_path):
    data = recordings.folder(tmp_path / "data")
    whole = recordings.sound(data / "calls/call1.flac", 5.0)
    with (data / "train.jsonl").open("a") as train:
        train.write(json.dumps({"audio": str(whole), "text": "abc"}) + "\n")
    lines(data / "test.jsonl", [{"audio": "calls/call1.flac", "offset": n, "duration": 0.5, "text": "cab"} for n in (2.5, 3.5)])
    info = prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    assert info["leaks"]["shared_recording"]["train-test"] == 2
    assert [u.recording for u in open_corpus(tmp_path / "tiny").utterances("train")].count("") == info["splits"]["train"][
        "utterances"
    ] - 1


@pytest.mark.parametrize("name", ["a.ogg", "a.wav"])
def test_a_segment_or_file_of_which_no_sample_is_left_is_left_out(tmp_path, name):
    """Half a sample of an Ogg, and one sample at 48 kHz, which is none at 16 kHz."""
    data = recordings.folder(tmp_path / "data", each=3)
    if name == "a.wav":
        soundfile.write(data / name, np.ones(1), 48_000)
        recordings.change(data / "train.jsonl", 1, audio=name)
    else:
        recordings.sound(data / name, 3.0)
        recordings.change(data / "train.jsonl", 1, audio=name, offset=1.0, duration=1e-5)
    checks = {"too_short": "report"}
    prepare(recordings.corpus(data, checks=checks, limits={"min_seconds": 0}), tmp_path / "tiny", workers=0)
    (dropped,) = [json.loads(line) for line in (tmp_path / "tiny/report/dropped.jsonl").read_text().splitlines()]
    assert dropped["check"] == "empty"


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM"])
def test_every_kind_of_wav_is_cut_without_loss_channels_included(tmp_path, subtype):
    path = tmp_path / "long.wav"
    loud = 3.0 if subtype in ("FLOAT", "DOUBLE") else 1.0  # float WAVs may go beyond full scale
    soundfile.write(path, loud * np.stack([recordings.tone(2.0), recordings.tone(2.0, seed=1)], 1), 16_000, subtype=subtype)
    assert np.array_equal(segments.decode(path, 0.5, 1.0)[0], audio.decode(path)[0][8_000:24_000])


def test_only_the_segment_is_decoded_and_what_has_to_be_decoded_whole_is_so_once(tmp_path, monkeypatch):
    decoded = []
    for module, name in ((audio, "decode"), (media, "opened")):
        read = getattr(module, name)
        note = lambda *given, read=read, name=name: decoded.append(name) or read(*given)  # noqa: E731
        monkeypatch.setattr(module, name, note)
    for name in ("long.flac", "long.mp3"):
        path = recordings.sound(tmp_path / name, 20.0)
        for offset in (1.0, 2.0, 3.0):
            segments.decode(path, offset, 1.0)
    assert decoded == ["decode", "decode", "decode", "opened"]


def test_of_the_recordings_that_are_decoded_whole_one_is_in_memory_and_once(tmp_path):
    paths = [recordings.sound(tmp_path / name, 60.0) for name in ("a.mp3", "b.mp3")]
    size = 4 * 60 * 16_000
    tracemalloc.start()
    try:
        for path in paths:
            segments.decode(path, 30.0, 1.0)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".wav", ".mp3"])
@pytest.mark.parametrize(("offset", "duration"), [(1.0, 1.3), (2.5, 1.0), (3.0, None)])
def test_a_segment_beyond_its_file_is_truncated(tmp_path, suffix, offset, duration):
    path = recordings.sound(tmp_path / f"long{suffix}", 2.0)
    with pytest.raises(audio.AudioError, match="is not within .*long.*, which has 2.0") as caught:
        segments.decode(path, offset, duration)
    assert caught.value.check == "truncated" and len(segments.decode(path, 1.0, 1.05)[0]) in range(16_000, 16_801)


def test_a_segment_of_hours_of_silence_is_cut_and_one_that_is_hours_long_is_refused(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.flac", np.zeros(10 * 60 * 16_000), 16_000)
    monkeypatch.setattr(audio, "FREE_SAMPLES", 16_000)  # so that ten minutes do for hours
    samples, rate = segments.decode(tmp_path / "a.flac", 500.0, 1.0)
    assert (len(samples), rate) == (16_000, 16_000)
    with pytest.raises(audio.AudioError, match=r"a.flac has .* bytes for 600 s of audio or more, too few to be read whole"):
        segments.decode(tmp_path / "a.flac", 0.0, None)


def test_segments_of_a_damaged_or_missing_file_are_found_as_whole_files_are(tmp_path):
    path = recordings.sound(tmp_path / "cut.wav", 2.0)
    path.write_bytes(path.read_bytes()[:40_000])
    (tmp_path / "noise.wav").write_bytes(b"no audio" * 9)
    (tmp_path / "empty.wav").write_bytes(b"")
    checks = {"cut.wav": "truncated", "noise.wav": "unreadable", "empty.wav": "empty", "none.wav": "missing"}
    for name, check in checks.items():
        with pytest.raises(audio.AudioError, match=name) as caught:
            segments.decode(tmp_path / name, 0.5, 0.5)
        assert caught.value.check == check
    streamed = recordings.streamed(recordings.sound(tmp_path / "a.flac", 2.0), tmp_path / "streamed.flac")
    assert len(segments.decode(streamed, 0.5, 0.5)[0]) == 8_000


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_segments_of_integers_stored_as_float_have_the_scale_of_their_file(tmp_path, subtype):
    data = recordings.folder(tmp_path / "data")
    loud, faint = np.rint(recordings.tone(1.0) * 32_768), np.random.default_rng(0).integers(-1, 2, 16_000)
    samples = np.concatenate([loud, faint, loud])
    samples[40_000] = np.nan  # is only for the segment it is in
    soundfile.write(data / "audio/long.wav", samples, 16_000, subtype=subtype)
    rows = [{"audio": "audio/long.wav", "text": "abc", "offset": n, "duration": 1} for n in range(3)]
    lines(data / "train.jsonl", rows)
    prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    dropped = [json.loads(line) for line in (tmp_path / "tiny/report/dropped.jsonl").read_text().splitlines()]
    assert [(row["id"], row["check"]) for row in dropped] == [("long-1.000", "silent"), ("long-2.000", "nan")]
    (kept,) = open_corpus(tmp_path / "tiny").utterances("train")
    assert kept.id == "long-0.000"


def test_a_segment_within_a_file_with_an_overshoot_is_divided_like_the_others(tmp_path):
    path, samples = tmp_path / "long.wav", recordings.tone(2.0)
    samples[20_000] = 1.5
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    for offset in (0.0, 1.0):
        assert segments.level(path, segments.decode(path, offset, 1.0)[0]).divisor == 1.5


@pytest.mark.refuses("Tables and splits", "audio much shorter or longer than its manifest says", "left out and reported")
def test_a_stated_duration_is_held_against_the_audio_both_ways(tmp_path):
    data = recordings.folder(tmp_path / "data", each=4)
    for number, duration in enumerate((0.5, 0.2, 1.0)):
        recordings.change(data / "train.jsonl", number, duration=duration)
    info = prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    dropped = [json.loads(line) for line in (tmp_path / "tiny" / "report/dropped.jsonl").read_text().splitlines()]
    assert {row["id"]: row["check"] for row in dropped} == {"train1": "longer_than_stated", "train2": "truncated"}
    assert dropped[0]["why"] == "0.50 s of audio where the manifest says 0.20 s" and info["splits"]["train"]["utterances"] == 2


def test_a_segment_beyond_its_file_is_left_out_and_the_last_line_says_so_for_each_split(tmp_path, caplog):
    data = recordings.folder(tmp_path / "data")
    rows = [{"audio": "audio/train0.wav", "text": "abc", "offset": offset, "duration": 0.3} for offset in (0.1, 0.4)]
    lines(data / "train.jsonl", rows)
    with caplog.at_level("INFO"):
        prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    counts = "train 1 and 1, dev 1 and 0, gate 1 and 0, test 2 and 0"
    assert caplog.messages[-1] == f"prepare: 5 utterances kept, 1 dropped ({counts})"
    assert (
        '"id": "train0-0.400", "split": "train", "check": "truncated"' in (tmp_path / "tiny/report/dropped.jsonl").read_text()
    )


def test_a_header_that_states_days_is_refused_before_a_segment_of_it_is_read(tmp_path):
    path = recordings.sound(tmp_path / "a.flac")
    path.write_bytes(recordings.with_stated_frames(path.read_bytes(), 2**36 - 1))
    for duration in (None, 3600.0):
        with pytest.raises(audio.AudioError, match="more than the 24 h"):
            segments.decode(path, 0.0, duration)
