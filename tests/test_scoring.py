"""Counts are jiwer's and the definition's, intervals hold what they claim, and what is shifted or swapped is found out."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import scoring
from pipeline.errors import BigfootError

WORDS = st.lists(st.sampled_from("one two three four".split()), min_size=1, max_size=6)


@dataclass
class Said:
    text: str
    id: str = "u"
    speaker: str = "s"
    duration: float = 1.0


def edits(a: list[str], b: list[str]) -> int:
    """Edit distance by its recurrence."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_wer_is_the_edit_distance_over_the_reference_words(pairs):
    found = scoring.score([Said(" ".join(r)) for r, _ in pairs], [" ".join(h) for _, h in pairs], 200)
    by_hand = sum(edits(r, h) for r, h in pairs)
    assert found["words"] == sum(len(r) for r, _ in pairs)
    assert found["substitutions"] + found["deletions"] + found["insertions"] == by_hand
    assert found["wer"] == pytest.approx(by_hand / found["words"])
    if by_hand:
        assert found["wer_low"] <= found["wer"] + 1e-9 and found["wer_high"] >= 0


def test_the_kinds_of_errors_are_told_apart():
    found = scoring.score([Said("one two three"), Said("four")], ["one too", "four five"])
    assert (found["substitutions"], found["deletions"], found["insertions"]) == (1, 1, 1)
    assert found["cer"] == pytest.approx((1 + 6 + 5) / (13 + 4))


def test_shifted_references_are_found_out():
    texts = [f"{a} {b}" for a in "one two three four five".split() for b in "six seven eight nine".split()]
    right = [Said(text, id=str(i)) for i, text in enumerate(texts)]
    assert scoring.score(right, texts)["wer"] == 0
    assert scoring.score(right, texts[1:] + texts[:1])["wer"] > 0.4


def test_no_errors_give_a_bound_not_a_certainty():
    found = scoring.score([Said("one two three")] * 100, ["one two three"] * 100)
    assert (found["wer_low"], found["wer_high"]) == (0, 3 / 300)


def test_speakers_are_the_unit_where_there_are_twenty():
    many = [Said("one", speaker=f"s{i % 20}") for i in range(60)]
    few = [Said("one", speaker=f"s{i % 19}") for i in range(60)]
    assert scoring.score(many, ["one"] * 60)["unit"] == "speakers"
    assert scoring.score(few, ["one"] * 60)["unit"] == "utterances"


def test_errors_that_come_speaker_by_speaker_widen_the_interval():
    rng = np.random.default_rng(1)
    words, speakers = np.ones(1000, int), np.repeat(np.arange(25), 40)
    together = (speakers < 5).astype(int)
    scattered = rng.permutation(together)
    wide, narrow = (np.subtract(*scoring.interval(errors, words, speakers, 2000, 7)[::-1]) for errors in (together, scattered))
    assert wide > 2 * narrow


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng, held = np.random.default_rng(2), 0
    for _ in range(200):
        errors = rng.binomial(5, 0.1, 120)
        low, high = scoring.interval(errors, np.full(120, 5), np.arange(120), 400, 3)
        held += low <= 0.1 <= high
    assert 178 <= held <= 199  # 95% of 200, give or take


def test_the_bound_of_a_rise_is_paired():
    """Two variants that fail on the same utterances differ little, however much both fail."""
    said = [Said("one two three four", id=str(i)) for i in range(100)]
    bad = ["one two two two" if i % 3 == 0 else "one two three four" for i in range(100)]
    worse = ["two"] + bad[1:]
    a, b = scoring.score(said, bad), scoring.score(said, worse)
    assert 0.0 < scoring.paired_rise(a, b) < 0.02
    assert scoring.paired_rise(a, a) == pytest.approx(3 / 400, rel=0.01)
    better = scoring.score(said, ["one two three four"] * 100)
    assert scoring.paired_rise(a, better) < 0


def test_a_bound_never_falls_while_more_words_go_wrong():
    """A few differing words make a bootstrap too sure: one word better must not vouch for more than none at all."""
    said = [Said("one two three four five", id=str(i)) for i in range(50)]

    def heard(wrong: int) -> dict:
        return scoring.score(said, ["two two three four five" if i < wrong else "one two three four five" for i in range(50)])

    bounds = [scoring.paired_rise(heard(3), heard(wrong)) for wrong in range(8)]
    assert bounds == sorted(bounds) and len(set(bounds)) == len(bounds)
    assert bounds[3] == pytest.approx(3 / 250, rel=0.01)


def test_scores_of_other_utterances_are_not_compared():
    one, other = (scoring.score([Said(text)], ["one"]) for text in ("one", "two"))
    with pytest.raises(BigfootError, match="same utterances"):
        scoring.paired_rise(one, other)
