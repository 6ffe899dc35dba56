"""The page shows a variant's text, its errors and its latency; Gradio only displays them."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.apps import page
from pipeline.common.errors import BigfootError
from pipeline.quantize.run import quantize
from pipeline.speech import audio
from tests import corpora, tiny
from tests.planted import ROOT, bigfoot, write


class Fixed:
    """A recognizer that always gives the same text, and counts its calls."""

    def __init__(self, name: str, text: str):
        self.info, self.text, self.calls = {"variant": name}, text, 0

    def transcribe(self, waveform: np.ndarray) -> str:
        assert waveform.dtype == np.float32 and waveform.ndim == 1
        self.calls += 1
        return self.text


@pytest.fixture
def recording(tmp_path):
    audio.write(tmp_path / "a.wav", tiny.speech(1.5))
    return (tmp_path / "a.wav").read_bytes()


def transcribers(monkeypatch, root, **variants: str) -> page.Transcribers:
    opened = {name: Fixed(f"{name}.fp32", text) for name, text in variants.items()}
    monkeypatch.setattr(page.Recognizer, "load", lambda folder: opened[folder.name])
    return page.Transcribers([root / name for name in variants], root)


def rows(*champions: str) -> list[dict]:
    names = ("teacher.fp32", "half.fp32", "thin.fp32")
    rest = {"scheme": "fp32", "runtime": "torch", "gate": {"passed": True, "reason": "planted"}}
    return [
        {"variant": n, "model": n[:-5], **rest, "champion": n in champions, "energy_wh_per_audio_hour": 0.5 * i or None}
        for i, n in enumerate(names)
    ]


def plant(root: Path, *names: str) -> None:
    for name in names:
        write(root / "variants" / name / "variant.json", {})


# ---------------------------------------------------------------- one recording


def test_every_variant_answers_with_its_text_errors_latency_and_the_benchmarks_energy(monkeypatch, tmp_path, recording):
    write(tmp_path / "reports/comparison.json", rows())
    several = transcribers(monkeypatch, tmp_path, teacher="one two three", half="one too three four")
    seconds, reference, (teacher, half) = several.transcribe(recording, "One, 2: three!")
    assert seconds == 1.5 and reference == "one two three"
    assert (teacher.variant, teacher.text, teacher.wer, teacher.errors, teacher.words) == (
        "teacher.fp32",
        "one two three",
        0,
        0,
        3,
    )
    assert (half.errors, half.words) == (2, 3) and half.wer == 2 / 3
    assert half.alignment == (
        ("equal", "one", "one"),
        ("substitute", "two", "too"),
        ("equal", "three", "three"),
        ("insert", "", "four"),
    )
    assert teacher.energy_wh_per_audio_hour is None and half.energy_wh_per_audio_hour == 0.5


def test_the_references_rules_are_the_corpus_own(monkeypatch, tmp_path, recording):
    (tmp_path / "params.yaml").write_text((ROOT / "profiles/quickstart.yaml").read_text())
    rules = {"case": "upper", "punctuation": "drop", "digits": "keep", "apostrophes": "drop"}
    corpora.write(tmp_path / "corpora/quickstart", {"train": [], "dev": [], "test": []}, text=rules)
    several = transcribers(monkeypatch, tmp_path, half="DONT 2")
    _, reference, (half,) = several.transcribe(recording, "don't, 2")
    assert reference == "DONT 2" and half.errors == 0 and several.rules_from == "the corpus quickstart"


def test_without_a_reference_nothing_is_scored(monkeypatch, tmp_path, recording):
    _, reference, (half,) = transcribers(monkeypatch, tmp_path, half="one").transcribe(recording, " ?! ")
    assert reference == "" and half.wer is None and half.alignment is None
    assert "WER" not in page.page(1.5, reference, [half], "x")


def test_latency_is_the_median_of_three_passes_after_one_that_is_not_timed(monkeypatch, tmp_path, recording):
    clock = iter([0.0, 0.9, 1.0, 1.010, 2.0, 2.030, 3.0, 3.020])
    monkeypatch.setattr(page, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    several = transcribers(monkeypatch, tmp_path, half="one")
    assert several.transcribe(recording)[2][0].latency_ms == pytest.approx(20)
    assert several.recognizers[tmp_path / "half"].calls == 4


def test_what_is_not_audio_is_refused_in_one_line(monkeypatch, tmp_path):
    with pytest.raises(BigfootError, match="WAV"):
        transcribers(monkeypatch, tmp_path, half="one").transcribe(b"no audio")


@pytest.mark.parametrize(
    ("reference", "hypothesis", "marked"),
    [
        ("one two", "one", "one <del>two</del>"),
        ("one two", "one to", "one <del>two</del> <ins>to</ins>"),
        ("one", "one &", "one <ins>&amp;</ins>"),
        ("one", "", "<del>one</del>"),
    ],
)
def test_errors_are_marked_in_the_text(reference, hypothesis, marked):
    answer = page.Answer("<b>", hypothesis, 1.0, None, **page.compare(reference, hypothesis))
    shown = page.page(1.0, reference, [answer], "x")
    assert f"<p>{marked}</p>" in shown and "<h3>&lt;b&gt;</h3>" in shown


# ---------------------------------------------------------------- which variants


def test_the_teacher_and_the_champion_are_the_default_else_the_first_four(tmp_path):
    with pytest.raises(BigfootError, match="dvc repro"):
        page.default_variants(tmp_path)
    plant(tmp_path, "teacher.fp32", "a.fp32", "half.fp32", "thin.fp32", "z.fp32")
    assert [path.name for path in page.default_variants(tmp_path)] == ["a.fp32", "half.fp32", "teacher.fp32", "thin.fp32"]
    write(tmp_path / "reports/comparison.json", rows("thin.fp32"))
    assert [path.name for path in page.default_variants(tmp_path)] == ["teacher.fp32", "thin.fp32"]


def test_without_gradio_one_line_names_what_installs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(page, "find_spec", lambda _: None)
    with pytest.raises(BigfootError, match="make app"):
        page.run(tmp_path, [], "127.0.0.1", 7860)


def test_the_command_explains_itself(tmp_path):
    assert "make app" in bigfoot("app", "--help", cwd=tmp_path).stdout


# ---------------------------------------------------------------- the page itself


@pytest.mark.slow
def test_the_page_answers_over_http_and_outlives_a_bad_file(tmp_path):
    client = pytest.importorskip("gradio_client", reason="Gradio is not installed (make app)")
    from pipeline.recognition.recognizer import Recognizer

    folder = tmp_path / "variants" / "teacher.fp32-onnx"
    quantize("fp32-onnx", {}, tiny.save_model(tmp_path / "teacher"), None, folder)
    audio.write(tmp_path / "a.wav", tiny.speech(1.5))
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_TEMP_DIR": str(tmp_path / "uploads")}
    command = [sys.executable, "-m", "pipeline.cli", "app", "--port", str(port), str(folder)]
    with (tmp_path / "app.log").open("w") as log:
        page = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        transcribe = _client(client, f"http://127.0.0.1:{port}", page, tmp_path / "app.log")
        shown = transcribe("a.wav", "")
        assert f"<p>{Recognizer.load(folder).transcribe(audio.read(tmp_path / 'a.wav'))}</p>" in shown
        with pytest.raises(Exception, match="WAV"):
            transcribe("bad.wav", "")
        assert "WER" in transcribe("a.wav", "one two")
    finally:
        os.killpg(page.pid, 15)
        page.wait(30)
    assert "Traceback" not in (tmp_path / "app.log").read_text()


def _client(module, address: str, page: subprocess.Popen, log: Path):
    """transcribe(file, reference) -> HTML, once the page is up."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and page.poll() is None:
        try:
            client = module.Client(address, verbose=False)
            return lambda name, text: client.predict(module.handle_file(log.parent / name), text, api_name="/transcribe")
        except Exception:  # not up yet; it has errors of its own, and httpx's
            time.sleep(1)
    raise AssertionError(log.read_text()[-2000:])
