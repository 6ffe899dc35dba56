"""Promises of pipeline/speech/text.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.speech import text


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
