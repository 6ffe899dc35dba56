"""Promises of pipeline/prepare/folder.py."""

import csv
import json
import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.params import FolderSource
from pipeline.prepare import folder
from pipeline.speech import audio
from pipeline.speech.corpus import open_corpus
from tests import recordings
from tests.recordings import change, lines, prepare

SOURCE = FolderSource(kind="folder")
JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.text(max_size=2), max_size=2)


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
    assert list(folder.read(source, data)) == raws and [raw.recording for raw in raws if raw.split == "dev"] == ["call 7", ""]


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
        ('{"audio": 3, "text": "a"}', "line 2 has no audio that is a string, but 3"),
        ('{"audio": "a.wav", "text": ["a", "b"]}', r"line 2 has no text that is a string, but \['a', 'b'\]"),
        ('{"audio": "a.wav", "text": true}', "line 2 has no text that is a string, but True"),
        ('{"audio": "a.wav", "text": "a", "speaker": {"name": "b"}}', "line 2: speaker is not a string or number"),
        ('{"audio": "a.wav", "text": "a", "duration": "long"}', "line 2: duration 'long' is not a number"),
        ('{"audio": "a.wav", "text": "a", "duration": -5}', "line 2: duration is -5 s"),
        ('{"audio": "a.wav", "text": "a", "duration": NaN}', "line 2: duration is nan s"),
        ('{"audio": "a.wav", "text": "a", "duration": 1e999}', "line 2: duration is inf s"),
        ('{"audio": "a.wav", "text": "a", "offset": -0.1, "duration": 1}', "line 2: offset is -0.1 s"),
        ('{"audio": "a.wav", "text": "a", "offset": 0, "duration": 1e308}', r"line 2: duration is 1e\+308 s"),
        ('{"audio": "a.wav", "text": "a", "offset": 1e10, "duration": 1}', "line 2: offset is 10000000000.0 s"),
        *(
            (
                json.dumps({"audio": "a.wav", "text": "a"} | {name: "a\ud800"}),
                rf"line 2: {name} has half a character, .*'a\\ud800'",
            )
            for name in ("audio", "text", "speaker", "id", "recording")
        ),
        ('{"audio": "a.wav", "text": "a", "text": "b"}', "line 2: two values are called text"),
    ],
)
@pytest.mark.refuses("Tables and splits", "a line that is no utterance", "file and line are said")
def test_a_bad_line_is_named_with_file_and_number(tmp_path, line, message):
    data = recordings.folder(tmp_path)
    (data / "dev.jsonl").write_text('{"audio": "audio/dev100.wav", "text": "a"}\n' + line + "\n")
    with pytest.raises(BigfootError, match=f"dev.jsonl, {message}"):
        folder.read(SOURCE, data)


@given(row=st.dictionaries(st.sampled_from("audio text speaker id offset duration recording x".split()), JSON, min_size=2))
def test_any_json_object_is_an_utterance_or_one_line(tmp_path_factory, row):
    data = tmp_path_factory.getbasetemp()
    for split in ("train", "dev", "test"):
        lines(data / f"{split}.jsonl", [row])
    try:
        raws = folder.read(SOURCE, data)
    except BigfootError as error:
        assert "\n" not in str(error)
    else:
        assert len(raws) == 3 and raws[0].text == row["text"].strip()
        assert str(raws[0].audio).endswith(row["audio"].strip())


@pytest.mark.parametrize(
    ("header", "cells", "message"),
    [
        ("audio,words", "a.wav,hello", "dev.csv, line 2 has no text: it has audio, words; .* columns: {text: words}"),
        ("file,class", "a/b.wav,no", "line 2 has no audio: it has file, class; .* columns: {audio: file, text: class}"),
        ("client_id,path,sentence,age", "x,a.mp3,hi,9", "columns: {audio: path, text: sentence, speaker: client_id}"),
    ],
)
def test_a_table_with_others_names_is_told_what_to_write(tmp_path, header, cells, message):
    data = recordings.folder(tmp_path)
    (data / "dev.csv").write_text(f"{header}\n{cells}\n")
    with pytest.raises(BigfootError, match=message):
        folder.read(FolderSource(kind="folder", dev="dev.csv"), data)


@pytest.mark.accepts("Tables and splits", "columns of any name", "`columns`, also by a pattern")
def test_columns_of_any_name_are_taken_and_parts_of_them_by_a_pattern(tmp_path):
    (tmp_path / "t.csv").write_text("file,class\nno/00000001_NO_01.wav,no\n")
    columns = {"audio": "file", "text": "class", "speaker": {"from": "file", "pattern": r"(\d{8})_"}}
    source = FolderSource(kind="folder", train="t.csv", dev="t.csv", test={"test": "t.csv"}, columns=columns)
    raw = folder.read(source, tmp_path)[0]
    assert (raw.audio, raw.text, raw.speaker) == (tmp_path / "no/00000001_NO_01.wav", "no", "00000001")
    (tmp_path / "t.csv").write_text("file,class\nno/00000001_NO_01.wav,no\nno/1.wav,no\n")
    with pytest.raises(BigfootError, match=r"t.csv, line 3: 'no/1.wav' doesn't match corpus.source.columns.speaker.pattern"):
        folder.read(source, tmp_path)


def test_a_column_that_is_mapped_and_absent_from_all_rows_is_an_error(tmp_path):
    data = recordings.folder(tmp_path)
    change(data / "train.jsonl", 0, who="ann")  # a column of JSON lines may be absent from some
    columns = {"recording": "who"}
    with pytest.raises(BigfootError, match="dev.jsonl has no column who: see corpus.source.columns.recording"):
        folder.read(FolderSource(kind="folder", columns=columns), data)


@pytest.mark.accepts("Tables and splits", "Common Voice (TSV)", "as it is downloaded")
def test_common_voice_as_it_is_downloaded(tmp_path):
    for split in ("train", "dev", "test"):
        recordings.sound(tmp_path / "clips" / f"{split}.mp3", 1.0)
        row = f'x1\t{split}.mp3\t"Hallo", sagte er\t2\n'
        (tmp_path / f"{split}.tsv").write_text(f"client_id\tpath\tsentence\tup_votes\n{row}")
    columns = {"audio": "path", "text": "sentence", "speaker": "client_id"}
    tables = {"train": "train.tsv", "dev": "dev.tsv", "test": {"test": "test.tsv"}}
    raws = folder.read(FolderSource(kind="folder", **tables, columns=columns, audio_folder="clips"), tmp_path)
    assert [(raw.id, raw.text, raw.speaker) for raw in raws[1:2]] == [("dev", '"Hallo", sagte er', "x1")]
    assert raws[1].audio == tmp_path / "clips/dev.mp3" and raws[1].audio.is_file()
    assert folder.read(FolderSource(kind="folder", **tables, columns=columns), tmp_path)[0].instead == "clips/train.mp3"
    with pytest.raises(BigfootError, match="clip is missing: see corpus.source.audio_folder"):
        folder.read(FolderSource(kind="folder", **tables, columns=columns, audio_folder="clip"), tmp_path)


@pytest.mark.accepts("Tables and splits", "NeMo's JSON lines", "with `offset` and `duration`: segments of long files")
def test_nemo_manifests_become_utterances_of_their_long_file(tmp_path):
    recordings.sound(tmp_path / "call.wav", 8.0)
    said = [(0.0, 1.5, "abc"), (2.0, 1.0, "bca"), (4.25, 2.0, "cab")]
    for split, (offset, duration, text) in zip(("train", "dev", "test"), said, strict=True):
        row = {"audio_filepath": "call.wav", "offset": offset, "duration": duration, "text": text, "lang": "en"}
        lines(tmp_path / f"{split}.json", [row])
    recordings.sound(tmp_path / "gate.wav", seed=1)
    lines(tmp_path / "gate.json", [{"audio_filepath": "gate.wav", "text": "acb"}])
    tables = {"kind": "folder", "train": "train.json", "dev": "dev.json", "gate": "gate.json", "test": {"test": "test.json"}}
    prepare(recordings.corpus(tmp_path, tables), tmp_path / "tiny", workers=0)
    corpus = open_corpus(tmp_path / "tiny")
    found = [corpus.utterances(split)[0] for split in ("train", "dev", "test")]
    assert [(u.id, u.text, u.duration, u.recording) for u in found] == [
        ("call-0.000", "abc", 1.5, "call"), ("call-2.000", "bca", 1.0, "call"), ("call-4.250", "cab", 2.0, "call"),
    ]  # fmt: skip
    whole = audio.read(tmp_path / "call.wav")
    assert abs(corpus.audio(found[2]) - whole[68_000:100_000]).max() < 1e-4


@pytest.mark.accepts("Tables and splits", "paths with backslashes", "a line says how many")
def test_paths_with_backslashes_are_taken_and_said_once(tmp_path, caplog):
    data = recordings.folder(tmp_path / "data")
    for number in (0, 1):
        change(data / "train.jsonl", number, audio=f"audio\\train{number}.wav")
    with caplog.at_level("INFO"):
        info = prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    note = "Backslashes of 2 audio paths were read as slashes."
    assert info["dropped"] == 0 and info["notes"][0] == note and caplog.text.count(note) == 1
    assert note in (tmp_path / "tiny/report/data.md").read_text()
    assert [u.id for u in open_corpus(tmp_path / "tiny").utterances("train")] == ["train0", "train1"]


def test_audio_where_dvc_does_not_watch_is_taken_and_said(tmp_path):
    data, elsewhere = recordings.folder(tmp_path / "data"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    for number, audio_path in enumerate((str(elsewhere / "train0.wav"), "../elsewhere/train1.wav")):
        (data / f"audio/train{number}.wav").rename(elsewhere / f"train{number}.wav")
        change(data / "train.jsonl", number, audio=audio_path)
    info = prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    assert info["dropped"] == 0
    note = f"2 audio files are outside {data}, where DVC doesn't see them change: "
    assert info["notes"][0] == note + "after a change run `dvc repro --force prepare`."


def test_a_speaker_written_in_two_forms_of_unicode_is_one(tmp_path):
    data = recordings.folder(tmp_path / "data")
    for split, form in (("train", "NFC"), ("test", "NFD")):
        change(data / f"{split}.jsonl", 0, speaker=unicodedata.normalize(form, "José"))
    assert prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)["leaks"]["shared_speaker"]["train-test"] > 0


@pytest.mark.accepts("Tables and splits", "speakers as pandas writes numbers", "12.0 is speaker 12, NaN is none")
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_speakers_that_pandas_wrote_as_floats_are_the_same_and_nan_is_none(tmp_path, suffix):
    data = recordings.folder(tmp_path)
    cells = ["12.0", "NaN" if suffix == "jsonl" else "", "12", "12.50"]
    if suffix == "csv":
        rows = "".join(f"audio/dev10{n}.wav,one,{cell}\n" for n, cell in enumerate(cells))
        (data / "dev.csv").write_text(f"audio,text,speaker\n{rows}")
    else:
        rows = "".join(
            f'{{"audio": "audio/dev10{n}.wav", "text": "one", "speaker": {cell}}}\n' for n, cell in enumerate(cells[:3])
        )
        (data / "dev.jsonl").write_text(rows)
    source = FolderSource(kind="folder", train="train.jsonl", dev=f"dev.{suffix}", test={"test": "test.jsonl"})
    found = [raw.speaker for raw in folder.read(source, data) if raw.split == "dev"]
    assert found[:3] == ["12", "", "12"] and found[3:] in ([], ["12.50"])


@pytest.mark.accepts("Tables and splits", "file names with accents, in either form of Unicode", "as a Mac writes them or not")
@pytest.mark.parametrize(("on_disk", "in_table"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_accents_are_found_in_either_form(tmp_path, on_disk, in_table):
    data, name = recordings.folder(tmp_path / "data"), "ünï 数字.wav"
    (data / "audio/train1.wav").rename(data / "audio" / unicodedata.normalize(on_disk, name))
    change(data / "train.jsonl", 1, audio=f"audio/{unicodedata.normalize(in_table, name)}")
    info = prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    ids = [u.id for u in open_corpus(tmp_path / "tiny").utterances("train")]
    assert info["dropped"] == 0 and ids[1].startswith("ünï-数字-")


@pytest.mark.accepts("Tables and splits", "spaces around a cell", "taken off: they make no other speaker")
def test_spaces_around_cells_make_no_other_speaker_or_file(tmp_path):
    data = recordings.folder(tmp_path)
    (data / "dev.csv").write_text("text, audio, speaker\none, audio/dev100.wav, ann\ntwo,audio/dev101.wav,ann \n , ,\n")
    source = FolderSource(kind="folder", train="train.jsonl", dev="dev.csv", test={"test": "test.jsonl"})
    found = [raw for raw in folder.read(source, data) if raw.split == "dev"]
    assert [raw.speaker for raw in found] == ["ann", "ann"] and all(raw.audio.is_file() for raw in found)


@pytest.mark.parametrize(
    "written",
    ["audio/train1.flac", "audio/Train1.WAV", "train1.wav", "/home/ann/speech/audio/train1.wav", r"C:\speech\audio\train1.wav",
     "audio/train1", "audio/audio/train1.wav"],
)  # fmt: skip
@pytest.mark.refuses("Tables and splits", "a file that is missing", "left out, with the one that was probably meant")
def test_a_missing_file_is_named_with_the_one_that_was_probably_meant(tmp_path, written):
    data = recordings.folder(tmp_path / "data", each=3)
    recordings.sound(data / "other" / "train1.wav", seed=7)
    change(data / "train.jsonl", 1, audio=written)
    prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    (dropped,) = [json.loads(line) for line in (tmp_path / "tiny" / "report/dropped.jsonl").read_text().splitlines()]
    assert dropped["check"] == "missing" and dropped["why"].endswith(" is missing; audio/train1.wav is there")
    assert written in dropped["why"]


def test_a_missing_file_beside_one_whose_name_is_not_utf_8_is_named(tmp_path):
    data = recordings.folder(tmp_path / "data", each=3)
    recordings.sound(data / "miller/0001.wav", seed=7)
    (data / "miller").rename(data / os.fsdecode(b"m\xfcller"))
    change(data / "train.jsonl", 1, audio="audio/0001.wav")
    prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    assert r"m\\udcfcller/0001.wav is there" in (tmp_path / "tiny/report/dropped.jsonl").read_text()


@pytest.mark.accepts("Tables and splits", "one table for all splits", "by its split column")
def test_one_table_for_all_splits_is_divided_by_its_column(tmp_path):
    rows = [
        {"audio": f"{n}.wav", "text": "x", "subset": name} for n, name in enumerate(["valid", "fit", "other", "eval", "fit"])
    ]
    lines(tmp_path / "all.jsonl", rows)
    names = {"train": "fit", "dev": "valid", "test": {"test": "eval"}}
    raws = folder.read(FolderSource(kind="folder", manifest="all.jsonl", columns={"split": "subset"}, **names), tmp_path)
    assert [(raw.id, raw.split) for raw in raws] == [("1", "train"), ("4", "train"), ("0", "dev"), ("3", "test")]
    assert raws.notes == ["Rows of all.jsonl in splits that corpus.source doesn't name were left out: other 1."]
    with pytest.raises(BigfootError, match="line 1 has no split: it has audio, text, subset; .*columns: {split: subset}"):
        folder.read(FolderSource(kind="folder", manifest="all.jsonl"), tmp_path)


def test_audio_without_text_is_a_split_of_its_own_and_no_test_set(tmp_path):
    data = recordings.folder(tmp_path / "data")
    for n in (300, 301):
        recordings.sound(data / "calls" / f"{n}.wav", seed=n)
    lines(data / "calls.jsonl", [{"audio": "calls/300.wav"}, {"audio": "calls/301.wav", "text": "?$"}])
    prepare(recordings.corpus(data, {"kind": "folder", "unlabelled": "calls.jsonl"}), tmp_path / "tiny", workers=0)
    corpus = open_corpus(tmp_path / "tiny")
    assert [(u.id, u.text, u.duration) for u in corpus.utterances("unlabelled")] == [("300", "", 0.5), ("301", "", 0.5)]
    assert corpus.test_sets == ["test"] and corpus.splits == ["train", "dev", "gate", "test", "unlabelled"]
    assert corpus.info["leaks"]["shared_audio"]["unlabelled-test"] == 0


def test_audio_without_text_goes_with_a_split_column_and_may_lack_other_columns(tmp_path):
    rows = [{"audio": f"{name}.wav", "text": "x", "subset": name, "who": "ann"} for name in ("train", "dev", "test")]
    lines(tmp_path / "all.jsonl", rows)
    lines(tmp_path / "calls.jsonl", [{"audio": "call.wav"}])
    columns = {"split": "subset", "speaker": "who"}
    source = FolderSource(kind="folder", manifest="all.jsonl", columns=columns, unlabelled="calls.jsonl")
    raws = folder.read(source, tmp_path)
    assert [(raw.id, raw.split) for raw in raws] == [(n, n) for n in ("train", "dev", "test")] + [("call", "unlabelled")]


def test_audio_without_text_that_a_test_set_has_too_is_found_there(tmp_path):
    data = recordings.folder(tmp_path / "data", each=3)
    lines(data / "calls.jsonl", [{"audio": "audio/test200.wav"}, {"audio": "audio/train0.wav"}])
    source = {"kind": "folder", "unlabelled": "calls.jsonl"}
    with pytest.raises(BigfootError, match="^unlabelled/test200: the same audio as test/test200"):
        prepare(recordings.corpus(data, source), tmp_path / "tiny", workers=0)


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
    with pytest.raises(BigfootError, match="dev.jsonl is not UTF-8 but UTF-16, or not text"):
        folder.read(SOURCE, data)


def test_real_compressed_speech_goes_through_whole(tmp_path):
    data = recordings.real("librispeech")
    source = {"kind": "folder", "train": "train.jsonl", "dev": "dev.jsonl", "test": {"test": "test.jsonl"}}
    for split, lists in (("train", "train"), ("dev", "dev"), ("test", "dev")):
        rows = [
            raw for raw in folder.read(FolderSource(**source | {"test": {"test": "dev.jsonl"}}), data) if raw.split == lists
        ]
        some = rows[:8] if split != "test" else rows[-8:]
        columns = ({"audio": str(r.audio), "text": r.text, "speaker": r.speaker, "duration": r.duration} for r in some)
        lines(tmp_path / "data" / f"{split}.jsonl", list(columns))
    info = prepare(recordings.corpus(tmp_path / "data", source, limits={"max_seconds": 36}), tmp_path / "tiny", workers=0)
    assert info["dropped"] == 0 and info["splits"]["test"]["utterances"] == 8
    corpus = open_corpus(tmp_path / "tiny")
    for raw, utterance in zip(rows[-8:], corpus.utterances("test"), strict=True):
        assert utterance.duration == pytest.approx(raw.duration, abs=0.1) and utterance.text == raw.text.lower()
