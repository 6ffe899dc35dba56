"""Promises of `prepare` as a whole: what a corpus consists of, and what happens when it can't be made."""

import json
import logging
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.common.errors import BigfootError
from pipeline.prepare import digits, parts, report
from pipeline.prepare.raw import Raw
from pipeline.speech import audio, shards
from pipeline.speech.corpus import open_corpus
from tests import recordings
from tests.recordings import change, prepare

ROOT = Path(__file__).parents[2]


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_corpus_says_where_it_came_from_and_what_is_in_it(tmp_path):
    info = prepare(recordings.corpus(recordings.folder(tmp_path / "data")), tmp_path / "tiny", workers=0)
    assert info == json.loads((tmp_path / "tiny" / "corpus.json").read_text())
    assert info["name"] == "tiny" and info["license"] == "CC0-1.0" and info["synthetic"] is False
    assert info["text"] == {
        "case": "lower", "punctuation": "drop", "digits": "spell", "apostrophes": "keep", "form": "NFC", "replace": {},
        "replace_hypotheses": False,
    }  # fmt: skip
    assert info["language"] == "en" and info["objective"] == "wer" and info["word_gaps"] is True
    assert info["alphabet"] == [" ", "a", "b", "c"]
    assert info["splits"]["train"] == {
        "utterances": 2, "seconds": 1.0, "speakers": 2, "words": 2, "digest": info["splits"]["train"]["digest"],
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "tiny" / "report").iterdir()} == {
        "data.md",
        "dropped.jsonl",
        "seconds.svg",
        "words.svg",
    }


def test_all_cores_and_one_process_make_the_same_bytes(tmp_path):
    corpus = recordings.corpus(recordings.folder(tmp_path / "data", each=6))
    prepare(corpus, tmp_path / "one", workers=0)
    prepare(corpus, tmp_path / "two", workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_references_and_training_targets_follow_the_same_rules(tmp_path):
    data = recordings.folder(tmp_path / "data")
    for split in ("train", "test"):
        change(data / f"{split}.jsonl", 0, text="It’s 5, OK?")
    corpus = recordings.corpus(data, text={"case": "upper"}, limits={"min_seconds": 0.1})
    prepare(corpus, tmp_path / "tiny", workers=0)
    texts = {split: open_corpus(tmp_path / "tiny").utterances(split)[0].text for split in ("train", "test")}
    assert texts == {"train": "IT'S FIVE OK", "test": "IT'S FIVE OK"}


def test_a_german_corpus_is_spelled_in_german_with_the_users_table(tmp_path):
    data = recordings.folder(tmp_path / "data")
    change(data / "train.jsonl", 0, text="Ich habe 3 Hunde, Dr. Groß.")
    change(data / "test.jsonl", 0, text="1.200 Euro")
    (data / "replace.csv").write_text("from,to\nDr.,Doktor\nß,ss\n", encoding="utf-8")
    corpus = recordings.corpus(data, language="de", text={"replace": "replace.csv"}, checks={"text_too_long": "report"})
    info = prepare(corpus, tmp_path / "tiny", workers=0)
    texts = {split: open_corpus(tmp_path / "tiny").utterances(split)[0].text for split in ("train", "test")}
    assert texts == {"train": "ich habe drei hunde doktor gross", "test": "eintausendzweihundert euro"}
    assert info["language"] == "de" and info["text"]["replace"] == {"Dr.": "Doktor", "ß": "ss"}
    report = (tmp_path / "tiny" / "report" / "data.md").read_text()
    assert "Language: de." in report and "replace 2 strings" in report


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "replace.csv is missing"),
        ("/", "replace.csv can't be read .*corpus.text.replace names a CSV"),
        ("a,b\n", "its first line has to be from,to"),
        ("from,to\na\n", "line 2: needs two columns"),
        ("from,to\na,b\na,c\n", "line 3: 'a' is replaced twice"),
        ('from,to\n"a,b\n', "is a quote left open"),
    ],
)
@pytest.mark.refuses("Languages and text", "a broken table of replacements", "file and line are said")
def test_a_table_of_replacements_that_is_wrong_stops_in_one_line(tmp_path, content, error):
    data = recordings.folder(tmp_path / "data")
    if content:
        (data / "replace.csv").mkdir() if content == "/" else (data / "replace.csv").write_text(content)
    with pytest.raises(BigfootError, match=error) as caught:
        prepare(recordings.corpus(data, text={"replace": "replace.csv"}), tmp_path / "tiny", workers=0)
    assert "\n" not in str(caught.value) and not (tmp_path / "tiny").exists()
    with pytest.raises(BigfootError, match="is not in corpus.data"):
        prepare(recordings.corpus(data, text={"replace": "../replace.csv"}), tmp_path / "tiny", workers=0)


@pytest.mark.accepts(
    "Languages and text", "scripts without gaps between words", "`corpus.objective: cer`; a line says so where it is missing"
)
def test_texts_without_gaps_between_words_are_for_the_cer(tmp_path, caplog):
    data = recordings.folder(tmp_path / "data")
    for number, text in enumerate(("我今天要去北京看朋友", "他们都很高兴见到我")):
        change(data / "train.jsonl", number, text=text)
    facts = {"language": "zh", "text": {"digits": "keep"}}
    assert prepare(recordings.corpus(data, **facts), tmp_path / "tiny", workers=0)["word_gaps"] is False
    assert "a WER counts whole sentences: set corpus.objective to cer" in caplog.text
    caplog.clear()
    prepare(recordings.corpus(data, objective="cer", **facts), tmp_path / "tiny", workers=0)
    assert not caplog.text


def test_a_new_corpus_replaces_the_old_one_whole(tmp_path):
    data = recordings.folder(tmp_path / "data", each=3)
    prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    before = files(tmp_path / "tiny")
    (tmp_path / "tiny" / "left_behind").touch()
    prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    assert files(tmp_path / "tiny") == before


def test_a_failure_leaves_the_old_corpus_alone(tmp_path):
    data = recordings.folder(tmp_path / "data")
    prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    before = files(tmp_path / "tiny")
    (data / "dev.jsonl").write_text("{\n")
    with pytest.raises(BigfootError):
        prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    assert files(tmp_path / "tiny") == before


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_corpus_without_one_of_its_splits_is_refused(tmp_path, split):
    data = recordings.folder(tmp_path / "data")
    (data / f"{split}.jsonl").write_text("")
    with pytest.raises(BigfootError, match=f"corpus tiny has no {split} split"):
        prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)


@pytest.mark.parametrize("split", ["gate", "test_hard", "unlabelled"])
def test_a_split_that_the_source_names_and_that_is_empty_is_refused(tmp_path, split):
    data = recordings.folder(tmp_path / "data")
    (data / "empty.jsonl").write_text("")
    named = {"test": {"test": "test.jsonl", "test_hard": "empty.jsonl"}} if split == "test_hard" else {split: "empty.jsonl"}
    with pytest.raises(BigfootError, match=f"corpus tiny has no {split} split"):
        prepare(recordings.corpus(data, {"kind": "folder", **named}), tmp_path / "tiny", workers=0)


def test_what_a_recipe_is_made_of_is_read_again_where_it_changed(tmp_path):
    joined = Raw("a", "train", digits.Joined((recordings.sound(tmp_path / "a.wav"),), seed=1, id="a"), "one")
    corpus = recordings.corpus(tmp_path, {"kind": "digits"})
    ((_, _, before),) = parts.planned([joined], corpus, tmp_path)
    recordings.sound(tmp_path / "a.wav", 2.0, seed=5)
    ((_, _, after),) = parts.planned([joined], corpus, tmp_path)
    assert before != after


def test_a_batch_of_large_recordings_holds_fewer_rows(monkeypatch, tmp_path):
    """Of 2 GiB in one batch PyArrow fails."""
    data = recordings.folder(tmp_path / "data", each=4)
    whole = prepare(recordings.corpus(data), tmp_path / "whole", workers=0)
    for module in (parts, shards):
        monkeypatch.setattr(module, "SHARD_BYTES", 1)
    cut = prepare(recordings.corpus(data), tmp_path / "cut", workers=0)
    assert cut == whole | {"name": cut["name"]} and len(list((tmp_path / "cut/train").glob("*.arrow"))) == 4
    assert [u.id for u in open_corpus(tmp_path / "cut").utterances("train")] == [f"train{n}" for n in range(4)]


def test_a_split_that_is_dropped_whole_is_refused_and_says_why(tmp_path):
    data = recordings.folder(tmp_path / "data")
    for path in (data / "audio").glob("test*"):
        path.unlink()
    with pytest.raises(BigfootError, match=r"all 2 utterances of test are dropped \(2 missing\), the first because .*test200"):
        prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)


def test_two_utterances_of_one_name_are_refused(tmp_path):
    data = recordings.folder(tmp_path / "data")
    for number in (0, 1):
        change(data / "dev.jsonl", number, id="same")
    with pytest.raises(BigfootError, match="two utterances of dev are called same"):
        prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)


def test_ids_become_names_that_stay_inside_the_corpus(tmp_path):
    data = recordings.folder(tmp_path / "data")
    change(data / "train.jsonl", 0, id="../../dev 1/ä")
    prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    first = open_corpus(tmp_path / "tiny").utterances("train")[0]
    assert "/" not in first.id and ".." not in first.id


def test_ids_of_any_script_and_length_stay_apart(tmp_path):
    data = recordings.folder(tmp_path / "data")
    for line, name in enumerate(("запись", "аудио")):
        change(data / "train.jsonl", line, id=name)
    for line, name in enumerate(("a b", "x" * 300)):
        change(data / "test.jsonl", line, id=name)
    prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    corpus = open_corpus(tmp_path / "tiny")
    assert [u.id for u in corpus.utterances("train")] == ["запись", "аудио"]
    spaced, long = corpus.utterances("test")
    assert spaced.id.startswith("a-b-") and len(long.id) == 120
    assert all(corpus.audio(utterance).size == 8000 for utterance in (spaced, long))


def test_corpus_json_changes_when_only_the_sound_does(tmp_path):
    data = recordings.folder(tmp_path / "data")
    before = prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)["splits"]["train"]["digest"]
    assert before == prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)["splits"]["train"]["digest"]
    first = "audio/train0.wav"
    samples = audio.read(data / first)
    audio.write(data / first, samples * 0.5)
    assert prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)["splits"]["train"]["digest"] != before


def test_what_was_kept_and_dropped_is_in_the_log(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        prepare(recordings.corpus(recordings.folder(tmp_path / "data")), tmp_path / "tiny", workers=0)
    assert "prepare: 6 utterances kept, 0 dropped" in caplog.text


def test_what_was_checked_before_a_stop_is_not_checked_again(tmp_path, monkeypatch):
    data = recordings.folder(tmp_path / "data", each=4)
    fault = data / "audio" / "test203.wav"  # the last of twelve
    sound = fault.read_bytes()
    fault.write_bytes(b"no audio")
    monkeypatch.setattr(parts, "PART", 4)
    checked: list[str] = []
    examine = parts.examine
    monkeypatch.setattr(parts, "examine", lambda raw, corpus: (checked.append(raw.id), examine(raw, corpus))[1])
    stopping = recordings.corpus(data, checks={"unreadable": "stop"})
    with pytest.raises(BigfootError, match=r"test203.wav is no audio file|test203"):
        prepare(stopping, tmp_path / "tiny", workers=0)
    assert len(checked) == 12
    fault.write_bytes(sound)
    prepare(stopping, tmp_path / "tiny", workers=0)
    assert checked[12:] == checked[8:12] and not (tmp_path / "tiny.parts").exists()
    monkeypatch.setattr(parts, "PART", 128)
    prepare(stopping, tmp_path / "whole", workers=0)
    assert files(tmp_path / "whole") == files(tmp_path / "tiny")


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path):
    """Killed while a part is being written: the parts before it are kept, and nothing of it counts."""
    corpus = recordings.corpus(recordings.folder(tmp_path / "data", each=3))
    prepare(corpus, tmp_path / "tiny", workers=0)
    wanted = files(tmp_path / "tiny")
    (tmp_path / "tiny.parts").mkdir()
    (tmp_path / "tiny.parts" / "half.1234").write_bytes(b"half of a part")
    prepare(corpus, tmp_path / "tiny", workers=2)
    assert files(tmp_path / "tiny") == wanted and not (tmp_path / "tiny.parts").exists()


@pytest.mark.parametrize(
    ("language", "digits", "is_said"), [("ru", "spell", True), ("ru", "keep", False), ("de", "spell", False)]
)
def test_a_language_that_declines_its_numbers_is_said_to(language, digits, is_said):
    corpus = recordings.corpus(Path(), language=language, text={"digits": digits})
    assert ("base form (ru declines them)" in report.numbers_note(corpus)) is is_said


def test_a_further_test_set_changes_nothing_that_a_training_depends_on(tmp_path):
    data = recordings.folder(tmp_path / "data")
    recordings.sound(data / "more.wav", seed=900)
    recordings.lines(data / "more.jsonl", [{"audio": "more.wav", "text": "cba"}])
    one, two = ({"kind": "folder", "test": {"test": "test.jsonl", **more}} for more in ({}, {"test-more": "more.jsonl"}))
    prepare(recordings.corpus(data, one), tmp_path / "one", workers=0)
    prepare(recordings.corpus(data, two), tmp_path / "two", workers=0)
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    deps = {dep for name in ("teacher", "teacher_logits", "student") for dep in stages[name].get("do", stages[name])["deps"]}
    splits = {Path(dep).name for dep in deps if dep.startswith("corpora/")}
    assert splits == {"train", "dev", "unlabelled"}
    assert all(files(tmp_path / "one" / split) == files(tmp_path / "two" / split) for split in splits)
    assert open_corpus(tmp_path / "two").test_sets == ["test", "test-more"]
