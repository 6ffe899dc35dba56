"""Lower precisions on a GPU give float32's logits but for rounding, in batches as alone; without a GPU a line says so.

The same code runs on the CPU here; with a GPU it runs there too.
"""

import numpy as np
import pytest
import torch

from pipeline.common.errors import BigfootError
from pipeline.lab import gpu as lab
from pipeline.quantize.run import quantize
from pipeline.recognition import gpu
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.corpus import open_corpus
from tests import tiny

AUDIOS = [tiny.speech(seconds, seed=n) for n, seconds in enumerate((1.0, 1.1, 1.2, 2.0, 2.3))]
CLOSE = {"fp32": 1e-4, "bf16": 0.1, "fp16": 0.02}  # of the logits' spread


@pytest.fixture(params=["cpu", "cuda"])
def device(request, monkeypatch):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no GPU; the same passes run on the CPU")
    monkeypatch.setattr(gpu, "DEVICE", request.param)
    return request.param


def variant(folder, scheme="fp32", **shape):
    quantize(scheme, {}, tiny.save_model(folder / "teacher", **shape), None, folder / f"teacher.{scheme}")
    return folder / f"teacher.{scheme}"


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_batches_of_similar_lengths_give_float32s_logits_but_for_rounding(tmp_path, device, norm, precision):
    folder = variant(tmp_path, norm=norm)
    lowered, exact = gpu.load(folder, precision), Recognizer.load(folder)
    passes = []
    lowered.before_pass = lambda: passes.append(1)
    together = lowered.batch_logits(AUDIOS)
    assert len(passes) == 2, "three similar lengths, and two"
    for logits, audio in zip(together, AUDIOS, strict=True):
        expected = exact.logits(audio)
        assert logits.dtype == np.float32 and logits.shape == expected.shape
        for other in (expected, lowered.logits(audio)):
            assert np.abs(logits - other).max() < CLOSE[precision] * expected.std()
    moved = max(float(np.abs(a - exact.logits(b)).max()) for a, b in zip(together, AUDIOS, strict=True))
    assert (moved > 1e-4) is (precision != "fp32"), "it is the precision that was asked for"


def test_the_statistics_of_half_a_minute_do_not_overflow_float16(tmp_path, device):
    """A sum over 80,000 frames, above float16's 65,504."""
    folder, audio = variant(tmp_path, norm="group"), tiny.speech(25.0)
    expected = Recognizer.load(folder).logits(audio)
    assert np.abs(gpu.load(folder, "fp16").logits(audio) - expected).max() < CLOSE["fp16"] * expected.std()


def test_each_row_names_its_device_and_how_many_texts_differ(tmp_path, device):
    tiny.noise_corpus(tmp_path / "corpus")
    rows = lab.measure(variant(tmp_path), open_corpus(tmp_path / "corpus"), rounds=1)
    assert [(row["variant"], row["precision"]) for row in rows] == [("teacher.fp32", p) for p in ("fp32", "bf16", "fp16")]
    assert {row["device"] for row in rows} == {"cpu" if device == "cpu" else torch.cuda.get_device_name()}
    assert rows[0]["other_texts"] == 0 and all(row["wer"] > 0 and row["other_texts"] <= row["texts"] for row in rows)
    assert all(list(row["rtfx"]) == ["1", "8", "64"] and min(row["rtfx"].values()) > 0 for row in rows)


def test_a_variant_of_another_runtime_is_refused(tmp_path):
    tiny.noise_corpus(tmp_path / "corpus")
    with pytest.raises(BigfootError, match=r"teacher.bf16 is bf16: give a variant in fp32"):
        lab.measure(variant(tmp_path, "bf16"), open_corpus(tmp_path / "corpus"))


def test_without_a_gpu_a_line_says_that_nothing_was_measured(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    lab.main("corpora/none", "variants/none")
    assert capsys.readouterr().out == "skipped: this machine has no GPU that PyTorch can use, so nothing was measured\n"
