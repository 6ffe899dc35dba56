"""`bigfoot evaluate` counts the errors on a table as the stage does, of all that can be heard, of several variants in pairs."""

import csv
import json
import logging
import os
import shutil

import pytest
import soundfile

from pipeline.apps.evaluation import formats, page, run
from pipeline.common.errors import BigfootError
from pipeline.project import Project
from pipeline.recognition.recognizer import Recognizer
from tests.planted import bigfoot
from tests.tiny import speech

RULES = {"case": "lower", "punctuation": "drop", "digits": "spell", "apostrophes": "keep"}


@pytest.fixture
def project(variant, tmp_path):
    """A project with two variants, `one` and `two`, of which the second writes nothing."""
    for name, bias in (("one.fp32-onnx", 0.0), ("two.fp32-onnx", 1e6)):
        copy(variant, tmp_path / "variants" / name, bias)
    return Project(tmp_path)


def copy(variant, folder, bias: float = 0.0, rules: dict = RULES):
    """The variant with text rules and without apostrophes, which those move; a bias on the blank makes it write nothing."""
    import onnx
    from onnx import numpy_helper

    shutil.copytree(variant, folder)
    graph = onnx.load(folder / "model.onnx")
    (weights,) = [each for each in graph.graph.initializer if each.name == "weights"]
    info = json.loads((folder / "variant.json").read_text())
    added = [0.0] * len(info["vocab"])
    added[info["blank"]], added[info["vocab"].index("'")] = bias, -1e6
    graph.graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(weights).dtype.type(added), "bias"))
    (node,) = [each for each in graph.graph.node if each.op_type == "Conv"]
    node.input.append("bias")
    onnx.save(graph, folder / "model.onnx")
    info |= {"variant": folder.name, "model": folder.name.partition(".")[0], "scheme": "fp32-onnx", "language": "en"}
    info = {key: value for key, value in info.items() if key not in ("files", "sha256")} | {"text": rules}
    (folder / "variant.json").write_text(json.dumps(info))


@pytest.fixture
def table(project, tmp_path):
    """Four recordings: two with the text that `one` recognizes, one with a word more, one that is not there."""
    recognizer = Recognizer.load(project.variant("one.fp32-onnx"))
    rows = []
    for number in range(3):
        samples = speech(1.0 + number / 2, seed=number)
        soundfile.write(tmp_path / f"{number}.flac", samples, 16_000, subtype="PCM_16")
        text = recognizer.transcribe(soundfile.read(tmp_path / f"{number}.flac", dtype="float32")[0])
        assert text
        rows.append({"audio": f"{number}.flac", "text": f"{text.upper()}!" + (" Seven" if number == 2 else ""), "speaker": "a"})
    rows.append({"audio": "gone.flac", "text": "one", "speaker": "a"})
    with (tmp_path / "own.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["audio", "text", "speaker"])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "own.csv"


def test_errors_are_counted_by_the_rules_of_the_variant_and_what_is_left_out_is_named(project, table):
    result = run.evaluate(project, ["one.fp32-onnx"], table)
    (score,) = result.scores.values()
    assert (score.utterances, score.deletions, score.substitutions, score.insertions) == (3, 1, 0, 0)
    assert score.wer == 1 / score.words and score.hypotheses[2].reference.endswith(" seven") and not result.differences
    ((gone),) = result.left_out
    assert gone["id"] == "gone" and gone["check"] == "missing"
    shown = formats.text(result)
    assert "left out: 1 missing; the first is gone: " in shown and "one.fp32-onnx" in shown and "Difference" not in shown


def test_a_difference_is_paired_and_its_interval_holds_it(project, table):
    result = run.evaluate(project, ["one.fp32-onnx", "two.fp32-onnx"], table)
    first, second = result.scores.values()
    assert second.wer == 1.0 and second.deletions == second.words
    found = result.differences["two.fp32-onnx"]["wer"]
    assert found.value == second.wer - first.wer and found.low < found.value < found.high
    assert "one.fp32-onnx" not in result.differences and "Difference [95%]" in formats.text(result)


def test_the_json_has_every_utterance_and_the_same_rates(project, table):
    result = run.evaluate(project, ["one.fp32-onnx", "two.fp32-onnx"], table)
    content = json.loads(formats.as_json(result))
    assert [one["variant"] for one in content["variants"]] == ["one.fp32-onnx", "two.fp32-onnx"]
    assert [one["wer"] for one in content["variants"]] == [score.wer for score in result.scores.values()]
    assert all(len(one["utterances"]) == 3 for one in content["variants"]) and content["left_out"][0]["id"] == "gone"


def test_the_page_plays_the_worst_and_escapes_what_others_named(project, table):
    result = run.evaluate(project, ["one.fp32-onnx", "two.fp32-onnx"], table.rename(table.with_name("a<b>.csv")))
    html = page.page(result)
    assert html.count("<audio") == 3 == len(result.worst) and html.count("data:audio/flac;base64,ZkxhQ") == 3
    assert "two.fp32-onnx, " in html and "a&lt;b&gt;.csv: 3 utterances" in html and "a<b>" not in html


def test_variants_of_other_text_rules_are_refused(project, variant, table):
    copy(variant, project.variant("upper.fp32-onnx"), rules=RULES | {"case": "upper"})
    with pytest.raises(
        BigfootError, match="^upper.fp32-onnx writes texts by other rules than one.fp32-onnx: evaluate it by it"
    ):
        run.evaluate(project, ["one.fp32-onnx", "upper.fp32-onnx"], table)


def test_two_variants_of_one_name_are_called_as_they_were_given(project, table, tmp_path):
    shutil.copytree(project.variant("one.fp32-onnx"), tmp_path / "before/one.fp32-onnx")
    given = ["one.fp32-onnx", str(tmp_path / "before/one.fp32-onnx")]
    assert list(run.evaluate(project, given, table).scores) == given
    with pytest.raises(BigfootError, match="^a variant is named twice"):
        run.evaluate(project, ["one.fp32-onnx", "one.fp32-onnx"], table)


@pytest.mark.parametrize("page", ["own.csv", "gone/page.html"])
def test_a_page_that_can_not_be_written_is_refused_before_the_work(project, table, page):
    before = table.read_bytes()
    done = bigfoot("evaluate", "one.fp32-onnx", table, "--page", page, cwd=project.root)
    assert done.returncode == 1 and done.stderr.startswith("error: --page ") and table.read_bytes() == before


def test_without_a_name_or_a_champion_one_has_to_be_named(project, table):
    with pytest.raises(BigfootError, match="^no variant is named, and .*comparison.json, which names the champion, is missing"):
        run.evaluate(project, [], table)


def test_a_table_of_which_nothing_is_left_is_one_line(project, table):
    table.write_text("audio,text\ngone.wav,one\n")
    with pytest.raises(BigfootError, match=r"own.csv: none of its 1 utterance can be scored, the first because .*gone.wav"):
        run.evaluate(project, ["one.fp32-onnx"], table)


@pytest.mark.parametrize("given", ["one.fp32-onnx", "one-fp32-onnx", "variants/one.fp32-onnx", "variants/one.fp32-onnx/"])
def test_the_command_takes_a_name_a_slug_and_a_folder(project, table, given):
    done = bigfoot("evaluate", given, table, "--json", cwd=project.root)
    assert [one["variant"] for one in json.loads(done.stdout)["variants"]] == ["one.fp32-onnx"]


def test_length_and_level_leave_nothing_out(project, tmp_path):
    sounds = {"short": speech(0.1), "long": speech(40.0), "quiet": speech(1.0) * 1e-4}
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000, subtype="FLOAT")
    (tmp_path / "own.csv").write_text("audio,text\n" + "".join(f"{name}.wav,one\n" for name in sounds))
    result = run.evaluate(project, ["one.fp32-onnx"], tmp_path / "own.csv")
    assert not result.left_out and result.scores["one.fp32-onnx"].utterances == 3


@pytest.mark.parametrize(("given", "problem"), [("nope", "is missing"), ("one.fp32-onnx", "is a variant")])
def test_what_is_no_table_is_told_as_such(project, given, problem):
    done = bigfoot("evaluate", given, cwd=project.root)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {given} {problem}: the last argument is the table")


def test_the_log_names_the_table_and_no_split(project, table, caplog):
    with caplog.at_level(logging.INFO):
        run.evaluate(project, ["one.fp32-onnx"], table)
    assert f"one.fp32-onnx on {table}: WER " in caplog.text


def test_a_single_utterance_has_no_interval(project, table):
    first, one, two, *_ = table.read_text().splitlines()
    table.write_text(f"{first}\n{one.replace('!', ' SEVEN')}\n")
    score = run.evaluate(project, ["one.fp32-onnx"], table).scores["one.fp32-onnx"]
    assert score.deletions == 1 and (score.wer_low, score.wer_high, score.cer_low, score.cer_high) == (None,) * 4
    shown = formats.text(run.evaluate(project, ["one.fp32-onnx"], table))
    assert ": 1 utterance, " in shown and "[95%]" in shown and f" {100 * score.wer:.2f} " in shown
    assert page.page(run.evaluate(project, ["one.fp32-onnx"], table))


def test_a_table_may_have_a_name_that_is_no_text(project, table):
    named = table.parent / os.fsdecode(b"\xe9t\xe9/caf\xe9.csv")
    named.parent.mkdir()
    for file in (table, *table.parent.glob("*.flac")):
        shutil.copyfile(file, named if file == table else named.with_name(file.name))
    done = bigfoot("evaluate", "one.fp32-onnx", named, cwd=project.root)
    assert done.returncode == 0 and "3 utterances" in done.stdout, done.stderr
    result = run.evaluate(project, ["one.fp32-onnx"], named)
    assert "caf\\udce9.csv" in json.loads(formats.as_json(result).encode())["table"]
