"""`bigfoot align`: recordings with their transcripts beside them, in every format, and cut into a manifest."""

import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from pipeline.apps.alignment import formats
from pipeline.apps.alignment import run as alignment
from pipeline.apps.alignment.align import AlignedWord, Character
from pipeline.apps.alignment.formats import Alignment
from pipeline.cli import app
from pipeline.common.command import Unwritten
from pipeline.common.errors import BigfootError
from pipeline.project import Project
from pipeline.speech import audio
from tests.tiny import speech

WORDS = [
    AlignedWord("Two,", 0.5, 0.9, 0.95, [Character("t", 0.5, 0.52), Character("w", 0.6, 0.62), Character("o", 0.88, 0.9)]),
    AlignedWord('"5%"', 1.2, 1.5, None, []),
]
ALIGNMENT = Alignment("a b.wav", 2.0, WORDS, "thin.int8-onnx")


def test_ctm_has_a_line_per_word():
    assert formats.ctm(ALIGNMENT) == 'a_b.wav 1 0.500 0.400 Two, 0.9500\na_b.wav 1 1.200 0.300 "5%" 0.0000\n'


def test_textgrid_fills_the_recording_and_doubles_quotes():
    text = formats.textgrid(ALIGNMENT)
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 2.0\n')
    for tier in text.split("    item [")[1:]:
        edges = [(float(a), float(b)) for a, b in re.findall(r"xmin = ([\d.]+)\n\s+xmax = ([\d.]+)", tier)][1:]
        assert edges[0][0] == 0 and edges[-1][1] == 2.0 and all(a[1] == b[0] for a, b in zip(edges, edges[1:], strict=False))
        assert f"intervals: size = {len(edges)}" in tier
    assert 'text = """5%"""' in text


def test_json_and_srt_hold_the_words_as_given():
    content = json.loads(formats.as_json(ALIGNMENT))
    assert content["words"][0]["word"] == "Two," and content["words"][1]["score"] is None
    assert formats.srt(ALIGNMENT) == '1\n00:00:00,500 --> 00:00:01,500\nTwo, "5%"\n'


@pytest.fixture
def project(variant, tmp_path, monkeypatch):
    """A folder with a variant that has text rules, and two recordings of which one has a transcript."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(variant, tmp_path / "local.fp32-onnx")
    info = json.loads((tmp_path / "local.fp32-onnx/variant.json").read_text()) | {"language": "en", "text": {}}
    (tmp_path / "local.fp32-onnx/variant.json").write_text(json.dumps(info))
    (tmp_path / "calls").mkdir()
    for name, seconds in (("one", 40.0), ("two", 1.0)):
        audio.write(tmp_path / f"calls/{name}.wav", speech(seconds))
    (tmp_path / "calls/one.txt").write_text("Nobody said these 3 words\n")
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(app, ["align", "local.fp32-onnx", *arguments], catch_exceptions=False)


def test_a_full_stdout_is_blamed_once_and_ends_it(project, monkeypatch):
    (project / "calls/two.txt").write_text("No word\n")
    write = alignment.Printer("json", None)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(open("/dev/full", "wb", buffering=0), write_through=True))  # noqa: SIM115
    with pytest.raises(Unwritten, match="No space left on device"):
        alignment.align_recordings("local.fp32-onnx", ["calls"], write, Project(project), None, "mix")


def test_each_recording_is_aligned_with_the_text_beside_it(project):
    result = run("calls")
    (line,) = result.stdout.splitlines()
    content = json.loads(line)
    assert [word["word"] for word in content["words"]] == "Nobody said these 3 words".split() and content["duration"] == 40.0
    assert "".join(c["character"] for c in content["words"][3]["characters"]) == "three"
    assert "calls/two.wav has no transcript: put it into calls/two.txt" in result.stderr and result.exit_code == 1


@pytest.mark.parametrize("form", ["srt", "textgrid"])
def test_several_recordings_of_a_format_that_holds_one_cant_share_stdout(project, form):
    with pytest.raises(BigfootError, match=f"{form} of 2 files can't share stdout: give --out-dir, which gets one file each"):
        run("calls", "--format", form)
    assert run("calls/one.wav", "--format", form).exit_code == 0


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_transcript_is_a_line_and_no_alignment(project, text):
    Path("calls/one.txt").write_text(text)
    result = run("calls/one.wav")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == "error: calls/one.txt is empty: write down what is said in calls/one.wav"


def test_a_transcript_of_marks_alone_is_a_line_and_no_alignment(project):
    Path("calls/one.txt").write_text('\u2014 \u2026 "\n')
    result = run("calls/one.wav", "--format", "srt")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("error: the transcript of calls/one.wav has no word, only marks")


def test_a_transcript_with_a_nul_is_a_line_and_no_alignment(project):
    for content in (b"Nobody said\0these 3 words", "Nobody said".encode("utf-16-le")):
        Path("calls/one.txt").write_bytes(content)
        result = run("calls/one.wav")
        assert (result.exit_code, result.stdout) == (1, "")
        reason = "has a NUL: it is UTF-16 or not text, save it as UTF-8"
        assert result.stderr.splitlines()[-1] == f"error: calls/one.txt, the transcript of calls/one.wav, {reason}"


def test_files_go_into_a_folder(project):
    assert run("calls/one.wav", "--format", "textgrid", "--out-dir", "times").exit_code == 0
    assert Path("times/one.TextGrid").read_text().startswith("File type")


def test_a_file_that_two_recordings_would_share_or_that_cant_be_written_is_a_line(project):
    result = run("calls/one.wav", "calls/../calls/one.wav", "--out-dir", "times")
    assert "would both become times/one.json" in result.stderr and result.exit_code == 1
    assert json.loads(Path("times/one.json").read_text())["file"] == "calls/one.wav"
    Path("full").write_text("a file")
    result = run("calls/one.wav", "--out-dir", "full")
    assert "full/one.json can't be written" in result.stderr and result.exit_code == 1


def test_pieces_go_into_a_manifest_that_prepare_reads_and_bad_ones_beside_it(project):
    Path("data").mkdir()
    result = run("calls/one.wav", "--cut", "data/train.jsonl", "--min-score", "0")
    rows = [json.loads(line) for line in Path("data/train.jsonl").read_text().splitlines()]
    assert " ".join(row["text"] for row in rows) == "Nobody said these 3 words" and rows[0]["audio"] == "../calls/one.wav"
    assert all(0 < row["duration"] <= 15.0 for row in rows)
    assert Path("data/train.left-out.jsonl").read_text() == "" and f"{len(rows)} utterances" in result.stdout
    with pytest.raises(BigfootError, match="data/train.jsonl is there already: name a new file, or remove it"):
        run("calls/one.wav", "--cut", "data/train.jsonl")
    Path("data/train.jsonl").unlink()
    with pytest.raises(BigfootError, match="data/train.left-out.jsonl is there already"):
        run("calls/one.wav", "--cut", "data/train.jsonl")
    Path("data/train.left-out.jsonl").unlink()
    run("calls/one.wav", "--cut", "data/train.jsonl", "--min-score", "0.99")  # nobody said it
    assert Path("data/train.jsonl").read_text() == ""
    assert len(Path("data/train.left-out.jsonl").read_text().splitlines()) == len(rows)


def test_a_recording_that_is_named_twice_is_cut_once_and_said(project):
    run("calls/one.wav", "--cut", "once.jsonl", "--min-score", "0")
    result = run("calls/one.wav", "calls/../calls/one.wav", "--cut", "twice.jsonl", "--min-score", "0")
    assert "is named twice" in result.stderr and result.exit_code == 1
    assert Path("twice.jsonl").read_text() == Path("once.jsonl").read_text() != ""


def test_a_manifest_in_a_linked_folder_leads_to_the_recordings(project):
    Path("disk/x").mkdir(parents=True)
    Path("linked").symlink_to("disk/x")
    shutil.copytree("calls", "more")
    run("calls", "more", "--cut", "linked/train.jsonl", "--min-score", "0")
    rows = [json.loads(line) for line in Path("linked/train.jsonl").read_text().splitlines()]
    assert {row["audio"] for row in rows} == {"../../calls/one.wav", "../../more/one.wav"}
    assert all(Path("disk/x", row["audio"]).is_file() for row in rows)


def test_a_recording_whose_name_is_not_utf_8_is_a_line_and_the_others_are_cut(project):
    for suffix in (".wav", ".txt"):
        shutil.copyfile(f"calls/one{suffix}", os.fsdecode(b"calls/caf\xe9") + suffix)
    result = run("calls", "--cut", "train.jsonl", "--min-score", "0")
    assert "its path is not UTF-8, as a manifest has to be: rename it" in result.stderr and result.exit_code == 1
    assert Path("train.jsonl").read_text()


@pytest.mark.parametrize("options", [["--cut", "a.jsonl", "--format", "srt"], ["--min-score", "0.9"], ["--max-seconds", "5"]])
def test_options_that_would_be_ignored_are_refused(project, options):
    with pytest.raises(BigfootError, match="leave"):
        run("calls/one.wav", *options)


def test_what_is_left_out_is_counted_by_its_reason(project):
    Path("calls/one.txt").write_text("Nobody said 5% of this")
    result = run("calls/one.wav", "--cut", "train.jsonl", "--min-score", "0", "--max-seconds", "1")
    left_out = [json.loads(line) for line in Path("train.left-out.jsonl").read_text().splitlines()]
    assert [("%" in row["text"], row["score"]) for row in left_out] == [(True, None)]
    assert "left out, in train.left-out.jsonl: 0 with a score below 0, 1 with a word that can't be spelled" in result.stdout


def test_a_manifest_that_prepare_would_read_as_another_kind_is_refused(project):
    with pytest.raises(BigfootError, match="--cut pieces.csv: it will hold JSON lines, so call it pieces.jsonl"):
        run("calls/one.wav", "--cut", "pieces.csv")


def test_a_missing_recording_is_told_before_its_transcript_and_a_pipe_or_address_has_none(project):
    address = f"file://{Path.cwd()}/calls/one.wav"
    result = CliRunner().invoke(app, ["align", "local.fp32-onnx", "none.wav", "-", address], input=b"RIFF")
    assert result.stderr.splitlines()[-3:] == [
        "error: none.wav is missing: check the path",
        "error: - is a pipe, with no transcript beside it: save it as a file",
        f"error: {address} is at an address, with no transcript beside it: save it as a file",
    ]
    assert result.exit_code == 1


def test_channels_of_opposite_phase_are_aligned_by_the_first(project):
    samples = speech(2.0)
    soundfile.write("calls/two.wav", np.stack([samples, -samples], axis=1), 16_000)
    Path("calls/two.txt").write_text("three")
    refused = run("calls/two.wav")
    assert (
        "opposite phase" in refused.stderr
        and "`--channels first` of `bigfoot transcribe` and `bigfoot align`" in refused.stderr
    )
    first = json.loads(run("calls/two.wav", "--channels", "first").stdout)
    soundfile.write("calls/two.wav", samples, 16_000)
    assert first == json.loads(run("calls/two.wav").stdout) and first["words"][0]["word"] == "three"


def test_a_variant_without_text_rules_is_one_line(project):
    info = json.loads(Path("local.fp32-onnx/variant.json").read_text())
    del info["text"]
    Path("local.fp32-onnx/variant.json").write_text(json.dumps(info))
    with pytest.raises(BigfootError, match="has no text rules: run `dvc repro`"):
        run("calls/one.wav")
