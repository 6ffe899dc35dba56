"""Promises of pipeline/speech/corpus.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.speech import audio
from pipeline.speech.corpus import Utterance, open_corpus, read_manifest, write_manifest
from tests import recordings
from tests.recordings import prepare

UTTERANCES = st.builds(Utterance, st.text(), st.text(), st.text(), st.text(), st.floats(allow_nan=False, allow_infinity=False))


@given(st.lists(UTTERANCES, max_size=4))
def test_what_is_written_is_read_back_whatever_the_text(tmp_path_factory, utterances):
    path = tmp_path_factory.mktemp("m") / "train.jsonl"
    write_manifest(path, utterances)
    assert read_manifest(path) == utterances


@pytest.mark.parametrize("line", ["{", "[1]", '{"id": "a"}', '{"id": "a", "odd": 1}'])
def test_a_broken_line_is_named(tmp_path, line):
    path = tmp_path / "train.jsonl"
    write_manifest(path, [Utterance("a", "a.flac", "a", "", 1.0)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(BigfootError, match=r"train.jsonl, line 2 "):
        read_manifest(path)


def test_an_absent_corpus_or_split_is_said(tmp_path):
    with pytest.raises(BigfootError, match="corpus.json is missing"):
        open_corpus(tmp_path)
    prepare(recordings.corpus(recordings.folder(tmp_path / "data")), tmp_path / "tiny", workers=0)
    with pytest.raises(BigfootError, match="no split test2: it has train, dev, test"):
        open_corpus(tmp_path / "tiny").utterances("test2")


def test_a_corpus_gives_its_splits_utterances_and_audio(tmp_path):
    data = recordings.folder(tmp_path / "data")
    source = {"kind": "folder", "test": {"test-b": "test.jsonl", "test": "test2.jsonl", "test-a": "test3.jsonl"}}
    for n in (2, 3):
        recordings.sound(data / f"{n}.wav", seed=1000 + n)
        recordings.lines(data / f"test{n}.jsonl", [{"audio": f"{n}.wav", "text": "abc"}])
    prepare(recordings.corpus(data, source), tmp_path / "tiny", workers=0)
    corpus = open_corpus(tmp_path / "tiny")
    assert corpus.test_sets == ["test-b", "test", "test-a"]  # as params list them: the first one headlines
    assert corpus.splits == ["train", "dev", "test-b", "test", "test-a"]
    first = corpus.utterances("train")[0]
    heard = corpus.audio(first)
    assert heard.dtype == np.float32 and heard.size / 16_000 == first.duration == 0.5
    np.testing.assert_array_equal(heard, audio.read(data / "audio" / "train0.wav"))
