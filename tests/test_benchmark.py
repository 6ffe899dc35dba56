"""Real worker processes measure real (tiny) variants; what can't be measured is one line, and no process outlives it."""

import json
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest
from filelock import FileLock

from pipeline import params
from pipeline.benchmark import benchmark
from pipeline.compare import TIMING_KEYS
from pipeline.corpus import manifest
from pipeline.errors import BigfootError, Busy
from pipeline.schemes import quantise
from tests.tiny import noise_corpus, save_model

SETTINGS = params.Benchmark(threads=1, utterances=3, rounds=2, turn=2, batch=2, energy_seconds=1.0, energy_rounds=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> manifest.Corpus:
    return noise_corpus(tmp_path_factory.mktemp("corpora") / "noise")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    """Variants of one model, whose names are all that a benchmark asks for."""
    place = tmp_path_factory.mktemp("variants")
    model = save_model(place / "teacher", "group", hidden=64)
    for scheme in ("fp32", "int8-onnx", "fp32-openvino"):
        quantise(scheme, {}, model, None, place / f"teacher.{scheme}")
    return [place / f"teacher.{scheme}" for scheme in ("fp32-openvino", "fp32", "int8-onnx")]


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "pipeline.measure.worker" in " ".join(one.cmdline())]


@pytest.fixture(scope="module")
def timings(folders, corpus, tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("out") / "timings.json"
    found = benchmark(folders, corpus, SETTINGS, out)
    assert json.loads(out.read_text()) == found and not children()
    return found


def test_every_variant_has_every_figure_and_the_teacher_is_the_measure(timings, folders):
    assert set(timings["variants"]) == {folder.name for folder in folders}
    for name, row in timings["variants"].items():
        assert set(TIMING_KEYS) <= set(row), name
        for key in ("params", "disk_mb", "ram_mb", "latency_p50_ms", "latency_p95_ms", "rtfx", "rtfx_batched"):
            assert row[key] > 0, (name, key)
        for key in ("cnn_ms", "encoder_ms"):  # null where fused nodes have lost their names; PyTorch always knows
            assert (row[key] is None and name != "teacher.fp32") or row[key] > 0, (name, key)
        assert row["speedup_low"] <= row["speedup"] <= row["speedup_high"] and row["turns"] == SETTINGS.rounds
        assert row["latency_p50_ms"] <= row["latency_p95_ms"] and row["ram_model_mb"] < row["ram_mb"]
    assert timings["variants"]["teacher.fp32"]["speedup"] == 1


def test_size_is_that_of_the_whole_folder(timings, folders):
    for folder in folders:
        size = sum(file.stat().st_size for file in folder.iterdir())
        assert timings["variants"][folder.name]["disk_mb"] == pytest.approx(size / 1e6)


def test_energy_is_said_with_how_it_was_found_out(timings):
    for row in timings["variants"].values():
        assert row["energy_wh_per_audio_hour"] > 0 and "cpu:" in row["energy_mode"]


def test_host_and_sample_stand_beside_the_figures(timings):
    assert timings["host"]["cores"] >= 1 and timings["host"]["cpu"] and timings["versions"]["openvino"]
    assert timings["sample"]["utterances"] == 3 and timings["threads"] == 1


def test_a_variant_that_is_slower_measures_slower(folders, corpus, tmp_path):
    """A planted fault: the same weights, whose recogniser is told to hear everything in 20 more layers."""
    slow = tmp_path / "slow.fp32"
    quantise("fp32", {}, save_model(tmp_path / "slow", "group", hidden=64, layers=24), None, slow)
    quick = next(folder for folder in folders if folder.name == "teacher.fp32")
    found = benchmark([quick, slow], corpus, SETTINGS.model_copy(update={"energy_seconds": 0.0}), tmp_path / "t.json")
    assert found["variants"]["slow.fp32"]["speedup"] < 0.6
    assert found["variants"]["slow.fp32"]["energy_wh_per_audio_hour"] is None


def test_what_cannot_be_opened_is_one_line_and_no_process_stays(folders, corpus, tmp_path):
    broken = tmp_path / "half.int8-onnx"
    broken.mkdir()
    for file in folders[2].iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.onnx").write_bytes(b"no graph")
    quick = next(folder for folder in folders if folder.name == "teacher.fp32")
    with pytest.raises(BigfootError, match=r"half\.int8-onnx can't be measured") as told:
        benchmark([quick, broken], corpus, SETTINGS, tmp_path / "t.json")
    assert "\n" not in str(told.value) and not children() and not (tmp_path / "t.json").exists()


def test_without_the_reference_nothing_is_measured(folders, corpus, tmp_path):
    with pytest.raises(BigfootError, match=r"teacher\.fp32 is not among the variants"):
        benchmark([folders[0]], corpus, SETTINGS, tmp_path / "t.json")


def test_two_benchmarks_never_run_on_one_host(folders, corpus, tmp_path):
    with (
        FileLock(Path(tempfile.gettempdir()) / "bigfoot-benchmark.lock"),
        pytest.raises(Busy, match="another benchmark is running"),
    ):
        benchmark(folders, corpus, SETTINGS, tmp_path / "t.json")


def test_the_timed_utterances_are_the_same_every_time(corpus):
    from pipeline.benchmark import _sample

    drawn = [[u.id for u in _sample(corpus, SETTINGS)] for _ in range(2)]
    assert drawn[0] == drawn[1] and len(set(drawn[0])) == 3


def test_a_ratio_is_of_the_same_utterances(corpus):
    """The reference takes 2 s for what the other does in 1, whichever utterances came up: 2x, without spread."""
    from pipeline.benchmark import _latency

    sample = corpus.utterances("test")[:3]
    slow = [(0, u, 2.0 * (u + 1)) for u in (0, 1, 2)]
    row = _latency([(n, u, s / 2) for n, u, s in slow], slow, sample, SETTINGS)
    assert row["speedup"] == row["speedup_low"] == row["speedup_high"] == 2
    assert row["latency_p50_ms"] == 2000 and row["rtfx"] == pytest.approx(np.sum([u.duration for u in sample]) / 6)
