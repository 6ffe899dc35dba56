"""Promises of pipeline/speech/corpus.py."""

import pickle
from dataclasses import replace

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.speech import audio, shards
from pipeline.speech.corpus import open_corpus
from pipeline.speech.shards import Utterance
from tests import corpora, recordings
from tests.recordings import prepare

TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # what UTF-8 can hold
UTTERANCES = st.builds(Utterance, TEXT, TEXT, TEXT, st.floats(0, 1e6), TEXT)


@given(st.lists(st.tuples(UTTERANCES, st.binary(max_size=40)), max_size=9))
def test_what_is_written_is_read_back_whatever_the_text(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("shards") / "train"
    with pytest.MonkeyPatch.context() as patch:  # batches and shards as small as the rows are few
        patch.setattr(shards, "ROWS", 2)
        patch.setattr(shards, "SHARD_BYTES", 50)
        corpora.write_split(folder.parent, "train", rows, corpora.RULES)
        found = shards.Utterances(folder)
        wanted = [replace(utterance, split="train", row=row) for row, (utterance, _) in enumerate(rows)]
        assert list(found) == wanted and [found[row] for row in range(len(rows))] == wanted and found[-2:] == wanted[-2:]
        assert [found.flac(row) for row in range(len(rows))] == [flac for _, flac in rows]
        assert found.durations.tolist() == [utterance.duration for utterance, _ in rows]
        assert list(pickle.loads(pickle.dumps(found))) == wanted


def test_every_change_of_a_row_changes_the_digest(tmp_path):
    row = (Utterance("a", "one", "who", 1.0, "call"), b"audio")
    others = [(replace(row[0], **change), b"audio") for change in (
        {"id": "b"}, {"text": "two"}, {"speaker": "me"}, {"duration": 2.0}, {"recording": ""}
    )]  # fmt: skip
    digests = [
        corpora.write_split(tmp_path, "train", rows, corpora.RULES)["digest"]
        for rows in ([row], [row], [(row[0], b"other")], [row, row], *([other] for other in others))
    ]
    assert digests[0] == digests[1] and len(set(digests)) == len(digests) - 1


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "other"])
def test_a_damaged_shard_is_one_line(tmp_path, damage):
    prepare(recordings.corpus(recordings.folder(tmp_path / "data")), tmp_path / "tiny", workers=0)
    shard = tmp_path / "tiny/train/00000.arrow"
    content = {"cut": shard.read_bytes()[:-100], "empty": b"", "missing": None, "other": b"x" * 5000}[damage]
    shard.unlink()
    if content is not None:
        shard.write_bytes(content)
    with pytest.raises(BigfootError, match=r"train/00000.arrow is (damaged|missing).*: run `dvc ") as caught:
        list(open_corpus(tmp_path / "tiny").utterances("train"))
    assert "\n" not in str(caught.value)


def test_datasets_opens_the_shards_as_they_are(tmp_path):
    prepare(recordings.corpus(recordings.folder(tmp_path / "data", each=3)), tmp_path / "tiny", workers=0)
    files = {
        name: str(tmp_path / "tiny" / folder / "*.arrow") for name, folder in {"train": "train", "test": "test/test"}.items()
    }
    opened = datasets.load_dataset("arrow", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert opened["train"].features["audio"] == datasets.Audio(sampling_rate=16_000)
    row = opened["test"].cast_column("audio", datasets.Audio(decode=False))[1]
    corpus = open_corpus(tmp_path / "tiny")
    utterance = corpus.utterances("test")[1]
    assert row["text"] == utterance.text and row["audio"] == {"bytes": corpus.flac(utterance), "path": "test201.flac"}


def test_a_missing_corpus_or_split_is_an_error(tmp_path):
    with pytest.raises(BigfootError, match="nowhere is missing: run `dvc repro prepare`"):
        open_corpus(tmp_path / "nowhere")
    prepare(recordings.corpus(recordings.folder(tmp_path / "data")), tmp_path / "tiny", workers=0)
    with pytest.raises(BigfootError, match="test/test2/split.json is missing: run `dvc repro prepare`"):
        open_corpus(tmp_path / "tiny").utterances("test2")


def test_audio_that_is_damaged_in_a_shard_is_named(tmp_path):
    rows = [(Utterance("a", "x", "", 1.0), b"fLaC and nothing more")]
    opened = open_corpus(corpora.write(tmp_path / "noise", {split: rows for split in ("train", "dev", "test")}))
    with pytest.raises(BigfootError, match=r"noise/dev: the audio of a is damaged \(.*\): run `dvc repro --force prepare`"):
        opened.audio(opened.utterances("dev")[0])


def test_a_corpus_gives_its_splits_utterances_and_audio(tmp_path):
    data = recordings.folder(tmp_path / "data")
    source = {"kind": "folder", "test": {"test-b": "test.jsonl", "test": "test2.jsonl", "test-a": "test3.jsonl"}}
    for n in (2, 3):
        recordings.sound(data / f"{n}.wav", seed=1000 + n)
        recordings.lines(data / f"test{n}.jsonl", [{"audio": f"{n}.wav", "text": "abc"}])
    prepare(recordings.corpus(data, source), tmp_path / "tiny", workers=0)
    corpus = open_corpus(tmp_path / "tiny")
    assert corpus.test_sets == ["test-b", "test", "test-a"]  # the order of params: the first one is for headline figures
    assert corpus.splits == ["train", "dev", "gate", "test-b", "test", "test-a"]
    first = corpus.utterances("train")[0]
    samples = corpus.audio(first)
    assert samples.dtype == np.float32 and samples.size / 16_000 == first.duration == 0.5
    np.testing.assert_array_equal(samples, audio.read(data / "audio" / "train0.wav"))
