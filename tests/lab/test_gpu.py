"""What is measured on a GPU: a row for each variant, which names its device; without a GPU a line says so."""

from pathlib import Path

import pytest

from pipeline.common.errors import BigfootError
from pipeline.lab import gpu as lab
from pipeline.quantize.run import quantize
from pipeline.recognition import gpu
from pipeline.speech.corpus import open_corpus
from tests import tiny


def variants(folder, *schemes):
    model = tiny.save_model(folder / "teacher")
    for scheme in schemes:
        quantize(scheme, {}, model, None, folder / f"teacher.{scheme}")
    return [folder / f"teacher.{scheme}" for scheme in schemes]


@pytest.fixture(params=["cpu", "cuda"])
def device(request, monkeypatch):
    """What stands for the GPU: the same code runs on the CPU here."""
    if request.param == "cuda" and gpu.name() is None:
        pytest.skip("this machine has no GPU")
    if request.param == "cpu":
        monkeypatch.setattr(gpu, "missing", lambda runtime: None)
        monkeypatch.setattr(gpu, "DEVICE", "cpu")
    return request.param


def test_each_row_names_its_device_and_how_many_texts_differ(tmp_path, device):
    tiny.noise_corpus(tmp_path / "corpus")
    rows = lab.measure(variants(tmp_path, "fp32", "fp16-cuda"), open_corpus(tmp_path / "corpus"), rounds=1)
    assert [Path(row["variant"]).name for row in rows] == ["teacher.fp32", "teacher.fp16-cuda"]
    assert {row["device"] for row in rows} == {gpu.name() or "cpu"}
    assert rows[0]["other_texts"] == 0 and all(row["wer"] > 0 and row["other_texts"] <= row["texts"] for row in rows)
    assert all(list(row["rtfx"]) == ["1", "8", "64"] and min(row["rtfx"].values()) > 0 for row in rows)


def test_a_variant_for_the_cpu_is_refused(tmp_path, device):
    tiny.noise_corpus(tmp_path / "corpus")
    with pytest.raises(BigfootError, match=r"teacher.bf16 is bf16: give variants in fp32, or in schemes for a GPU"):
        lab.measure(variants(tmp_path, "bf16"), open_corpus(tmp_path / "corpus"))


def test_without_a_gpu_a_line_says_that_nothing_was_measured(monkeypatch, capsys):
    monkeypatch.setattr(gpu, "name", lambda: None)
    lab.main("corpora/none", "variants/none")
    assert capsys.readouterr().out == "skipped: no NVIDIA GPU on this machine, so nothing was measured\n"
