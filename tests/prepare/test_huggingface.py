"""Promises of pipeline/prepare/huggingface.py, on datasets made here; the hub is never used."""

import pytest

from pipeline.common.errors import BigfootError
from pipeline.params import HuggingFaceSource
from pipeline.prepare import huggingface
from pipeline.speech.corpus import open_corpus
from tests import recordings
from tests.recordings import prepare

SOURCE = {"kind": "huggingface", "columns": {"text": "sentence", "speaker": "who", "recording": "call"}}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """{split: rows} whose audio is bytes, as Parquet from the hub has it; one MP3 at 44.1 kHz."""
    data = recordings.folder(tmp_path_factory.mktemp("hf"))
    mp3 = recordings.sound(data / "a.mp3", 1.0, seed=9, rate=44_100)
    rows = {}
    for split, name in (("train", "train"), ("dev", "validation"), ("test", "test")):
        files = sorted((data / "audio").glob(f"{split}*"))
        rows[name] = [
            {
                "audio": {"bytes": file.read_bytes(), "path": file.name},
                "sentence": f"{split[0]}{'ab'[n]} abcdetr",
                "who": n,
                "call": f"c{n}",
            }
            for n, file in enumerate(files)
        ]
    rows["train"][1]["audio"] = {"bytes": mp3.read_bytes(), "path": "a.mp3"}
    return rows


@pytest.fixture
def saved(splits, tmp_path):
    import datasets

    binary = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features(
        {
            "audio": binary,
            "sentence": datasets.Value("string"),
            "who": datasets.Value("int64"),
            "call": datasets.Value("string"),
        }
    )
    tables = {
        name: datasets.Dataset.from_list(rows, features=features).cast_column("audio", datasets.Audio())
        for name, rows in splits.items()
    }
    return datasets.DatasetDict(tables)


@pytest.mark.parametrize("values", [[[0.1, 0.2], [0.3]], [1, 2], [{"array": [0.1], "sampling_rate": 16_000}] * 2])
def test_a_column_that_is_not_audio_is_named_with_what_it_is(splits, tmp_path, values):
    import datasets

    tables = {
        name: datasets.Dataset.from_list([{**row, "audio": value} for row, value in zip(rows, values, strict=True)])
        for name, rows in splits.items()
    }
    datasets.DatasetDict(tables).save_to_disk(tmp_path / "data")
    with pytest.raises(BigfootError, match="column audio of the dataset's split train is not audio but .*datasets.Audio"):
        prepare(recordings.corpus(tmp_path / "data", SOURCE), tmp_path / "tiny", workers=0)


def test_a_split_of_audio_without_text_needs_no_text_column(saved, tmp_path):
    more = saved["train"].select_columns(["audio"]).select([1])
    saved["train"] = saved["train"].select([0])
    saved["more"] = more
    saved.save_to_disk(tmp_path / "data")
    prepare(recordings.corpus(tmp_path / "data", SOURCE | {"unlabelled": "more"}), tmp_path / "tiny", workers=0)
    corpus = open_corpus(tmp_path / "tiny")
    assert [(u.text, u.duration) for u in corpus.utterances("unlabelled")] == [("", 1.0)] and len(
        corpus.utterances("train")
    ) == 1


def test_a_dataset_saved_to_disk_becomes_a_corpus(saved, tmp_path):
    saved.save_to_disk(tmp_path / "data")
    corpus = recordings.corpus(tmp_path / "data", SOURCE)
    info = prepare(corpus, tmp_path / "tiny", workers=0)
    counts = {split: size["utterances"] for split, size in info["splits"].items()}
    assert counts == {"train": 2, "dev": 1, "gate": 1, "test": 2}


def test_what_load_dataset_reads_becomes_the_same_corpus(saved, splits, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, table in saved.items():
        (tmp_path / "data").mkdir(exist_ok=True)
        table.to_parquet(tmp_path / "data" / f"{name}-00000-of-00001.parquet")
    source = HuggingFaceSource(**SOURCE)
    raws = list(huggingface.read(source, tmp_path / "data"))
    assert [raw.audio for raw in raws if raw.split == "train"] == [row["audio"]["bytes"] for row in splits["train"]]
    assert [raw.split for raw in raws] == ["train", "train", "dev", "dev", "test", "test"]


def test_text_speaker_and_length_come_with_the_audio(saved, tmp_path):
    saved.save_to_disk(tmp_path / "data")
    rows = huggingface.read(HuggingFaceSource(**SOURCE), tmp_path / "data")
    first = next(iter(rows))
    assert len(rows) == 6 and (first.id, first.text, first.speaker, first.recording) == (
        "train-0000000",
        "ta abcdetr",
        "0",
        "c0",
    )


def test_any_rate_and_format_is_laid_down_as_16_khz(saved, tmp_path):
    saved.save_to_disk(tmp_path / "data")
    corpus = recordings.corpus(tmp_path / "data", SOURCE)
    prepare(corpus, tmp_path / "tiny", workers=0)
    laid = open_corpus(tmp_path / "tiny").utterances("train")
    assert laid[1].duration == pytest.approx(1.0, abs=0.06) and [u.recording for u in laid] == ["c0", "c1"]


@pytest.mark.accepts("Tables and splits", "Hugging Face class labels as text or speaker", "their names, not their numbers")
def test_a_class_label_is_its_name(saved, tmp_path):
    import datasets

    def labelled(table):
        table = table.map(
            lambda row, at: {"sentence": at % 2 - (at == 1) * 2, "who": at % 2},
            with_indices=True,
            remove_columns=["sentence", "who"],
        )
        table = table.cast_column("sentence", datasets.ClassLabel(names=["yes", "no"]))
        return table.cast_column("who", datasets.ClassLabel(names=["anna", "ben"]))

    datasets.DatasetDict({name: labelled(table) for name, table in saved.items()}).save_to_disk(tmp_path / "data")
    raws = list(huggingface.read(HuggingFaceSource(**SOURCE), tmp_path / "data"))
    assert [(raw.text, raw.speaker) for raw in raws if raw.split == "train"] == [("yes", "anna"), ("", "ben")]


@pytest.mark.refuses("Tables and splits", "a Hugging Face column of numbers as text", "split and row are said")
def test_text_that_is_a_number_is_refused(saved, tmp_path):
    saved.save_to_disk(tmp_path / "data")
    source = HuggingFaceSource(kind="huggingface", columns={"text": "who"})
    with pytest.raises(BigfootError, match="train row 0: text is not a string but 0: see corpus.source.columns.text"):
        list(huggingface.read(source, tmp_path / "data"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"audio": "sound"}}, "split train has no column sound: it has audio, sentence, who"),
        ({"dev": "dev"}, "has no split dev: it has train, validation, test"),
    ],
)
def test_an_error_for_a_wrong_name_has_the_right_ones(saved, tmp_path, change, message):
    saved.save_to_disk(tmp_path / "data")
    with pytest.raises(BigfootError, match=message):
        huggingface.read(HuggingFaceSource(**SOURCE | change), tmp_path / "data")


def test_absent_data_or_data_without_splits_is_an_error(saved, tmp_path):
    with pytest.raises(BigfootError, match="nowhere is missing"):
        huggingface.read(HuggingFaceSource(**SOURCE), tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BigfootError, match="can't be loaded") as caught:
        huggingface.read(HuggingFaceSource(**SOURCE), tmp_path / "empty")
    assert "\n" not in str(caught.value)
    saved["train"].save_to_disk(tmp_path / "one")
    with pytest.raises(BigfootError, match="one table without splits"):
        huggingface.read(HuggingFaceSource(**SOURCE), tmp_path / "one")


def test_a_gate_of_its_own_is_taken_and_dev_stays_whole(saved, tmp_path):
    saved["judge"] = saved["test"].select([1])
    saved["test"] = saved["test"].select([0])
    saved.save_to_disk(tmp_path / "data")
    info = prepare(recordings.corpus(tmp_path / "data", SOURCE | {"gate": "judge"}), tmp_path / "tiny", workers=0)
    counts = {split: size["utterances"] for split, size in info["splits"].items()}
    assert counts == {"train": 2, "dev": 2, "gate": 1, "test": 1} and info["notes"] == []
