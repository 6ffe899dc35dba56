"""Groups hold what they say, cells have honest intervals, and the worst utterances are those that lose most."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.benchmark.timings import REFERENCE
from pipeline.compare import breakdown
from pipeline.compare.comparison import Row, Verdict
from pipeline.evaluate.scores import Hypothesis
from pipeline.evaluate.wer import align
from pipeline.speech.scoring import count_errors


def rows_of(errors: list[int], **more) -> list[Hypothesis]:
    """Utterances of ten words of which the first so many are wrong; `more` is a list of values for each field."""
    rows = []
    for i, wrong in enumerate(errors):
        text = ["one"] * 10
        hypothesis = " ".join(["two"] * wrong + text[wrong:])
        counts = {"errors": wrong, "words": 10, "character_errors": 3 * wrong, "characters": 39}
        row = Hypothesis(f"u{i:02}", "a", "", 3.0, " ".join(text), hypothesis, snr_db=15.0, **counts)
        rows.append(replace(row, **{key: values[i] for key, values in more.items()}))
    return rows


def evidence(sets=("test",), objective="wer", **by_variant):
    rows = {name.replace("__", "."): rows for name, rows in by_variant.items()}

    def score(rows):
        return SimpleNamespace(sets={"test": SimpleNamespace(hypotheses=rows), "far": SimpleNamespace(hypotheses=rows[:2])})

    return SimpleNamespace(test_sets=list(sets), objective=objective, scores={name: score(one) for name, one in rows.items()})


def groups(what: str, errors: list[int], **more) -> dict[str, dict]:
    result = breakdown.breakdown(evidence(teacher__fp32=rows_of(errors, **more)))["sets"]["test"][what]
    return {group["group"]: group for group in result}


def verdicts(**passed: bool) -> list[Row]:
    """Rows of a comparison; the last variant that passes is the champion."""
    names = [name.replace("__", ".") for name in passed]
    best = max((i for i, one in enumerate(passed.values()) if one), default=None)
    both = enumerate(zip(names, passed.values(), strict=True))
    return [Row(name, "", "", "", {}, gate=Verdict(one, ""), champion=i == best) for i, (name, one) in both]


# ---------------------------------------------------------------- breakdown


def test_a_value_on_an_edge_belongs_above_it_and_empty_groups_are_left_out():
    result = groups("length", [0, 1, 2, 3, 4], duration=[0.99, 1.0, 1.99, 16.0, 40.0])
    assert list(result) == ["under 1 s", "1-2 s", "16 s and over"]
    assert {name: group["utterances"] for name, group in result.items()} == {"under 1 s": 1, "1-2 s": 2, "16 s and over": 2}
    assert result["1-2 s"]["words"] == 20 and result["1-2 s"]["wer"][REFERENCE] == pytest.approx(3 / 20)


def test_noise_that_was_not_measured_is_a_group_of_its_own():
    result = groups("noise", [0] * 4, snr_db=[None, 9.9, 40.0, 12.0])
    assert list(result) == ["under 10 dB", "10-20 dB", "40 dB and over", "unknown"]


def test_texts_are_groups_where_they_are_few_and_each_occurs_twice_or_more_on_average():
    result = groups("text", [0, 4, 2, 0], reference=["yes", "no", "no", "yes"])
    assert {name: group["wer"][REFERENCE] for name, group in result.items()} == {"no": 0.3, "yes": 0.0}
    every = breakdown.breakdown(evidence(teacher__fp32=rows_of([0, 0], reference=["yes", "no"])))
    assert "text" not in every["sets"]["test"]


def test_words_taken_for_others_are_counted_for_each_variant():
    found = breakdown.breakdown(evidence(teacher__fp32=rows_of([0, 1]), a__s=rows_of([2, 1])))["confusions"]["test"]
    assert found == [{"word": "one", "recognized": "two", "counts": {"teacher.fp32": 1, "a.s": 3}}]
    assert breakdown.breakdown(evidence(objective="cer", teacher__fp32=rows_of([1])))["confusions"]["test"] == []


def test_speakers_are_groups_and_those_with_fewest_words_are_merged_if_there_are_many():
    assert list(groups("speaker", [0] * 3, speaker=["b", "", "a"])) == ["a", "b", "unknown"]
    speakers = [f"s{i:02}" for i in range(60)]
    result = groups("speaker", [0] * 120, speaker=speakers + speakers[:49] + ["s00"] * 11)
    assert len(result) == 50 and result["11 others"]["utterances"] == 11


def test_a_cell_without_errors_has_the_rule_of_three_and_one_of_few_utterances_no_interval():
    one = groups("length", [0] * 3)["2-4 s"]
    assert (one["wer_low"][REFERENCE], one["wer_high"][REFERENCE]) == (0, 3 * 3 / 30)
    few = groups("length", [0, 1] * 4)["2-4 s"]
    assert few["wer_low"][REFERENCE] is None and few["wer_high"][REFERENCE] is None
    # 40 utterances, half of them with one word of ten wrong: 5%, give or take 1.96 x 5% / sqrt(40)
    many = groups("length", [0, 1] * 20)["2-4 s"]
    assert many["unit"] == "utterances"
    assert (many["wer_low"][REFERENCE], many["wer_high"][REFERENCE]) == pytest.approx((0.0345, 0.0655), abs=0.004)


def test_every_variant_has_its_own_cell_of_the_same_utterances():
    durations = [1.5] * 12 + [5.0] * 12
    one, other = rows_of([0] * 24, duration=durations), rows_of([0] * 12 + [1] * 12, duration=durations)
    result = breakdown.breakdown(evidence(teacher__fp32=one, half__fp32=other))["sets"]["test"]["length"]
    assert [group["wer"] for group in result] == [{"teacher.fp32": 0, "half.fp32": 0}, {"teacher.fp32": 0, "half.fp32": 0.1}]
    assert [(one["group"], one["utterances"], one["words"]) for one in result] == [("1-2 s", 12, 120), ("4-8 s", 12, 120)]


def test_every_test_set_is_broken_down_and_has_its_own_worst():
    made = evidence(sets=("test", "far"), teacher__fp32=rows_of([0, 0, 0]), half__fp32=rows_of([1, 0, 3]))
    result = breakdown.breakdown(made)["sets"]
    assert list(result) == ["test", "far"]
    assert [result[test]["length"][0]["utterances"] for test in result] == [3, 2]
    assert [result[test]["length"][0]["wer"]["half.fp32"] for test in result] == [4 / 30, 1 / 20]
    worst = breakdown.worst(verdicts(teacher__fp32=True, half__fp32=True), made)
    assert [(one["set"], one["id"]) for one in worst] == [("test", "u02"), ("test", "u00"), ("far", "u00")]


# ---------------------------------------------------------------- the worst


def test_what_loses_most_against_the_teacher_comes_first_and_then_what_is_wrong_most():
    made = evidence(teacher__fp32=rows_of([0, 5, 2, 0, 0]), half__fp32=rows_of([1, 6, 1, 0, 3]))
    result = breakdown.worst(verdicts(teacher__fp32=True, half__fp32=True), made)
    assert [one["id"] for one in result] == ["u04", "u01", "u00", "u02"]  # +3, +1 of 6, +1 of 1, -1; u03 is right
    first = result[0]
    assert (first["variant"], first["errors"], first["teacher_errors"], first["set"]) == ("half.fp32", 3, 0, "test")
    assert first["alignment"][:4] == [["substitute", "one", "two"]] * 3 + [["equal", "one", "one"]]
    assert first["teacher"] == first["reference"] and len(first["alignment"]) == len(first["teacher_alignment"]) == 10


def test_an_utterance_is_shown_for_the_variant_that_loses_most_the_champion_first():
    made = evidence(
        teacher__fp32=rows_of([0, 0]),
        half__fp32=rows_of([2, 1]),
        thin__fp32=rows_of([1, 1]),
        bad__fp32=rows_of([9, 9]),
    )
    rows = verdicts(teacher__fp32=True, half__fp32=True, thin__fp32=True, bad__fp32=False)
    assert [(one["id"], one["variant"]) for one in breakdown.worst(rows, made)] == [("u00", "half.fp32"), ("u01", "thin.fp32")]
    rows = verdicts(teacher__fp32=True, half__fp32=False, thin__fp32=False, bad__fp32=False)
    assert {one["variant"] for one in breakdown.worst(rows, made)} == {"bad.fp32"}  # none passes: all are asked


def test_at_most_twenty_are_shown_and_none_where_there_is_only_the_teacher():
    made = evidence(teacher__fp32=rows_of([0] * 30), half__fp32=rows_of([1] * 30))
    assert len(breakdown.worst(verdicts(teacher__fp32=True, half__fp32=True), made)) == 20
    assert breakdown.worst(verdicts(teacher__fp32=True), made) == []


def test_an_alignment_names_what_was_put_in_left_out_and_mistaken():
    assert align("one two three", "one too three four") == [
        ["equal", "one", "one"], ["substitute", "two", "too"], ["equal", "three", "three"], ["insert", "", "four"],
    ]  # fmt: skip
    assert align("one two", "") == [["delete", "one", ""], ["delete", "two", ""]]


def test_errors_are_counted_by_kind_and_one_wrong_letter_is_no_lost_word():
    alignment = [
        ["equal", "one", "one"], ["substitute", "zero", "zeron"], ["substitute", "four", "for"], ["substitute", "two", "ten"],
        ["substitute", "a", "i"], ["delete", "six", ""], ["insert", "", "six"],
    ]  # fmt: skip
    assert breakdown.kinds_of(alignment, "wer") == {"replaced": 2, "lost": 1, "inserted": 1, "slips": 2}
    by_character = [["substitute", "ab", "cd"], ["delete", "efg", ""], ["insert", "", "h"]]
    assert breakdown.kinds_of(by_character, "cer") == {"replaced": 2, "lost": 3, "inserted": 1, "slips": 0}


WORDS = st.lists(st.sampled_from("one two three tree four for".split()), max_size=6).map(" ".join)


@given(WORDS, WORDS, st.sampled_from(["wer", "cer"]))
def test_the_kinds_add_up_to_the_errors(reference, hypothesis, objective):
    counted = count_errors(reference, hypothesis, objective).errors
    assert sum(breakdown.kinds_of(align(reference, hypothesis, objective), objective).values()) == counted
