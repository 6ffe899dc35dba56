"""Long recordings without text are cut where nobody speaks, and become utterances like any."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipeline.params import Limits, SyntheticSource
from pipeline.prepare import synthetic
from pipeline.prepare.pauses import _joined, cut
from pipeline.prepare.raw import Raw
from pipeline.speech import audio, media
from pipeline.speech.corpus import open_corpus
from tests.recordings import corpus, folder, lines, prepare, sound

PAUSE = 0.001 * np.random.default_rng(0).standard_normal(3 * audio.SAMPLE_RATE).astype(np.float32)
LIMITS = Limits(max_seconds=8.0)


def call(path, sentences: int = 6):
    """A recording of several sentences with pauses of three seconds; returns where each starts and ends, in seconds."""
    raws = synthetic.read(SyntheticSource(kind="synthetic", train_utterances=1, dev_utterances=1, test_utterances=sentences))
    spoken = [raw.audio.make() for raw in raws if raw.split == "test"]
    pieces, times, now = [PAUSE], [], len(PAUSE)
    for speech in spoken:
        times.append((now / audio.SAMPLE_RATE, (now + len(speech)) / audio.SAMPLE_RATE))
        pieces += [speech, PAUSE]
        now += len(speech) + len(PAUSE)
    audio.write(path, np.concatenate(pieces))
    return times


def test_a_long_recording_is_cut_at_its_pauses(tmp_path):
    times = call(tmp_path / "call.flac")
    pieces = cut(Raw("call", "unlabelled", tmp_path / "call.flac", "", "anna"), LIMITS)
    assert 2 <= len(pieces) <= len(times) and all(piece.duration <= 8.0 for piece in pieces)
    for start, end in times:  # most of every sentence is within one piece
        most = max(min(end, piece.offset + piece.duration) - max(start, piece.offset) for piece in pieces)
        assert most > 0.6 * (end - start)
    assert {(piece.recording, piece.speaker) for piece in pieces} == {("call", "anna")}
    assert len({piece.id for piece in pieces}) == len(pieces)


def test_each_channel_of_a_long_recording_is_cut_at_its_own_pauses(tmp_path):
    call(tmp_path / "call.flac")
    speech = audio.read(tmp_path / "call.flac")
    late = np.concatenate([np.tile(PAUSE, 4), speech])[: speech.size]  # begins 12 s later
    soundfile.write(tmp_path / "both.flac", np.stack([speech, late], axis=1), 16_000)
    raw = Raw("both", "unlabelled", tmp_path / "both.flac", "")
    pieces = cut(raw, LIMITS, "split")
    by_channel = [[piece for piece in pieces if piece.channel == channel] for channel in (0, 1)]
    assert [piece.id for piece in pieces if piece.id.endswith("-0000")] == ["both-ch1-0000", "both-ch2-0000"]
    assert by_channel[0][0].offset < 4 and by_channel[1][0].offset > 11 and {piece.recording for piece in pieces} == {"both"}
    for missing in (replace(raw, channel=2), replace(raw, audio=tmp_path / "none.wav")):
        assert cut(missing, LIMITS, "split") == [missing]


def test_what_has_text_or_is_short_stays_whole(tmp_path):
    call(tmp_path / "call.flac")
    labelled = Raw("call", "train", tmp_path / "call.flac", "two")
    short = Raw("short", "unlabelled", sound(tmp_path / "short.wav", 2.0), "")
    missing = Raw("missing", "unlabelled", tmp_path / "missing.wav", "")
    for raw in (labelled, short, missing):
        assert cut(raw, LIMITS) == [raw]


def test_a_recording_whose_header_states_that_it_is_short_is_not_decoded_for_it(tmp_path, monkeypatch):
    short = Raw("short", "unlabelled", sound(tmp_path / "short.wav", 2.0), "")
    monkeypatch.setattr(media, "read", None)
    assert cut(short, LIMITS) == [short]


def test_a_recording_in_which_nobody_speaks_stays_whole_and_is_dropped(tmp_path):
    audio.write(tmp_path / "hum.wav", np.tile(PAUSE, 4))
    raw = Raw("hum", "unlabelled", tmp_path / "hum.wav", "")
    assert cut(raw, LIMITS) == [raw]


@pytest.mark.accepts(
    "Tables and splits", "audio without text, calls and lectures included", "the split `unlabelled`, cut at pauses"
)
def test_prepare_makes_utterances_of_them_without_text(tmp_path):
    data = folder(tmp_path / "data")
    call(data / "audio/call.flac")
    lines(data / "calls.jsonl", [{"audio": "audio/call.flac", "speaker": "caller"}])
    limits = {"max_seconds": 8.0}
    made = corpus(data, {"kind": "folder", "unlabelled": "calls.jsonl"}, limits=limits)
    prepare(made, tmp_path / "corpus", workers=0)
    opened = open_corpus(tmp_path / "corpus")
    utterances = opened.utterances("unlabelled")
    assert opened.test_sets == ["test"] and len(utterances) >= 2
    assert all(u.text == "" and u.recording == "audio/call" and u.duration <= 8.0 for u in utterances)
    dropped = [json.loads(line) for line in (tmp_path / "corpus/report/dropped.jsonl").read_text().splitlines()]
    assert not [row for row in dropped if row["split"] == "unlabelled"]


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.1, 8.0)), max_size=20))
def test_joined_stretches_keep_their_order_and_the_limit(pairs):
    stretches, now = [], 0.0
    for pause, length in pairs:
        stretches.append((now + pause, now + pause + length))
        now += pause + length
    joined = _joined(stretches, 8.0)
    assert all(end - start <= 8.0 + 1e-9 or (start, end) in stretches for start, end in joined)
    assert [start for start, _ in joined] == sorted(start for start, _ in joined)
    assert {start for start, _ in joined} <= {start for start, _ in stretches}
    assert (joined[-1][1] if joined else 0.0) == (stretches[-1][1] if stretches else 0.0)
