"""Recordings are cut at their pauses into pieces that are short enough, and lose no word."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.apps.alignment.align import AlignedWord, Character
from pipeline.apps.alignment.pieces import cut


def word(text: str, start: float, end: float, score: float | None = 0.9) -> AlignedWord:
    return AlignedWord(text, start, end, score, [Character(c, start, end) for c in text] if score is not None else [])


def test_the_longest_pause_is_cut_first():
    words = [word("a", 1.0, 2.0), word("b", 2.1, 3.0), word("c", 4.0, 5.0), word("d", 5.2, 6.0)]
    pieces = cut(words, 10.0, most_seconds=4.0)
    assert [piece.text for piece in pieces] == ["a b", "c d"]
    assert [(piece.offset, piece.duration) for piece in pieces] == [(0.7, 2.6), (3.7, 2.6)]


def test_neighbors_share_a_short_pause_and_stay_within_the_recording():
    first, second = cut([word("a", 0.1, 2.0), word("b", 2.2, 4.0)], 4.1, most_seconds=3.0)
    assert first.offset == 0.0 and round(first.offset + first.duration, 3) == second.offset == 2.1
    assert round(second.offset + second.duration, 3) == 4.1


def test_the_score_is_the_mean_over_characters_and_none_where_a_word_cant_be_spelled():
    (piece,) = cut([word("aaa", 0, 1, 1.0), word("b", 1, 2, 0.0001)], 3.0, 10.0)
    assert piece.score == 0.1
    (piece,) = cut([word("a", 0, 1), word("5%", 1, 2, None)], 3.0, 10.0)
    assert piece.score is None


times = st.lists(st.tuples(st.floats(0.0, 2.0), st.floats(0.05, 1.0)), min_size=1, max_size=40)


@given(times, st.floats(2.0, 20.0))
def test_every_word_is_in_one_piece_and_no_piece_is_too_long(pairs, most):
    words, now = [], 0.0
    for pause, length in pairs:
        words.append(word("w", now + pause, now + pause + length))
        now += pause + length
    pieces = cut(words, now, most)
    assert sum(len(piece.text.split()) for piece in pieces) == len(words)
    assert all(piece.duration <= most or " " not in piece.text for piece in pieces)
    ends = [0.0] + [piece.offset + piece.duration for piece in pieces]
    assert all(piece.offset >= end - 2e-3 for piece, end in zip(pieces, ends, strict=False))
