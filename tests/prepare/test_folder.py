"""Promises of pipeline/prepare/folder.py."""

import csv

import pytest

from pipeline.common.errors import BigfootError
from pipeline.params import FolderSource
from pipeline.prepare import folder
from pipeline.speech.corpus import open_corpus
from tests import recordings
from tests.recordings import change, lines, prepare

SOURCE = FolderSource(kind="folder")


def test_csv_and_jsonl_say_the_same(tmp_path):
    data = recordings.folder(tmp_path)
    change(data / "dev.jsonl", 0, text='two words, "quoted"', duration=0.5, recording="call 7")
    raws = folder.read(SOURCE, data)
    for split in ("train", "dev", "test"):
        with (data / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "audio", "speaker", "duration", "recording"])
            mine = [raw for raw in raws if raw.split == split]
            writer.writerows([r.text, r.audio.relative_to(data), r.speaker, r.duration, r.recording] for r in mine)
    source = FolderSource(kind="folder", train="train.csv", dev="dev.csv", test={"test": "test.csv"})
    assert folder.read(source, data) == raws and [raw.recording for raw in raws if raw.split == "dev"] == ["call 7", ""]


def test_audio_is_relative_to_its_manifest(tmp_path):
    for split in ("train", "dev", "test"):
        lines(tmp_path / split / "m.jsonl", [{"audio": "sub/a.wav", "text": "x"}])
    source = FolderSource(kind="folder", train="train/m.jsonl", dev="dev/m.jsonl", test={"test": "test/m.jsonl"})
    assert [raw.audio for raw in folder.read(source, tmp_path)][1] == tmp_path / "dev" / "sub" / "a.wav"


def test_names_come_from_ids_else_from_audio_with_folders_where_needed(tmp_path):
    recordings.folder(tmp_path)
    lines(
        tmp_path / "dev.jsonl",
        [{"audio": "x/a.wav", "text": ""}, {"audio": "y/a.wav", "text": ""}, {"audio": "b.wav", "text": "", "id": 7}]
        + [{"audio": "x/c.wav", "text": ""}],
    )
    assert [raw.id for raw in folder.read(SOURCE, tmp_path) if raw.split == "dev"] == ["x/a", "y/a", "7", "c"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not valid JSON"),
        ("[]", "line 2 is not a JSON object"),
        ('{"text": "a"}', "line 2 has no audio: it has text"),
        ('{"audio": "a.wav"}', "line 2 has no text: it has audio"),
        ('{"audio": "", "text": "a"}', "line 2: audio is empty"),
        ('{"audio": 3, "text": "a"}', "line 2 has no audio"),
        ('{"audio": "a.wav", "text": "a", "duration": "long"}', "line 2: duration 'long' is not a number"),
    ],
)
def test_a_bad_line_is_named_with_file_and_number(tmp_path, line, message):
    data = recordings.folder(tmp_path)
    (data / "dev.jsonl").write_text('{"audio": "audio/dev100.wav", "text": "a"}\n' + line + "\n")
    with pytest.raises(BigfootError, match=f"dev.jsonl, {message}"):
        folder.read(SOURCE, data)


def test_a_csv_without_a_column_is_named(tmp_path):
    data = recordings.folder(tmp_path)
    (data / "dev.csv").write_text("audio,words\na.wav,hello\n")
    with pytest.raises(BigfootError, match="dev.csv, line 2 has no text: it has audio, words"):
        folder.read(FolderSource(kind="folder", dev="dev.csv"), data)


def test_absent_data_and_manifests_are_errors(tmp_path):
    with pytest.raises(BigfootError, match="nowhere is missing: .*corpus.data"):
        folder.read(SOURCE, tmp_path / "nowhere")
    data = recordings.folder(tmp_path)
    (data / "test.jsonl").unlink()
    with pytest.raises(BigfootError, match="test.jsonl is missing"):
        folder.read(SOURCE, data)


def test_what_is_no_text_is_refused(tmp_path):
    data = recordings.folder(tmp_path)
    (data / "dev.jsonl").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(BigfootError, match="dev.jsonl is not UTF-8"):
        folder.read(SOURCE, data)


def test_real_compressed_speech_goes_through_whole(tmp_path):
    data = recordings.real("librispeech")
    source = {"kind": "folder", "train": "train.jsonl", "dev": "dev.jsonl", "test": {"test": "test.jsonl"}}
    for split, lists in (("train", "train"), ("dev", "dev"), ("test", "dev")):
        rows = folder._utterances(lists, data / f"{lists}.jsonl")
        some = rows[:8] if split != "test" else rows[-8:]
        columns = ({"audio": str(r.audio), "text": r.text, "speaker": r.speaker, "duration": r.duration} for r in some)
        lines(tmp_path / "data" / f"{split}.jsonl", list(columns))
    info = prepare(recordings.corpus(tmp_path / "data", source, limits={"max_seconds": 36}), tmp_path / "tiny", workers=0)
    assert info["dropped"] == 0 and info["splits"]["test"]["utterances"] == 8
    corpus = open_corpus(tmp_path / "tiny")
    for raw, utterance in zip(rows[-8:], corpus.utterances("test"), strict=True):
        assert utterance.duration == pytest.approx(raw.duration, abs=0.1) and utterance.text == raw.text.lower()
