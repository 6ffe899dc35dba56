"""Promises of pipeline/speech/text.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.speech import text
from pipeline.speech.text import TextRules

ALL_RULES = st.builds(
    TextRules,
    case=st.sampled_from(["lower", "upper", "keep"]),
    punctuation=st.sampled_from(["drop", "keep"]),
    digits=st.sampled_from(["spell", "keep"]),
    apostrophes=st.sampled_from(["keep", "drop"]),
)
ENGLISH = st.text(alphabet="ab AB.,'’-019 $%|\n", max_size=30)


@given(st.one_of(st.text(max_size=30), ENGLISH), ALL_RULES)
def test_normalizing_twice_is_normalizing_once(raw, rules):
    once = text.normalize(raw, rules)
    assert text.normalize(once, rules) == once


@given(st.one_of(st.text(max_size=30), ENGLISH), ALL_RULES)
def test_words_end_up_one_space_apart(raw, rules):
    once = text.normalize(raw, rules)
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Hello, World!", "hello world"),
        ("It’s the dog's — 'really' well-known", "it's the dog's really well known"),
        ("In 1,200 days, 7.05 km", "in one thousand two hundred days seven point zero five km"),
        ("agent 007 at -5 degrees", "agent zero zero seven at minus five degrees"),
        ("room 5.", "room five"),
        ("cafe\u0301\u200b", "café"),
    ],
)
def test_english_is_spelled_out_as_spoken(raw, expected):
    assert text.normalize(raw, TextRules()) == expected


def test_each_rule_can_be_turned_off():
    raw = "Don't stop at 5, OK?"
    assert text.normalize(raw, TextRules(case="keep")) == "Don't stop at five OK"
    assert text.normalize(raw, TextRules(case="upper")) == "DON'T STOP AT FIVE OK"
    assert text.normalize(raw, TextRules(punctuation="keep")) == "don't stop at five, ok?"
    assert text.normalize(raw, TextRules(digits="keep")) == "don't stop at 5 ok"
    assert text.normalize(raw, TextRules(apostrophes="drop")) == "dont stop at five ok"


@pytest.mark.parametrize(
    ("raw", "odd"),
    [("costs $5", "$"), ("5%", "%"), ("the 1st", "1"), ("9,999,999,999", ",9"), ("a|b", "|"), ("on 3.3.33", ".3"), ("5é", "5")],
)
def test_characters_that_no_rule_spells_are_listed_and_not_guessed(raw, odd):
    rules = TextRules()
    assert text.unspellable(text.normalize(raw, rules), rules) == odd


def test_letters_of_any_language_are_spellable_and_kept_marks_too():
    assert text.unspellable("größe δύο दो don't", TextRules()) == ""
    assert text.unspellable("well, 5", TextRules(punctuation="keep", digits="keep")) == ""


@given(st.integers(0, 999_999_999))
def test_number_words_mean_the_number(number):
    values = {text.cardinal(n): n for n in [*range(20), *range(20, 100, 10)]}
    total = group = 0
    for word in text.cardinal(number).split():
        if word == "hundred":
            group *= 100
        elif word in ("thousand", "million"):
            total, group = total + group * {"thousand": 1_000, "million": 1_000_000}[word], 0
        else:
            group += values[word]
    assert total + group == number


def test_numbers_beyond_the_range_are_refused():
    with pytest.raises(ValueError, match="1000000000"):
        text.cardinal(1_000_000_000)


def test_the_alphabet_is_every_character_once_with_the_word_gap_first():
    assert text.alphabet(["ba c", "a'"]) == [" ", "'", "a", "b", "c"]
    assert text.alphabet(["ab"]) == [" ", "a", "b"]


def test_ctc_needs_a_blank_between_equal_neighbors():
    assert text.frames_needed("three") == 6 and text.frames_needed("one") == 3 and text.frames_needed("") == 0


VOCAB = ["", "", " ", "a", "b"]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([3, 3, 0, 3, 4], "aab"), ([2, 3, 2, 2, 0, 2, 4, 2], "a b"), ([1, 3, 1], "a"), ([0, 0], ""), ([], "")],
)
def test_greedy_merges_repeats_then_drops_blanks_and_special_tokens(ids, expected):
    assert text.greedy(ids, VOCAB, 0) == expected


@given(st.text(alphabet="ab ", max_size=20))
def test_greedy_inverts_spelling_with_blanks(words):
    words = " ".join(words.split())
    ids = [i for c in words for i in (VOCAB.index(c), 0)]
    assert text.greedy(ids, VOCAB, 0) == words
