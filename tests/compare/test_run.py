"""The comparison: the right champion for the right reason, every key for every variant, and nothing mixed up."""

import csv
import html
import json
import math
import os
import random
import re
import subprocess
import sys
import xml.dom.minidom
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.benchmark.timings import REFERENCE
from pipeline.common.errors import BigfootError
from pipeline.compare import belonging, figures
from pipeline.compare.answers import nearest
from pipeline.compare.report import columns, looks, plots
from pipeline.compare.report.markdown import IN_TERMINAL
from pipeline.compare.report.page.headline import verdict
from pipeline.compare.rows import gain
from pipeline.compare.run import compare
from pipeline.evaluate.scores import Hypothesis
from pipeline.params import Budget, Gate
from pipeline.quantize.schemes import SCHEMES
from pipeline.speech.corpus import drawn, open_corpus
from pipeline.speech.scoring import count_errors
from tests import corpora
from tests.planted import FIGURES, ROOT, plant, plant_rows, score_set, write


def run(root, figures=FIGURES, gate=None, **kwargs):
    params = plant(root, figures, **kwargs)
    params = params.model_copy(update={"gate": Gate(**gate)}) if gate else params
    return compare(params, root, root / "reports")


def champion(rows):
    return next((row.variant for row in rows if row.champion), None)


def reasons(rows):
    return {row.variant: row.gate.reason for row in rows}


# ---------------------------------------------------------------- gate and champion


def test_the_champion_gains_most_among_those_whose_wer_holds(tmp_path):
    rows = run(tmp_path)
    # thin is 10x faster and 16x smaller, but 10 points worse; half is the next
    assert champion(rows) == "half.int8-openvino"
    assert [row.gate.passed for row in rows] == [True, True, True, False]
    assert "more than the 1.00 allowed" in reasons(rows)["thin.int8-openvino"]


def test_a_smaller_model_with_a_language_model_stands_beside_a_larger_one_without(tmp_path):
    rows = run(tmp_path, FIGURES | {"thin.int8-openvino+lm": (18, 0.6, 5.0)})
    greedy, decoded = rows[-2:]
    assert (decoded.variant, decoded.model, decoded.scheme) == ("thin.int8-openvino+lm", "thin", "int8-openvino+lm")
    assert (decoded["wer"], decoded["disk_mb"], decoded["latency_p50_ms"]) == (0.009, 0.6, 5.0)
    assert champion(rows) == decoded.variant and not greedy.gate.passed, "the gate judges it like any other"
    report = (tmp_path / "reports/comparison.md").read_text()
    assert "greedy decoding, but for names with a + (beam search, language model)" in report
    card = (tmp_path / "reports/cards/thin.int8-openvino+lm.md").read_text()
    assert "by beam search with a language model" in card and "example.py" not in card
    assert "greedy CTC decoding" in (tmp_path / "reports/cards/thin.int8-openvino.md").read_text()


def test_gains_are_also_over_the_teachers_fastest_float_and_int8_variants(tmp_path):
    planted = FIGURES | {"teacher.fp32-onnx": (20, 8.0, 30.0)}
    rows = {row.variant: row for row in run(tmp_path, planted)}
    half = rows["half.int8-openvino"]
    assert (half["speedup"], half["speedup_over_float"], half["speedup_over_int8"]) == (5.0, 30 / 8, 25 / 8)
    assert half["speedup_over_int8_low"] == pytest.approx(0.9 * 25 / 8) and half["shrink_over_int8"] == 1.25
    said = verdict(list(rows.values()), plant(tmp_path, planted), "test")
    assert "3.8x faster and 4.0x smaller than the teacher's fastest float" in said
    assert "3.1x faster and 20% smaller than the teacher's fastest int8 variant" in said
    alone = {name: planted[name] for name in ("teacher.fp32", "half.int8-openvino")}
    (tmp_path / "alone").mkdir()
    half = run(tmp_path / "alone", alone)[1]
    assert half["speedup_over_float"] == half["speedup"] and half["speedup_over_int8"] is half["shrink_over_int8"] is None


def test_the_headline_says_what_was_asked_for_and_what_came_of_it(tmp_path):
    rows, params = run(tmp_path), plant(tmp_path)
    asked = {"max_mb": 20, "max_ms": 7, "length": 10, "threads": params.benchmark.threads}

    def said(rows, **changes) -> str:
        gate = params.gate.model_copy(update={"budget": Budget(**asked | changes)})
        return verdict(rows, params.model_copy(update={"gate": gate}), "test-clean")

    measured = [replace(row, figures={**row.figures, "latency_asked_ms": 6.0}) for row in rows]
    assert "Asked for" not in verdict(rows, params, "test")
    wanted = "Asked for at most 20 MB and 7 ms for 10 s of audio with 2 threads, 1.00 points more WER, got "
    assert said(measured).startswith(f"{wanted}2.00 MB, 6.0 ms, +0.10 points on test-clean. Champion half.int8-openvino")
    none = [replace(row, champion=False) for row in measured]
    assert said(none).startswith(f"{wanted}no champion. No champion")


def test_the_gain_is_the_smaller_of_speed_and_size():
    assert gain({"speedup": 5.0, "shrink": 2.0}, "both") == 2.0
    assert gain({"speedup": None, "shrink": 2.0}, "both") is None


def test_decisions_read_gate_and_never_dev_or_test(tmp_path):
    params = plant(tmp_path)

    def judged_with(split, variant):
        """The champion once `variant` gets every word of `split` wrong."""
        path = tmp_path / "scores" / f"{variant}.json"
        kept = path.read_text()
        score = json.loads(kept)
        score["sets"][split] = score_set(200, wrong=2000, seed=1)
        write(path, score)
        rows = compare(params, tmp_path, tmp_path / "reports")
        path.write_text(kept)
        return champion(rows)

    for split in ("dev", "test"):
        assert judged_with(split, "half.int8-openvino") == judged_with(split, REFERENCE) == "half.int8-openvino"
    assert judged_with("gate", "half.int8-openvino") == "teacher.int8-onnx"
    assert judged_with("gate", REFERENCE) == "thin.int8-openvino"


def test_a_gate_split_too_small_for_any_bound_promotes_nothing_and_the_reason_names_it(tmp_path):
    rows = run(tmp_path, {name: (2, *figures[1:]) for name, figures in FIGURES.items()}, utterances=20)
    assert champion(rows) is None
    assert "gate's 200 words are too few to decide" in reasons(rows)["half.int8-openvino"]
    undecided = {row.variant for row in rows if row.gate.undecided}
    assert "half.int8-openvino" in undecided and REFERENCE not in undecided
    metrics = json.loads((tmp_path / "reports" / "metrics.json").read_text())
    assert metrics["champion"] is None and metrics["champion_wer"] is None and metrics["teacher_wer"] == 0.01
    assert "No champion" in (tmp_path / "reports" / "table.txt").read_text()


def test_bounds_are_of_all_variants_together_on_gate_and_on_test(tmp_path):
    """Three variants that differ: of int8-onnx, with the teacher's own errors, no more than ln(3 / 0.05) errors are left."""
    rows = run(tmp_path)
    assert "points, at most +0.21 (95% sure, for all 3 variants together)" in reasons(rows)["teacher.int8-onnx"]
    for key in ("wer_rise_upper", "test_wer_rise_upper"):
        assert rows[0][key] == 0 and rows[1][key] == pytest.approx(math.log(3 / 0.05) / 2000, rel=0.06)
        assert rows[2][key] >= (2 + math.log(3 / 0.05)) / 2000
    two = {name: FIGURES[name] for name in (REFERENCE, "half.int8-openvino")}
    (tmp_path / "two").mkdir()
    assert "(95% sure)" in reasons(run(tmp_path / "two", two))["half.int8-openvino"]


@pytest.mark.parametrize(("limit", "unit"), [("max_disk_mb", "MB"), ("max_latency_p50_ms", "ms")])
def test_a_budget_of_size_or_latency_keeps_the_larger_out(tmp_path, limit, unit):
    rows = run(tmp_path, gate={"max_rise": 0.01, limit: 0.1})
    assert champion(rows) is None
    assert f" {unit}, at most 0.1 allowed" in reasons(rows)["half.int8-openvino"]
    nearest_row = nearest(rows)
    assert nearest_row.variant == min(rows[1:], key=lambda row: row[limit.removeprefix("max_")]).variant
    page = (tmp_path / "reports/index.html").read_text()
    assert "No model is as small and as fast as was asked for" in page and "Every smaller model" not in page


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"max_mb": 1.5, "max_ms": 100}, "2 MB, at most 1.5 allowed"),
        ({"max_mb": 1.5, "max_ms": 0.1}, "2 MB, at most 1.5 allowed; 6 ms for 10 s of audio, at most 0.1 allowed"),
        ({"max_mb": 1.5, "max_ms": 100, "length": 7}, "2 MB, at most 1.5 allowed"),
        ({"max_mb": 9, "max_ms": 0.1}, "6 ms for 10 s of audio, at most 0.1 allowed"),
        ({"max_mb": 9, "max_ms": 100, "length": 7}, "not measured, at most 100 ms for 7 s of audio allowed"),
        ({"max_mb": 9, "max_ms": 100}, None),
    ],
)
def test_what_propose_was_asked_for_is_judged_as_measured(tmp_path, asked, reason):
    params = plant(tmp_path)
    timings = json.loads((tmp_path / "timings.json").read_text())
    for timing in timings["variants"].values():
        timing["latency_by_length"] = {"10": 6.0}
    write(tmp_path / "timings.json", timings)
    gate = Gate(max_rise=0.01, budget=Budget(**{"length": 10, "threads": timings["threads"]} | asked))
    rows = compare(params.model_copy(update={"gate": gate}), tmp_path, tmp_path / "reports")
    if reason is None:
        assert champion(rows) == "half.int8-openvino"
    else:
        assert champion(rows) is None and reason in reasons(rows)["half.int8-openvino"]


def test_a_variant_over_a_limit_fails_where_gate_has_too_few_words(tmp_path):
    small = {name: (2, *figures[1:]) for name, figures in FIGURES.items()}
    rows = run(tmp_path, small, utterances=20, gate={"max_rise": 0.01, "max_disk_mb": 1.0})
    half = next(row for row in rows if row.variant == "half.int8-openvino")
    assert not half.gate.undecided and half.gate.reason == "2 MB, at most 1 allowed"


def test_a_peer_is_measured_and_never_promoted(tmp_path):
    params, file = plant(tmp_path), tmp_path / "variants/half.int8-openvino/variant.json"
    write(file, json.loads(file.read_text()) | {"kind": "peer"})
    rows = compare(params, tmp_path, tmp_path / "reports")
    assert champion(rows) == "teacher.int8-onnx" and rows[2]["speedup"] == 5.0 and not rows[2].gate.passed
    assert reasons(rows)["half.int8-openvino"].startswith("a peer, never promoted; gate WER +0.10 points")
    lines = (tmp_path / "reports" / "comparison.md").read_text().splitlines()
    assert next(line for line in lines if line.startswith("| half.int8-openvino ")).rstrip(" |").endswith("| peer")


def test_timings_that_are_not_reported_choose_the_champion(tmp_path):
    params, file = plant(tmp_path), tmp_path / "timings.json"
    timings = json.loads(file.read_text())
    timings["variants"]["teacher.int8-onnx"]["speedup_to_choose"] = 50.0
    write(file, timings)
    assert champion(compare(params, tmp_path, tmp_path / "reports")) == "half.int8-openvino"  # which is smaller
    rows = compare(params.model_copy(update={"gate": Gate(max_rise=0.01, prefer="speed")}), tmp_path, tmp_path / "reports")
    assert champion(rows) == "teacher.int8-onnx" and rows[1]["speedup"] < rows[2]["speedup"]


@pytest.mark.parametrize(("gain", "expected"), [(4.4, "half.int8-openvino"), (4.5, "teacher.int8-onnx")])
def test_of_gains_that_are_alike_the_largest_of_both_in_one_is_the_champion(tmp_path, gain, expected):
    """half is 4x smaller and 10x faster, so its gain is 4; 4.4 is within a tenth of it, 4.5 is not."""
    params, file = plant(tmp_path), tmp_path / "timings.json"
    timings = json.loads(file.read_text())
    timings["variants"]["half.int8-openvino"]["speedup_to_choose"] = 10.0
    timings["variants"]["teacher.int8-onnx"] |= {"speedup_to_choose": gain, "disk_mb": 8.0 / gain}
    write(file, timings)
    assert champion(compare(params, tmp_path, tmp_path / "reports")) == expected


def test_the_teacher_is_never_its_own_champion(tmp_path):
    assert champion(run(tmp_path, {REFERENCE: FIGURES[REFERENCE]})) is None


# ---------------------------------------------------------------- figures


def test_the_size_and_the_gain_are_split_into_parameters_precision_and_the_rest(tmp_path):
    """The teacher: 2,000,000 parameters, 8.0 MB of weights in 8.4 MB; half: 500,000, in int8 0.6 MB in 0.7 MB."""
    params = plant(tmp_path)
    timings = json.loads((tmp_path / "timings.json").read_text())
    timings["variants"]["teacher.fp32"] |= {"disk_mb": 8.4, "weights_mb": 8.0}
    timings["variants"]["half.int8-openvino"] |= {"disk_mb": 0.7, "weights_mb": 0.6, "params": 500_000}
    timings["variants"]["thin.int8-openvino"] |= {"weights_mb": None}
    write(tmp_path / "timings.json", timings)
    _, _, half, thin = compare(params, tmp_path, tmp_path / "reports")
    assert half["precision_saves_mb"] == pytest.approx(2.0 - 0.6) and half["rest_mb"] == pytest.approx(0.7 - 0.6)
    gains = [half[f"shrink_by_{part}"] for part in ("params", "precision", "rest")]
    assert gains == pytest.approx([4, 8 / 0.6 / 4, (8.4 / 0.7) / (8 / 0.6)]) and math.prod(gains) == pytest.approx(
        half["shrink"]
    )
    assert thin["rest_mb"] is thin["shrink_by_params"] is None  # what is not known has no share, and isn't 0
    said = "4.00x by fewer parameters, 3.33x by their precision, 0.90x by the rest of the folder"
    assert said in (tmp_path / "reports/comparison.md").read_text()
    assert "2.00 - 1.40 + 0.10" in (tmp_path / "reports/index.html").read_text()
    card = (tmp_path / "reports/cards/half.int8-openvino.md").read_text()
    assert "2.00 - 1.40 + 0.10" in card and "4.00x 3.33x 0.90x" in card and "Multiplications in int8, %" in card


def test_the_report_says_what_the_checks_took_from_a_set(tmp_path):
    params = plant(tmp_path, FIGURES)
    corpus = tmp_path / "corpora" / params.corpus.name
    lines = [{"id": f"x{number}", "split": "test", "check": "too_long", "why": "40 s"} for number in range(2)]
    (corpus / "report/dropped.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    info = json.loads((corpus / "corpus.json").read_text())
    write(corpus / "corpus.json", info | {"dropped": 2})
    compare(params, tmp_path, tmp_path / "reports")
    (test, dev) = (
        next(line for line in (tmp_path / "reports/comparison.md").read_text().splitlines() if line.startswith(f"- **{name}**"))
        for name in ("Test", "Dev")
    )
    assert test.endswith("; left out: 2 too_long") and "left out" not in dev


def test_every_variant_has_every_key_and_the_teacher_comes_first(tmp_path):
    run(tmp_path)
    rows = json.loads((tmp_path / "reports" / "comparison.json").read_text())
    assert [row["variant"] for row in rows] == list(FIGURES)
    wanted = set(figures.keys()) | {"variant", "model", "scheme", "kind", "trained", "runtime", "files", "gate", "champion"}
    wanted |= {"objective", "device", "not_timed", "model_files"}
    wanted |= {"narrow", "latency_by_length", "latency_by_length_one_thread", "energy_resolved", "energy_note"}
    assert all(set(row) == wanted for row in rows)
    half = rows[2]
    assert (half["speedup"], half["shrink"], half["runtime"]) == (5.0, 4.0, "openvino")
    assert half["latency_by_length_one_thread"] == {"1": 1.8 * 8.0}
    assert math.isclose(half["wer_rise"], 0.001) and half["rtfx_batched"] is None and half["train_hours"] == 0.1


def test_where_characters_decide_the_gate_the_champion_and_the_report_go_by_the_cer(tmp_path):

    settings = plant(tmp_path)
    info = json.loads((tmp_path / "corpora" / "quickstart" / "corpus.json").read_text())
    write(tmp_path / "corpora" / "quickstart" / "corpus.json", {**info, "objective": "cer"})
    for model in ("teacher", "half", "thin"):
        folder = tmp_path / "models" / model
        for file in ("metrics.json", "curve.jsonl"):
            (folder / file).write_text((folder / file).read_text().replace("dev_wer", "dev_cer"))
    rows = compare(settings, tmp_path, tmp_path / "reports")
    half = next(row for row in rows if row.variant == "half.int8-openvino")
    assert half.champion and half["wer_rise_upper"] is None and half["test_wer_rise_upper"] is None
    (tmp_path / "by_words").mkdir()
    by_words = next(row for row in run(tmp_path / "by_words") if row.variant == "half.int8-openvino")
    for key in ("cer_rise_upper", "test_cer_rise_upper"):  # planted: two of the four characters of a wrong word are wrong
        assert half[key] == pytest.approx(by_words[key.replace("cer", "wer")] / 2, rel=0.1)
    assert half["cer_rise"] == pytest.approx(half["wer_rise"] / 2) and half["gate_cer"] == half["cer"] == 0.0055
    assert half.gate.reason.startswith("gate CER +0.05 points, at most +")
    metrics = json.loads((tmp_path / "reports" / "metrics.json").read_text())
    assert metrics["champion_cer"] == 0.0055 and metrics["teacher_gate_cer"] == 0.005 and "champion_wer" not in metrics
    plots = tmp_path / "reports" / "plots"
    assert "half,50,0.2\n" in (plots / "dev_error_rate.csv").read_text() and ",0.0055," in (plots / "variants.csv").read_text()
    by_length = json.loads((tmp_path / "reports" / "breakdown.json").read_text())["sets"]["test"]["length"][0]
    assert by_length["cer"]["half.int8-openvino"] == pytest.approx(0.0055) and "wer" not in by_length
    worst = json.loads((tmp_path / "reports" / "worst.json").read_text())[0]
    assert "".join(left for _, left, _ in worst["alignment"]) == worst["reference"]
    table, page = ((tmp_path / "reports" / name).read_text() for name in ("table.txt", "index.html"))
    assert "CER % [95%]" in table and "WER" not in table
    assert "In 1,000 characters it gets 6 wrong" in page and "CER on dev by step" in page
    card = (tmp_path / "reports" / "cards" / "half.int8-openvino.md").read_text()
    assert "Rise in CER over teacher.fp32: +0.05 points on test" in card and "\nlanguage: en\n" in card


def test_further_test_sets_have_their_own_keys_and_column(tmp_path):
    params = plant(tmp_path)
    path = tmp_path / "corpora" / "quickstart" / "corpus.json"
    corpus = json.loads(path.read_text())
    corpus["splits"]["noisy"] = corpora.write_split(path.parent, "noisy", plant_rows(200), corpora.RULES)
    write(path, corpus)
    for name in FIGURES:
        score = json.loads((tmp_path / "scores" / f"{name}.json").read_text())
        score["sets"]["noisy"] = score_set(200, wrong=100, seed=9)
        write(tmp_path / "scores" / f"{name}.json", score)
    rows = compare(params, tmp_path, tmp_path / "reports")
    assert all(row["wer/noisy"] == 0.05 and row["wer_rise/noisy"] == 0 for row in rows)
    assert [row["test_wer_rise_upper/noisy"] * 2000 for row in rows] == pytest.approx([0, 3.0, 3.0, 3.0], abs=0.05)  # all alike
    assert "WER % noisy" in (tmp_path / "reports" / "comparison.md").read_text()


def test_a_part_that_was_drawn_is_compared_as_such_and_said(tmp_path):
    params = plant(tmp_path, utterances=200)
    part = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"max_hours": 0.05})})  # 180 s of 400
    utterances = open_corpus(tmp_path / "corpora" / "quickstart").utterances("test")
    chosen = [utterance.row for utterance in drawn(utterances, 0.05, part.evaluate.seed)]
    assert len(chosen) == 90

    def draw(rows):
        return [rows[at] for at in chosen]

    for name in FIGURES:
        for split in ("dev", "gate", "test"):
            edit_score(tmp_path, draw, name, split)
    compare(part, tmp_path, tmp_path / "reports")
    said = "200 utterances, 2,000 words, 6.7 min, 25 speakers; 90 utterances of it, drawn at random (evaluate.max_hours)"
    assert said in (tmp_path / "reports" / "comparison.md").read_text()
    with pytest.raises(BigfootError, match="lacks 110 utterances"):
        compare(params, tmp_path, tmp_path / "reports")


def test_a_split_without_text_is_no_test_set(tmp_path):
    params = plant(tmp_path)
    path = tmp_path / "corpora" / "quickstart" / "corpus.json"
    corpus = json.loads(path.read_text())
    corpus["splits"] = {"unlabelled": corpus["splits"]["test"], **corpus["splits"]}
    write(path, corpus)  # its scores and its manifest are not asked for
    rows = compare(params, tmp_path, tmp_path / "reports")
    assert len(rows) == len(FIGURES)
    assert "unlabelled" not in (tmp_path / "reports" / "comparison.json").read_text()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("gone", "stage"),
    [
        ("scores/half.int8-openvino.json", "evaluate@half-int8-openvino"),
        ("timings.json", "benchmark"),
        ("models/half/metrics.json", "student@half"),
        ("models/teacher/metrics.json", "teacher"),
        ("variants/half.int8-openvino/variant.json", "quantize@half-int8-openvino"),
        ("corpora/quickstart/corpus.json", "prepare"),
    ],
)
def test_a_missing_file_is_named_with_the_stage_that_makes_it(tmp_path, gone, stage):
    params = plant(tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(BigfootError, match=f"{re.escape(gone)} is missing: run `dvc repro {stage}`"):
        compare(params, tmp_path, tmp_path / "reports")


def test_a_variant_without_a_timing_is_refused(tmp_path):
    params = plant(tmp_path)
    timings = json.loads((tmp_path / "timings.json").read_text())
    del timings["variants"]["half.int8-openvino"]
    write(tmp_path / "timings.json", timings)
    with pytest.raises(BigfootError, match="timings.json has no half.int8-openvino"):
        compare(params, tmp_path, tmp_path / "reports")


def test_swapped_scores_are_refused(tmp_path):
    params = plant(tmp_path)
    first, second = (tmp_path / "scores" / f"{name}.json" for name in ("half.int8-openvino", "thin.int8-openvino"))
    swapped = first.read_text(), second.read_text()
    second.write_text(swapped[0]), first.write_text(swapped[1])
    with pytest.raises(BigfootError, match="is of thin.int8-openvino, not of half.int8-openvino"):
        compare(params, tmp_path, tmp_path / "reports")


def test_a_score_of_another_corpus_is_refused(tmp_path):
    params = plant(tmp_path)
    path = tmp_path / "scores" / "half.int8-openvino.json"
    score = json.loads(path.read_text())
    score["sets"]["test"] = score_set(100, wrong=1, seed=0)
    write(path, score)
    with pytest.raises(BigfootError, match="another corpus"):
        compare(params, tmp_path, tmp_path / "reports")


def edit_score(root, change, variant="half.int8-openvino", split="test"):
    """Change the rows of one set of a score, and its other figures with them."""
    path = root / "scores" / f"{variant}.json"
    score = json.loads(path.read_text())
    test = score["sets"][split]
    test["hypotheses"] = change(test["hypotheses"])
    errors, test["words"] = (sum(row[key] for row in test["hypotheses"]) for key in ("errors", "words"))
    wrong, test["characters"] = (sum(row[key] for row in test["hypotheses"]) for key in ("character_errors", "characters"))
    test["cer"] = wrong / test["characters"]
    test["wer"], test["utterances"] = errors / test["words"], len(test["hypotheses"])
    write(path, score)


def plant_texts(root, texts):
    """Another version of the corpus's test texts."""
    rows = [(replace(row, text=text), flac) for (row, flac), text in zip(plant_rows(200), texts, strict=True)]
    corpora.write_split(root / "corpora" / "quickstart", "test", rows, corpora.RULES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows[:-1], rows[0]], "has twice one utterance, such as u0"),
        (lambda rows: rows[:-3], "lacks 3 utterances, such as u197"),
        (lambda rows: [*rows, {**rows[0], "id": "u900"}], "has, unlike the corpus, one utterance, such as u900"),
        (lambda rows: rows[::-1], "in another order than the corpus"),
        (lambda rows: [{**rows[0], "reference": "one two"}, *rows[1:]], "1 of 200 references are not the corpus's texts"),
    ],
    ids=["twice", "missing", "strange", "order", "text"],
)
def test_utterances_that_are_not_the_corpuss_are_refused(tmp_path, change, message):
    params = plant(tmp_path)
    edit_score(tmp_path, change)
    with pytest.raises(BigfootError, match=message) as refused:
        compare(params, tmp_path, tmp_path / "reports")
    assert "\n" not in str(refused.value) and "evaluate@half-int8-openvino`" in str(refused.value)


def test_scores_of_another_version_of_the_texts_are_refused(tmp_path):
    params = plant(tmp_path)
    plant_texts(tmp_path, [f"text {number}" for number in range(200)])
    with pytest.raises(BigfootError, match="teacher.fp32.json, test: 200 of 200 references are not the corpus's texts"):
        compare(params, tmp_path, tmp_path / "reports")


@pytest.mark.parametrize(("step", "begin"), [(1, 0), (-1, 0), (2, 0), (1, 150), (-2, 100)])
def test_texts_shifted_before_they_came_into_the_corpus_are_detected(tmp_path, step, begin):
    """Every variant then gets the same words wrong and none rises over the teacher, so the gate would let all of them pass."""
    params, texts = plant(tmp_path), [" ".join([f"w{number}"] * 10) for number in range(200)]
    plant_texts(tmp_path, texts)

    def slip(rows):
        tail = texts[begin:]
        moved = zip(rows, texts, [*texts[:begin], *tail[step:], *tail[:step]], strict=True)
        return [
            {**row, "reference": reference, "hypothesis": hypothesis, "errors": 0 if reference == hypothesis else 10}
            for row, reference, hypothesis in moved
        ]

    for name in FIGURES:
        edit_score(tmp_path, slip, name)
    shifted = r"corpora/quickstart/test/test: \d+ of 200 utterances are recognized as the text of a neighbor"
    with pytest.raises(BigfootError, match=shifted):
        compare(params, tmp_path, tmp_path / "reports")


def hypothesis(reference: str, text: str, errors: int) -> Hypothesis:
    return Hypothesis("u", "", "", 1.0, reference, text, errors, len(reference.split()), 0, len(reference), None)


def test_a_teacher_that_hears_nothing_is_not_called_shifted():
    belonging.refuse_shifted("test", [hypothesis(f"one w{n}", "", errors=2) for n in range(10)])


def test_a_teacher_that_hears_nothing_of_texts_of_many_lengths_is_not_called_shifted():
    """After a few steps of training: an empty text is nearer to a short neighbor's text than to its own."""
    texts = [" ".join(["word"] * (1 if n % 3 else 30)) for n in range(24)]
    rows = [hypothesis(text, "", errors=len(text.split())) for text in texts]
    belonging.refuse_shifted("test", rows)


def test_digits_that_are_mostly_misheard_are_not_called_shifted():
    """Neighbors of short strings over ten words fit by chance, but not twice as well."""
    rng = random.Random(7)
    digits = "zero one two three four five six seven eight nine".split()
    texts = [" ".join(rng.choices(digits, k=rng.randint(2, 6))) for _ in range(300)]
    hypotheses = [" ".join(word if rng.random() < 0.3 else rng.choice(digits) for word in text.split()) for text in texts]
    pairs = zip(texts, hypotheses, strict=True)
    belonging.refuse_shifted("test", [hypothesis(own, other, count_errors(own, other).errors) for own, other in pairs])


def commands(texts: list[str], known: list[str], share: float, seed: int, shift: int = 0) -> list[Hypothesis]:
    """Single words, of which a teacher takes this share for another one, at random; texts are shifted from the middle on."""
    rng, said = random.Random(seed), list(texts)
    half = len(texts) // 2
    written = texts[:half] + (texts[half:][shift:] + texts[half:][:shift])
    heard = [rng.choice([word for word in known if word != text]) if rng.random() < share else text for text in said]
    return [hypothesis(own, other, int(own != other)) for own, other in zip(written, heard, strict=True)]


@pytest.mark.parametrize("share", [0.12, 0.3, 0.6])
@pytest.mark.parametrize("known", [2, 3, 4, 5, 8])
def test_a_few_commands_that_are_taken_for_each_other_are_not_called_shifted(known, share):
    words = "yes no up down left right stop go".split()[:known]
    for seed in range(20):
        texts = random.Random(seed).choices(words, k=200)
        belonging.refuse_shifted("test", commands(texts, words, share, seed))


@pytest.mark.parametrize("shift", [1, 2, -1])
@pytest.mark.parametrize("known", [2, 3, 8])
def test_shifted_texts_of_a_few_commands_are_found_out(known, shift):
    words = "yes no up down left right stop go".split()[:known]
    for seed in range(5):
        texts = random.Random(seed).choices(words, k=200)
        with pytest.raises(BigfootError, match="recognized as the text of a neighbor"):
            belonging.refuse_shifted("test", commands(texts, words, 0.05, seed, shift))


@pytest.mark.parametrize("order", [[1, 0], [1, 2, 0], [2, 3, 0, 1]])
def test_texts_that_neighbors_exchanged_are_found_out(order):
    """As when two channels are taken for each other."""
    texts = [f"word{n} two{n} three{n}" for n in range(48)]
    moved = [texts[at - at % len(order) + order[at % len(order)]] for at in range(48)]
    with pytest.raises(BigfootError, match="recognized as the text of a neighbor"):
        belonging.refuse_shifted("test", [hypothesis(own, heard, 3) for own, heard in zip(moved, texts, strict=True)])


def test_a_word_that_is_always_taken_for_the_next_in_a_list_is_not_called_shifted():
    digits = "zero one two three four five six seven eight nine".split() * 20
    rows = [hypothesis(own, "three" if own == "two" else own, int(own == "two")) for own in digits]
    belonging.refuse_shifted("test", rows)


def test_a_score_of_an_older_bigfoot_is_one_line_that_says_what_to_run(tmp_path):
    params = plant(tmp_path)
    edit_score(tmp_path, lambda rows: [{key: row[key] for key in row if key != "snr_db"} for row in rows])
    message = "lacks snr_db, it was made by an older Bigfoot: run `dvc repro evaluate@half-int8-openvino`"
    with pytest.raises(BigfootError, match=re.escape(message)):
        compare(params, tmp_path, tmp_path / "reports")


def test_a_wer_that_is_not_its_utterances_is_refused(tmp_path):
    params = plant(tmp_path)
    path = tmp_path / "scores" / "half.int8-openvino.json"
    score = json.loads(path.read_text())
    score["sets"]["test"]["wer"] = 0.001
    write(path, score)
    with pytest.raises(BigfootError, match="its WER is not that of its utterances"):
        compare(params, tmp_path, tmp_path / "reports")


def test_a_variant_folder_with_another_variant_in_it_is_refused(tmp_path):
    params = plant(tmp_path)
    thin = (tmp_path / "variants" / "thin.int8-openvino" / "variant.json").read_text()
    (tmp_path / "variants" / "half.int8-openvino" / "variant.json").write_text(thin)
    with pytest.raises(BigfootError, match="variants/half.int8-openvino holds thin.int8-openvino"):
        compare(params, tmp_path, tmp_path / "reports")


def test_the_stage_prints_the_verdict_and_needs_no_tracking_server(tmp_path):
    plant(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "pipeline.stages.compare"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Champion half.int8-openvino: ") and "`bigfoot table`" in done.stdout
    assert done.stdout.partition("\n\n")[0] in (tmp_path / "reports" / "table.txt").read_text()
    assert done.stdout.count("warning: ") == 1 and not done.stderr


def test_the_table_for_prefect_has_readmes_columns_and_the_reasons_and_that_of_the_terminal_fits_in_80(tmp_path):
    figures = {name: FIGURES[name] for name in (REFERENCE, "half.int8-openvino")} | {"dash8.int8qat-openvino": (22, 0.63, 2.7)}
    rows = {row.variant: row for row in run(tmp_path, figures)}
    shown = json.loads((tmp_path / "reports" / "table.json").read_text())
    assert {row["Variant"]: row["Reason"] for row in shown} == {name: row.gate.reason for name, row in rows.items()}
    assert [head for head in shown[0] if head != "Reason"] == list(columns.ESSENTIAL)
    table = (tmp_path / "reports" / "table.txt").read_text().splitlines()
    assert max(map(len, table)) <= 80 and re.split(" {2,}", table[0]) == [*IN_TERMINAL]


# ---------------------------------------------------------------- what people read


def test_breakdown_and_worst_utterances_lie_beside_the_comparison(tmp_path):
    run(tmp_path)
    breakdown, worst = (json.loads((tmp_path / "reports" / f"{name}.json").read_text()) for name in ("breakdown", "worst"))
    assert list(breakdown["sets"]) == ["test"] and set(breakdown["sets"]["test"]) == {"length", "speaker", "noise", "text"}
    for groups in breakdown["sets"]["test"].values():
        errors = sum(group["wer"]["half.int8-openvino"] * group["words"] for group in groups)
        assert errors == pytest.approx(22) and sum(group["utterances"] for group in groups) == 200
    # thin.int8-openvino fails, half.int8-openvino has two words more wrong than the teacher, int8-onnx none
    assert {mistake["variant"] for mistake in worst} == {"half.int8-openvino"} and len(worst) <= 20
    assert sum(mistake["errors"] - mistake["teacher_errors"] for mistake in worst) == 2


def test_every_form_of_the_report_says_what_its_figures_rest_on(tmp_path):
    run(tmp_path)
    for name in ("comparison.md", "table.txt", "index.html"):
        text = " ".join((tmp_path / "reports" / name).read_text().split())
        for fact in ("SYNTHETIC", "2,000 words", "resampling speakers", "2 threads", "2026-11-24", "a planted CPU"):
            assert fact in text, f"{name} does not say {fact}"
        assert "12 of test's 200" in html.unescape(text), f"{name} hides the shared speakers"
        assert "another host" not in text


@pytest.mark.parametrize(
    ("measured", "message"),
    [("scores", r"scores/half\.int8-openvino\.json is of other files .*`dvc repro --force evaluate@half-int8-openvino"),
     ("timings", r"timings\.json is of other files than .*variants/half\.int8-openvino has: run `dvc repro benchmark`")],
)  # fmt: skip
def test_figures_of_other_weights_are_refused(tmp_path, measured, message):
    settings, name = plant(tmp_path), "half.int8-openvino"
    file = tmp_path / ("timings.json" if measured == "timings" else f"scores/{name}.json")
    content = json.loads(file.read_text())
    (content["variants"][name] if measured == "timings" else content)["files"] = "of the weights before"
    write(file, content)
    with pytest.raises(BigfootError, match=message):
        compare(settings, tmp_path, tmp_path / "reports")


def test_times_of_another_host_are_called_so(tmp_path):
    params = plant(tmp_path)
    timings = json.loads((tmp_path / "timings.json").read_text())
    timings["host"]["name"] = "elsewhere"
    write(tmp_path / "timings.json", timings)
    compare(params, tmp_path, tmp_path / "reports")
    for name in ("comparison.md", "table.txt", "index.html"):
        assert "the times are of another host (elsewhere)" in (tmp_path / "reports" / name).read_text()


def test_the_metrics_name_the_machine_so_that_a_diff_shows_two_machines(tmp_path):
    """CPUs of one name differ two- or threefold in int8 speed by their features, so the features are named."""
    params, hosts = plant(tmp_path), []
    for features in (["avx2"], ["avx2", "avx512_vnni"]):
        timings = json.loads((tmp_path / "timings.json").read_text())
        timings["host"]["features"] = features
        write(tmp_path / "timings.json", timings)
        compare(params, tmp_path, tmp_path / "reports")
        hosts.append(json.loads((tmp_path / "reports" / "metrics.json").read_text())["timed_on"])
        for name in ("comparison.md", "table.txt", "index.html"):
            assert ", ".join(features) in (tmp_path / "reports" / name).read_text()
    assert hosts[0] != hosts[1] and hosts[1].endswith("cores, avx2, avx512_vnni, 2 threads")


def test_the_same_files_give_the_same_report_byte_for_byte(tmp_path):
    contents = []
    for _ in range(2):
        run(tmp_path)
        contents.append({path: path.read_bytes() for path in (tmp_path / "reports").rglob("*") if path.is_file()})
    assert contents[0] == contents[1] and len(contents[0]) >= 10


def test_the_page_needs_nothing_else_and_the_plot_is_one_svg(tmp_path):
    run(tmp_path)
    page = (tmp_path / "reports" / "index.html").read_text()
    assert not re.search(r"<link|(src|href)=[\"'](?!#|data:)", page), "the page loads something"
    svg = (tmp_path / "reports" / "pareto.svg").read_text()
    xml.dom.minidom.parseString(svg)
    assert svg.count("half.int8-openvino (champion)") == page.count("half.int8-openvino (champion)") == 3, "a panel each"


def test_no_two_schemes_have_the_same_marker():
    assert len(set(looks.MARKERS)) == len(looks.MARKERS) >= len(SCHEMES)


def test_tables_for_dvc_plots_have_one_row_per_variant_and_one_curve_per_model(tmp_path):
    run(tmp_path)
    with (tmp_path / "reports" / "plots" / "variants.csv").open() as file:
        assert {row["variant"] for row in csv.DictReader(file)} == set(FIGURES)
    loss = (tmp_path / "reports" / "plots" / "loss.csv").read_text()
    assert loss.startswith("model,step,loss\nteacher,25,2.0\nteacher,50,1.0\n") and "half,25,2.0\nhalf,50,1.0\n" in loss
    assert "half,50,0.2\n" in (tmp_path / "reports" / "plots" / "dev_error_rate.csv").read_text()


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 1)), min_size=1))
def test_no_point_of_the_front_is_beaten_and_every_other_point_is(points):
    best = plots.front(points)
    for x, y in points:
        is_beaten = any((a <= x and b <= y) and (a, b) != (x, y) for a, b in points)
        assert ((x, y) in best) != is_beaten
