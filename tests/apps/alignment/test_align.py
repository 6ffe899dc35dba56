"""Forced alignment: the frames that were planted are the times that come out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.apps.alignment.align import align, spelled
from pipeline.common.errors import BigfootError
from pipeline.models.vocabulary import Vocabulary
from pipeline.speech.normalization import TextRules, normalize

TEXTS = ("", " ", *"abcdefghijklmnopqrstuvwxyz")
VOCABULARY = Vocabulary(TEXTS, 0)
FRAME = 0.02


def likely(path: str, strength: float = 8.0) -> np.ndarray:
    """Logits whose likeliest path is this: one character a frame, - for a blank."""
    ids = [0 if c == "-" else TEXTS.index(c) for c in path]
    return strength * np.eye(len(TEXTS), dtype=np.float32)[ids]


def aligned(path: str, *words: str):
    return align(likely(path), [(word, word) for word in words], VOCABULARY, FRAME)


def test_words_and_characters_get_the_frames_in_which_they_are_written():
    first, second = aligned("--aa-b-- --cc-c---", "ab", "cc")
    assert (first.start, first.end, second.start, second.end) == (0.04, 0.12, 0.22, 0.3)
    assert [(c.character, c.start, c.end) for c in second.characters] == [("c", 0.22, 0.26), ("c", 0.28, 0.3)]
    assert first.score > 0.9 and second.score > 0.9


def test_a_word_that_was_not_spoken_has_a_low_score():
    good, bad, last = aligned("--ab-- --xyz-- --cd--", "ab", "mno", "cd")
    assert good.score > 0.9 and last.score > 0.9 and bad.score < 0.01


@settings(max_examples=30)
@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=4), min_size=1, max_size=5), st.integers(0, 5), st.integers(1, 4))
def test_planted_words_are_found_where_they_are(words, before, gap):
    path, starts = "-" * before, []
    for number, word in enumerate(words):
        path += ("-" * gap + " " + "-" * gap) if number else ""
        starts.append(len(path))
        path += "-".join(word)
    found = aligned(path + "--", *words)
    assert [round(word.start / FRAME) for word in found] == starts
    assert [round(word.end / FRAME) for word in found] == [s + 2 * len(w) - 1 for s, w in zip(starts, words, strict=True)]


def test_a_word_that_cant_be_spelled_takes_the_time_between_its_neighbors_and_has_no_score():
    first, odd, last = align(likely("-ab- -xyx- -cd-"), [("ab", "ab"), ("5%", "5%"), ("cd", "cd")], VOCABULARY, FRAME)
    assert odd.score is None and odd.characters == [] and first.end <= odd.start < odd.end <= last.start
    assert (last.start, last.end) == (0.24, 0.28)


def test_a_word_that_tokens_of_several_characters_cant_spell_has_no_score():
    texts = ("", " ", "sch", "a", "d")
    logits = 8 * np.eye(len(texts), dtype=np.float32)[[0, 2, 3, 0, 1, 4, 3, 0, 0]]
    spoken, odd = align(logits, [("scha", "scha"), ("das", "das")], Vocabulary(texts, 0), FRAME)
    assert [character.character for character in spoken.characters] == ["sch", "a"] and spoken.score > 0.9
    assert odd.score is None


def test_a_text_longer_than_the_recording_is_one_line():
    with pytest.raises(BigfootError, match="needs 3 frames, and the recording has 2 of 20 ms: is it the transcript"):
        aligned("aa", "aa")


def test_frames_of_40_ms_give_times_that_are_multiples_of_40_ms():
    (word,) = align(likely("-ab--"), [("ab", "ab")], VOCABULARY, 0.04)
    assert (word.start, word.end) == (0.04, 0.12)


def test_no_words_are_no_words():
    assert align(likely("---"), [], VOCABULARY, FRAME) == []


def test_words_keep_their_own_form_and_numbers_are_spelled_in_their_language():
    german = spelled("Um 8 Uhr - Herr Müller!", TextRules(), "de")
    assert german == [("Um", "um"), ("8", "acht"), ("Uhr", "uhr"), ("Herr", "herr"), ("Müller!", "müller")]


def test_single_digits_in_a_row_keep_their_form_beside_punctuation():
    assert spelled("Eight two 9 9.", TextRules(), "en") == [
        ("Eight", "eight"), ("two", "two"), ("9", "nine"), ("9.", "nine"),
    ]  # fmt: skip
    assert spelled("3 9 & 6 3.", TextRules(), "en") == [
        ("3", "three"), ("9", "nine"), ("&", "&"), ("6", "six"), ("3.", "three"),
    ]  # fmt: skip


def test_words_that_belong_together_change_no_other_word():
    words = spelled("Guten Tag, Frau Abel! Rufen Sie 0170 1234 an, um 8 - bitte.", TextRules(), "de")
    assert words == [
        ("Guten", "guten"), ("Tag,", "tag"), ("Frau", "frau"), ("Abel!", "abel"), ("Rufen", "rufen"), ("Sie", "sie"),
        ("0170", "0170"), ("1234", "1234"), ("an,", "an"), ("um", "um"), ("8", "acht"), ("bitte.", "bitte"),
    ]  # fmt: skip
    replaced = spelled("From New York, New Haven to New York.", TextRules(replace={"New York": "newyork"}), "en")
    assert replaced == [
        ("From", "from"), ("newyork", "newyork"), ("New", "new"), ("Haven", "haven"), ("to", "to"), ("newyork", "newyork"),
    ]  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["0170", "1234", "Ja,", "-", "3.5", "New", "York", "5%"]), max_size=8))
def test_the_spellings_of_all_words_are_the_whole_text(words):
    rules = TextRules(replace={"New York": "newyork"})
    assert " ".join(spelling for _, spelling in spelled(" ".join(words), rules, "en")) == normalize(
        " ".join(words), rules, "en"
    )


def test_where_the_rules_reach_over_several_words_their_result_is_aligned():
    assert spelled("in New York", TextRules(replace={"New York": "newyork"}), "en") == [("in", "in"), ("newyork", "newyork")]
