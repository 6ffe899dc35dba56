"""Promises of pipeline/prepare/digits.py, on one invented speaker with all recordings, and on FSDD where it exists."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import BigfootError
from pipeline.params import DigitsSource
from pipeline.prepare import digits
from pipeline.speech import audio
from tests import recordings
from tests.recordings import prepare

SOURCE = DigitsSource(kind="digits", seed=7, uses=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """45 recordings of each digit by one speaker, 8 kHz, in the public repository's layout."""
    folder = tmp_path_factory.mktemp("fsdd")
    for digit in range(10):
        for index in range(45):
            recordings.sound(folder / "recordings" / f"{digit}_ann_{index}.wav", 0.12, seed=100 * digit + index, rate=8_000)
    return folder


def used(raws, split):
    files = (file for raw in raws if raw.split == split for file in raw.audio.files)
    return Counter(tuple(map(int, re.findall(r"\d+", file.name))) for file in files)


def test_recordings_are_split_by_index_and_used_as_often_as_promised(data):
    raws = digits.read(SOURCE, data)
    indices = {"test": range(10), "dev": range(10, 15), "gate": range(15, 20), "train": range(20, 45)}
    for split in indices:
        times = 2 if split == "train" else 1
        assert used(raws, split) == {(digit, index): times for digit in range(10) for index in indices[split]}


def test_strings_have_3_to_7_digits_of_one_speaker_that_the_text_names(data):
    for raw in digits.read(SOURCE, data):
        words = raw.text.split()
        assert 3 <= len(words) <= 7
        assert [digits.WORDS[int(file.name[0])] for file in raw.audio.files] == words
        assert {file.name.split("_")[1] for file in raw.audio.files} == {raw.speaker}


@pytest.mark.parametrize("seed", range(20))
def test_no_string_occurs_in_two_splits(data, seed):
    raws = digits.read(DigitsSource(kind="digits", seed=seed), data)
    texts = [{raw.text for raw in raws if raw.split == split} for split in ("train", "dev", "gate", "test")]
    assert sum(map(len, texts)) == len(set.union(*texts)) and all(texts)


def test_the_seed_decides_everything(data):
    again = digits.read(SOURCE, data)
    assert digits.read(SOURCE, data) == again
    np.testing.assert_array_equal(again[3].audio.make(), digits.read(SOURCE, data)[3].audio.make())
    assert digits.read(DigitsSource(kind="digits", seed=8, uses=2), data) != again


def test_between_recordings_lie_short_pauses_of_faint_noise(data):
    recipe = digits.read(SOURCE, data)[0].audio
    recordings = [audio.read(file) for file in recipe.files]
    samples = recipe.make()
    pauses = (samples.size - sum(map(len, recordings))) / 16_000
    assert 0.03 <= pauses / (len(recordings) + 1) <= 0.25
    edge = samples[: round(0.03 * 16_000)]
    assert 0 < edge.std() < 0.003 and samples.dtype == np.float32


def test_the_corpus_is_the_same_bytes_when_made_twice(data, tmp_path):
    corpus = recordings.corpus(data, {"kind": "digits", "uses": 1})
    for name, workers in (("a", 0), ("b", 2)):
        prepare(corpus, tmp_path / name, workers=workers)
    made = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in ("a", "b")]
    assert made[0] == made[1] and len(made[0]) == 14


def test_absent_or_incomplete_data_is_an_error(tmp_path):
    with pytest.raises(BigfootError, match="fsdd is missing"):
        digits.read(SOURCE, tmp_path / "fsdd")
    with pytest.raises(BigfootError, match="holds no recordings named DIGIT_SPEAKER_INDEX.wav"):
        digits.read(SOURCE, tmp_path)
    recordings.sound(tmp_path / "0_ann_0.wav")
    with pytest.raises(BigfootError, match="lacks 449 recordings, such as 1_ann_0.wav"):
        digits.read(SOURCE, tmp_path)


def test_of_fsdd_it_makes_600_test_300_dev_and_300_gate_words_and_an_hour_of_train():
    raws = digits.read(DigitsSource(kind="digits"), recordings.real("fsdd"))
    words = Counter(split for raw in raws for split in [raw.split] * len(raw.text.split()))
    assert words == {"test": 600, "dev": 300, "gate": 300, "train": 6000} and len({raw.speaker for raw in raws}) == 6


def test_spans_are_where_each_recording_is(data):
    joined = next(raw.audio for raw in digits.read(SOURCE, data) if raw.split == "test")
    whole = joined.make()
    assert len(joined.spans()) == len(joined.files)
    for (start, end), file in zip(joined.spans(), joined.files, strict=True):
        assert np.array_equal(whole[start:end], audio.read(file))


def test_the_last_recordings_of_train_go_without_text_if_asked(data):
    for share in (0.01, 0.99):
        with pytest.raises(ValueError, match="of the 25 recordings of train is none or all"):
            DigitsSource(kind="digits", unlabelled=share)
    raws = digits.read(DigitsSource(kind="digits", seed=7, uses=2, unlabelled=0.8), data)
    for split, indices in (("train", range(20, 25)), ("unlabelled", range(25, 45)), ("test", range(10))):
        assert {index for _, index in used(raws, split)} == set(indices)
    assert {raw.text for raw in raws if raw.split == "unlabelled"} == {""}
    before = [raw for raw in digits.read(SOURCE, data) if raw.split != "train"]
    assert [raw for raw in raws if raw.split in ("dev", "gate", "test")] == before
