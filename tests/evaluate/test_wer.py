"""Counts are jiwer's and the definition's, intervals hold what they claim, and what is shifted or swapped is found out."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.evaluate import wer
from pipeline.evaluate.scores import Hypothesis, SetScore

WORDS = st.lists(st.sampled_from("one two three four".split()), min_size=1, max_size=6)


@dataclass
class Reference:
    text: str
    id: str = "u"
    speaker: str = "s"
    recording: str = ""
    duration: float = 1.0


def edits(a: list[str], b: list[str]) -> int:
    """Edit distance by its recurrence."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=14))
@settings(max_examples=60, deadline=None)
def test_wer_is_the_edit_distance_over_the_reference_words(pairs):
    score = wer.score([Reference(" ".join(r)) for r, _ in pairs], [" ".join(h) for _, h in pairs], 200)
    by_hand = sum(edits(r, h) for r, h in pairs)
    assert score.words == sum(len(r) for r, _ in pairs)
    assert score.substitutions + score.deletions + score.insertions == by_hand
    assert score.wer == pytest.approx(by_hand / score.words)
    if by_hand and sum(bool(r) for r, _ in pairs) < 10:
        assert (score.wer_low, score.wer_high) == (None, None)
    else:
        assert 0 <= score.wer_low <= score.wer + 1e-9 and score.wer <= score.wer_high


@pytest.mark.parametrize(("utterances", "is_known"), [(2, False), (9, False), (10, True)])
def test_fewer_than_ten_utterances_have_no_interval_since_their_resamples_are_too_much_alike(utterances, is_known):
    wrong = wer.score([Reference("one two three")] * utterances, ["one two four"] * utterances)
    assert (wrong.wer_low is not None and wrong.cer_high is not None) == is_known
    assert not is_known or wrong.wer_low < wrong.wer < wrong.wer_high or wrong.wer_low == wrong.wer


def test_the_kinds_of_errors_are_told_apart():
    score = wer.score([Reference("one two three"), Reference("four")], ["one too", "four five"])
    assert (score.substitutions, score.deletions, score.insertions) == (1, 1, 1)
    assert score.cer == pytest.approx((1 + 6 + 5) / (13 + 4))


def test_shifted_references_are_found_out():
    texts = [f"{a} {b}" for a in "one two three four five".split() for b in "six seven eight nine".split()]
    right = [Reference(text, id=str(i)) for i, text in enumerate(texts)]
    assert wer.score(right, texts).wer == 0
    assert wer.score(right, texts[1:] + texts[:1]).wer > 0.4


def test_no_errors_give_a_bound_not_a_certainty():
    score = wer.score([Reference("one two three")] * 100, ["one two three"] * 100)
    assert (score.wer_low, score.wer_high) == (0, 3 * 3 / 300)  # an utterance of three words, which may all be wrong
    single = wer.score([Reference("one")] * 100, ["one"] * 100)
    assert (single.wer_low, single.wer_high) == (0, 3 / 100)


def test_the_cer_has_an_interval_of_its_own():
    """Every second of 100 utterances has one wrong letter of three: 1/6, give or take 1.96 x (1/3) x 0.5 / 10."""
    references = [Reference("one", id=str(i)) for i in range(100)]
    score = wer.score(references, ["ont" if i % 2 else "one" for i in range(100)])
    assert (score.cer_low, score.cer_high) == pytest.approx((1 / 6 - 0.0327, 1 / 6 + 0.0327), abs=0.006)
    assert score.wer_low == pytest.approx(3 * score.cer_low)
    right = wer.score(references, ["one"] * 100)
    assert (right.cer_low, right.cer_high) == (0, 3 / 100)  # words, not letters, are what fails one by one


def test_speakers_are_the_unit_where_there_are_twenty():
    many = [Reference("one", speaker=f"s{i % 20}") for i in range(60)]
    few = [Reference("one", speaker=f"s{i % 19}") for i in range(60)]
    assert wer.score(many, ["one"] * 60).unit == "speakers"
    assert wer.score(few, ["one"] * 60).unit == "utterances"


def test_recordings_are_the_unit_where_speakers_are_few_or_unknown_and_recordings_twenty():
    cut = [Reference("one", speaker="", recording=f"call{i % 20}") for i in range(60)]
    assert wer.score(cut, ["one"] * 60).unit == "recordings"
    known = [Reference("one", speaker=f"s{i % 20}", recording=f"call{i % 30}") for i in range(60)]
    assert wer.score(known, ["one"] * 60).unit == "speakers"
    assert wer.score([*cut[:-1], Reference("one")], ["one"] * 60).unit == "utterances"
    # 12 of 60 words wrong: in four whole recordings of three words that is weaker evidence than single words in many
    whole = ["two" if i % 20 < 4 else "one" for i in range(60)]
    spread = ["two" if i < 12 else "one" for i in range(60)]
    wide, narrow = (wer.score(cut, hypotheses) for hypotheses in (whole, spread))
    assert wide.wer == narrow.wer == 0.2 and wide.wer_high > narrow.wer_high


def test_errors_that_come_speaker_by_speaker_widen_the_interval():
    rng = np.random.default_rng(1)
    words, speakers = np.ones(1000, int), np.repeat(np.arange(25), 40)
    together = (speakers < 5).astype(int)
    scattered = rng.permutation(together)
    wide, narrow = (np.subtract(*wer.interval(each, words, speakers, 1.0, 2000, 7)[::-1]) for each in (together, scattered))
    assert wide > 2 * narrow


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng, held = np.random.default_rng(2), 0
    for _ in range(200):
        errors = rng.binomial(5, 0.1, 120)
        low, high = wer.interval(errors, np.full(120, 5), np.arange(120), 1.2, 400, 3)
        held += low <= 0.1 <= high
    assert 178 <= held <= 199  # 95% of 200, give or take


@pytest.mark.parametrize("utterances", [1.5, 2.5, 5])
def test_the_interval_covers_the_truth_where_few_utterances_have_errors(utterances):
    """One to three wrong words in each of so many of 150: the percentile bootstrap alone covers 66, 83 and 87% there."""
    rng, held = np.random.default_rng(4), 0
    for _ in range(200):
        errors = rng.integers(1, 4, 150) * (rng.random(150) < utterances / 150)
        words = np.full(150, 5)
        low, high = wer.interval(errors, words, np.arange(150), wer.size_of_an_error(errors, words, words), 400, 3)
        held += low <= 2 * utterances / 750 <= high
    assert held >= 184


def test_the_bound_of_a_rise_is_paired():
    """Two variants that fail on the same utterances differ little, however much both fail."""
    references = [Reference("one two three four", id=str(i)) for i in range(100)]
    bad = ["one two two two" if i % 3 == 0 else "one two three four" for i in range(100)]
    worse = ["two"] + bad[1:]
    a, b = wer.score(references, bad), wer.score(references, worse)
    assert 0.0 < wer.paired_rise(a, b) < 0.02
    assert wer.paired_rise(a, a) == pytest.approx(2 * 3 / 400, rel=0.02)  # two words are wrong where any is
    better = wer.score(references, ["one two three four"] * 100)
    assert wer.paired_rise(a, better) < 0


def test_a_bound_never_falls_while_more_words_go_wrong():
    """A few differing words make a bootstrap too sure: one word better must not vouch for more than none at all."""
    references = [Reference("one two three four five", id=str(i)) for i in range(50)]

    def with_errors(wrong: int) -> SetScore:
        return wer.score(references, ["two two three four five" if i < wrong else "one two three four five" for i in range(50)])

    bounds = [wer.paired_rise(with_errors(3), with_errors(wrong)) for wrong in range(8)]
    assert bounds == sorted(bounds) and len(set(bounds)) == len(bounds)
    assert bounds[3] == pytest.approx((3 + 6) / (1 + 6) * 3 / 250, rel=0.01)


def errs(errors, words: int = 5, size: int = 1) -> SetScore:
    """A score of utterances with so many wrong words each, of words of five characters of which `size` are wrong."""
    rows = [
        Hypothesis(str(i), "", "", 1.0, "", "", int(e), words, size * int(e), 5 * words, None) for i, e in enumerate(errors)
    ]
    return replace(wer.score([Reference("one")], ["one"]), hypotheses=rows)


def test_the_bound_holds_where_wrong_words_come_several_per_utterance():
    """Two or three words of an utterance go wrong together, in 3.3 utterances more than the reference's."""
    rng, held = np.random.default_rng(4), 0
    for number in range(100):
        size = rng.integers(2, 4, (2, 150))
        base = size[0] * (rng.random(150) < 0.05)
        worse = base + size[1] * (rng.random(150) < 3.3 / 150)
        held += wer.paired_rise(errs(base), errs(worse), 0.95, 1000, number) >= 2.5 * 3.3 / 750
    assert held >= 91


def test_a_variant_that_gets_all_wrong_makes_no_bound_of_another_wider():
    reference, good, broken = errs([1] * 10 + [0] * 90), errs([1] * 12 + [0] * 88), errs([5] * 100)
    together = wer.paired_rises(reference, {"good": good, "broken": broken})["good"]
    other = wer.paired_rises(reference, {"good": good, "other": errs([0] * 90 + [1] * 10)})["good"]
    assert together == pytest.approx(other, rel=0.1)


def test_of_speakers_who_differ_much_the_bound_holds_nearly_as_often_as_it_says():
    """Twenty speakers whose error rates spread by 70%: without the added error of the largest, in 88 to 90 of 100."""
    rng, held = np.random.default_rng(3), 0
    speakers = [f"s{number % 20}" for number in range(200)]
    for number in range(150):
        rates = 0.03 * np.exp(rng.normal(0, 0.7, 20) - 0.7**2 / 2)
        worse = rng.binomial(5, np.minimum(1, rates)[np.arange(200) % 20])
        reference, other = (_of(speakers, errs(errors)) for errors in (np.zeros(200), worse))
        held += wer.paired_rise(reference, other, 0.95, 1000, number) >= 0.03
    assert held >= 138


def _of(speakers: list[str], score: SetScore) -> SetScore:
    rows = [replace(row, speaker=speaker) for row, speaker in zip(score.hypotheses, speakers, strict=True)]
    return replace(score, hypotheses=rows)


@pytest.mark.parametrize(("wrong", "limit"), [(0, 3.00), (1, 4.74), (3, 7.75), (10, 16.96)])
def test_a_few_wrong_words_have_the_bound_of_a_poisson_count(wrong, limit):
    """The one-sided 95% limits of published tables (Garwood 1936)."""
    more = errs([1] * wrong + [0] * (400 - wrong), words=1)
    assert wer.paired_rise(errs([0] * 400, words=1), more) * 400 == pytest.approx(limit, rel=0.04)


def test_the_bounds_of_all_variants_hold_at_once_as_often_as_they_say():
    """Eight variants, 3% of the words worse: one by one their bounds fail together far more often than 5%."""
    rng, together, one_by_one, sets = np.random.default_rng(5), 0, 0, 60
    reference = errs([0] * 60)
    for number in range(sets):
        others = {str(i): errs(rng.binomial(5, 0.03, 60)) for i in range(8)}
        joint = wer.paired_rises(reference, others, 0.95, 1000, number)
        together += min(joint.values()) >= 0.03
        one_by_one += min(wer.paired_rise(reference, one, 0.95, 1000, number) for one in others.values()) >= 0.03
    assert together >= 54 and one_by_one < 51


def test_variants_with_the_same_errors_count_once():
    reference, worse = errs([0] * 500, words=1), errs([1, 1] + [0] * 498, words=1)
    alone = wer.paired_rises(reference, {"a": worse})["a"]
    assert wer.paired_rises(reference, {"a": worse, "b": worse, "c": worse}) == {"a": alone, "b": alone, "c": alone}
    both = wer.paired_rises(reference, {"a": worse, "same": reference, "same too": reference})
    assert both["same"] == both["same too"] == pytest.approx(np.log(2 / 0.05) / 500)
    assert both["a"] > alone and both["a"] >= 2 / 500 + np.log(2 / 0.05) / 500


def test_scores_of_other_utterances_are_not_compared():
    one, other = (wer.score([Reference(text)], ["one"]) for text in ("one", "two"))
    with pytest.raises(BigfootError, match="same utterances"):
        wer.paired_rise(one, other)


def test_what_is_said_into_silence_is_inserted_and_a_set_without_words_is_refused():
    silence = [Reference("", id="silence"), Reference("one two", id="speech")]
    score = wer.score(silence, ["hm no", "one two"], 100)
    assert (score.insertions, score.words, score.wer) == (2, 2, 1.0) and score.cer == pytest.approx(5 / 7)
    many = wer.score(silence * 12, ["hm no", "one two"] * 12, 100)
    assert 0 <= many.wer_low <= many.wer_high < np.inf
    assert wer.paired_rise(wer.score(silence, ["", "one two"]), score) > 1
    with pytest.raises(BigfootError, match="none of 1 references has a word"):
        wer.score(silence[:1], ["hm"])


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_character_errors_of_utterances_add_up_to_the_cer(pairs):
    score = wer.score([Reference(" ".join(r)) for r, _ in pairs], [" ".join(h) for _, h in pairs], 100)
    by_hand = sum(edits(list(" ".join(r)), list(" ".join(h))) for r, h in pairs)
    assert sum(row.character_errors for row in score.hypotheses) == by_hand
    assert score.cer == pytest.approx(by_hand / sum(len(" ".join(r)) for r, _ in pairs))


def test_the_bound_of_the_cer_counts_characters_which_come_in_words():
    right, wrong = errs([0] * 500, words=1), errs([1] * 40 + [0] * 460, words=1, size=3)
    assert wer.paired_rise(right, wrong, objective="cer") == pytest.approx(3 / 5 * wer.paired_rise(right, wrong), rel=0.02)
    assert wer.paired_rise(right, right, objective="cer") == pytest.approx(3 / 500, rel=0.01)  # a whole word
    references = [Reference("你好吗", id=str(i)) for i in range(50)]
    one = wer.score(references, ["你好嘛"] + ["你好吗"] * 49)
    an_error = (1 + 1 + 3) / (1 + 1 + 1)  # characters: of the one that is wrong, in both, and of a whole utterance
    assert one.cer == 1 / 150 and wer.paired_rise(one, one, objective="cer") == pytest.approx(an_error * 3 / 150, rel=0.01)


@pytest.mark.parametrize("teachers", [0, 1])
def test_the_bound_holds_where_the_teacher_makes_next_to_no_errors(teachers):
    """Two or three words go wrong together, in 1.3 utterances of 60: by the known errors alone it held in 71 to 88%."""
    rng, held = np.random.default_rng(8), 0
    for number in range(200):
        size = rng.integers(2, 4, (2, 60))
        base = size[0] * (rng.random(60) < teachers / 60)
        worse = np.minimum(5, base + size[1] * (rng.random(60) < 1.3 / 60))
        held += wer.paired_rise(errs(base), errs(worse), 0.95, 1000, number) >= 2.5 * 1.3 / 300
    assert held >= 184


def test_the_bound_of_the_cer_holds_as_often_as_it_says():
    """Wrong words of three wrong characters each, in 3% of the words: 0.018 of the characters."""
    rng, held = np.random.default_rng(6), 0
    reference = errs([0] * 100)
    for number in range(100):
        other = errs(rng.binomial(5, 0.03, 100), size=3)
        held += wer.paired_rise(reference, other, 0.95, 1000, number, "cer") >= 0.018
    assert held >= 92


def test_characters_are_aligned_in_runs():
    assert wer.align("你好吗", "你好嘛", "cer") == [["equal", "你好", "你好"], ["substitute", "吗", "嘛"]]


def test_a_paired_interval_turns_with_the_pair_and_each_end_has_half_the_doubt():
    references = [Reference("one two three", id=f"u{n}") for n in range(60)]
    first = wer.score(references, ["one two three" if n % 6 else "one two" for n in range(60)])
    other = wer.score(references, ["one two three" if n % 4 else "one" for n in range(60)])
    low, high = wer.paired_interval(first, other)
    assert wer.paired_interval(other, first) == (-high, -low) and low < other.wer - first.wer < high
    assert high == wer.paired_rise(first, other, 0.975) and low == -wer.paired_rise(other, first, 0.975)
