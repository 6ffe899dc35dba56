"""Real worker processes measure real (tiny) variants; what can't be measured is one line, and no process remains."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from filelock import FileLock

from pipeline import params
from pipeline.benchmark import cold_start, lengths, processes, rounds
from pipeline.benchmark.rounds import Timed
from pipeline.benchmark.run import benchmark
from pipeline.benchmark.starts import Group
from pipeline.benchmark.timings import Timing, Timings, read
from pipeline.common import host
from pipeline.common.errors import BigfootError, Busy
from pipeline.compare.report import cautions
from pipeline.quantize.run import quantize
from pipeline.recognition import gpu, seal
from pipeline.speech.corpus import Corpus
from pipeline.speech.shards import Utterance
from tests.sleeping import SECONDS as SLEEP
from tests.sleeping import START_SECONDS as START
from tests.sleeping import UNEVEN
from tests.tiny import noise_corpus, save_model

SETTINGS = params.Benchmark(
    threads=1,
    utterances=3,
    restarts=2,
    rounds=2,
    max_rounds=2,
    turn=2,
    batch=2,
    lengths=[1, 0.5],
    cold_starts=1,
    energy_seconds=1.0,
)
BRIEF = SETTINGS.model_copy(update={"lengths": [], "cold_starts": 0, "energy_seconds": 0.0})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    return noise_corpus(tmp_path_factory.mktemp("corpora") / "noise")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "teacher", "group", hidden=64)


@pytest.fixture(scope="module")
def folders(model, tmp_path_factory) -> list[Path]:
    """Variants of one model; a benchmark requires the teacher's name of one of them."""
    place = tmp_path_factory.mktemp("variants")
    for scheme in ("fp32", "int8-onnx", "fp32-openvino"):
        quantize(scheme, {}, model, None, place / f"teacher.{scheme}")
    return [place / f"teacher.{scheme}" for scheme in ("fp32-openvino", "fp32", "int8-onnx")]


@pytest.fixture(scope="module")
def light(folders, tmp_path_factory) -> Path:
    """Named teacher.fp32, but on ONNX Runtime, which starts fast."""
    return Path(shutil.copytree(folders[2], tmp_path_factory.mktemp("light") / "teacher.fp32"))


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if processes.MODULE in child.cmdline()]


@pytest.fixture(scope="module")
def timings(folders, corpus, tmp_path_factory) -> Timings:
    out = tmp_path_factory.mktemp("out") / "timings.json"
    measured = benchmark(SETTINGS, folders, corpus, out)
    assert read(out) == measured and not children()
    return measured


def test_every_variant_has_every_figure_and_the_teacher_is_the_reference(timings, folders):
    assert set(timings.variants) == {folder.name for folder in folders}
    for name, row in timings.variants.items():
        for key in (
            "params",
            "macs_per_second",
            "disk_mb",
            "ram_mb",
            "latency_p50_ms",
            "rtfx",
            "rtfx_batched",
            "load_ms",
            "cold_start_ms",
            "cnn_ms",
            "encoder_ms",
        ):
            assert getattr(row, key) > 0, (name, key)
        assert row.speedup_low <= row.speedup <= row.speedup_high and row.turns == SETTINGS.rounds
        assert row.rtfx_low <= row.rtfx <= row.rtfx_high
        for what in ("latency_{}_ms", "ms_per_audio_second_{}"):
            low, high, highest = (getattr(row, what.format(q)) for q in ("p50", "p95", "p99"))
            assert 0 < low <= high <= highest, (name, what)
        assert row.ram_model_mb < row.ram_mb and 0 < row.weights_mb < row.disk_mb
        assert row.speedup_one_thread == row.speedup and row.latency_p50_ms_one_thread == row.latency_p50_ms  # threads: 1
        assert set(row.latency_by_length) == {"0.5", "1"} and min(row.latency_by_length.values()) > 0
        assert row.latency_by_length_one_thread == row.latency_by_length
    shares = {name: row.int8_share for name, row in timings.variants.items()}
    assert shares["teacher.fp32"] == shares["teacher.fp32-openvino"] == 0 and 0.2 < shares["teacher.int8-onnx"] < 1
    assert timings.variants["teacher.fp32"].speedup == 1 and timings.variants["teacher.fp32"].narrow


def test_size_is_that_of_the_whole_folder(timings, folders):
    for folder in folders:
        size = sum(file.stat().st_size for file in folder.iterdir())
        assert timings.variants[folder.name].disk_mb == pytest.approx(size / 1e6)


def test_energy_comes_with_its_method_or_a_reason_why_not(timings):
    for row in timings.variants.values():
        assert "cpu:" in row.energy_mode and (row.energy_wh_per_audio_hour is not None) == row.energy_resolved
        assert row.energy_resolved or row.energy_note.startswith("not resolved")
    assert timings.idle_w > 0


def test_host_and_sample_stand_beside_the_figures(timings):
    measured_on = timings.host
    assert measured_on["cores"] >= 1 and measured_on["cpu"] and timings.versions["openvino"]
    assert {"governor", "features", "virtualized", "load_before", "load_after"} <= set(measured_on)
    assert all(0 <= measured_on[key] <= 1 for key in ("cpu_use_before", "others_cpu_use", "cpu_use_after"))
    assert timings.sample.utterances == 3 and timings.threads == 1
    assert {timing.device for timing in timings.variants.values()} == {"cpu"} and not timings.skipped
    assert timings.rounds == timings.restarts == 2 and host.elsewhere(measured_on) is None


# ---------------------------------------------------------------- planted faults


def test_a_variant_whose_runtime_sleeps_measures_slower_by_that(light, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "MODULE", "tests.sleeping")
    sleepy = Path(shutil.copytree(light, tmp_path / "sleepy.int8-onnx"))
    rows = benchmark(BRIEF, [light, sleepy], corpus, tmp_path / "t.json").variants
    slow, longest = rows["sleepy.int8-onnx"], max(u.duration for u in corpus.utterances("gate"))
    assert slow.latency_p50_ms >= 1000 * SLEEP and slow.rtfx <= longest / SLEEP
    assert slow.rtfx_batched <= BRIEF.batch * longest / SLEEP
    assert slow.energy_wh_per_audio_hour is None and slow.cold_start_ms is None and slow.latency_by_length is None


def test_a_cold_start_counts_what_a_process_does_before_it_loads_the_variant(light, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(cold_start, "MODULE", "tests.sleeping")
    (tmp_path / "a.flac").write_bytes(corpus.flac(corpus.utterances("gate")[0]))
    row = cold_start.measure(light, str(tmp_path / "a.flac"), threads=1, runs=1)
    assert row["load_ms"] > 0 and row["cold_start_ms"] - row["load_ms"] >= 1000 * START


def test_a_variant_for_a_gpu_is_skipped_on_a_host_without_one_and_the_others_are_timed(
    light, model, corpus, tmp_path, monkeypatch
):
    monkeypatch.setattr(gpu, "name", lambda: None)
    folder = tmp_path / "teacher.fp16-cuda"
    info = quantize("fp16-cuda", {}, model, None, folder)
    measured = benchmark(BRIEF, [folder, light], corpus, tmp_path / "t.json")
    skipped = measured.skipped["teacher.fp16-cuda"]
    assert list(measured.variants) == ["teacher.fp32"] and read(tmp_path / "t.json") == measured
    assert skipped.reason == "no NVIDIA GPU on this machine" and skipped.files == seal.mark(info)
    assert skipped.disk_mb > skipped.weights_mb > 0 and skipped.params == info["params"] and skipped.macs_per_second > 0


def test_what_cannot_be_opened_is_one_line_and_no_process_stays(light, corpus, tmp_path):
    broken = Path(shutil.copytree(light, tmp_path / "half.int8-onnx"))
    info = json.loads((broken / "variant.json").read_text())
    for key in ("version", "sha256", "files"):  # so that no hash is checked and the runtime itself fails
        del info[key]
    (broken / "variant.json").write_text(json.dumps(info))
    (broken / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BigfootError, match=r"half\.int8-onnx can't be measured") as refused:
        benchmark(SETTINGS, [light, broken], corpus, tmp_path / "t.json")
    assert "\n" not in str(refused.value) and not children() and not (tmp_path / "t.json").exists()


def test_files_that_are_not_the_variants_own_are_refused_before_anything_is_measured(light, corpus, tmp_path):
    swapped = Path(shutil.copytree(light, tmp_path / "half.int8-onnx"))
    weights = bytearray((swapped / "model.onnx").read_bytes())
    weights[-100] ^= 1
    (swapped / "model.onnx").write_bytes(weights)
    with pytest.raises(BigfootError, match=r"model\.onnx has the size but not the content"):
        benchmark(SETTINGS, [light, swapped], corpus, tmp_path / "t.json")


def test_without_the_reference_nothing_is_measured(folders, corpus, tmp_path):
    with pytest.raises(BigfootError, match=r"teacher\.fp32 is not among the variants"):
        benchmark(SETTINGS, [folders[0]], corpus, tmp_path / "t.json")


def test_two_benchmarks_never_run_on_one_host(folders, corpus, tmp_path):
    with (
        FileLock(Path(tempfile.gettempdir()) / "bigfoot-benchmark.lock"),
        pytest.raises(Busy, match="another benchmark is running"),
    ):
        benchmark(SETTINGS, folders, corpus, tmp_path / "t.json")


def test_the_timed_utterances_are_the_same_every_time(corpus):
    from pipeline.benchmark.run import _sample

    drawn = [[u.id for u in _sample(corpus, SETTINGS)] for _ in range(2)]
    assert drawn[0] == drawn[1] and len(set(drawn[0])) == 3


# ---------------------------------------------------------------- starts, lengths, figures

SAMPLE = [Utterance(f"u{n}", "", "", seconds) for n, seconds in enumerate((1.0, 2.0, 4.0))]


class Scripted:
    """A worker with given times, `seconds(utterance, call)`; it keeps its calls."""

    def __init__(self, seconds):
        self.seconds, self.calls = seconds, []

    def ask(self, command, utterances=(), seconds=0.0):
        self.calls.append(seconds or list(utterances))
        if command == "length":
            return {"seconds": self.seconds(seconds, len(self.calls))}
        return {"seconds": [self.seconds(u, len(self.calls)) for u in utterances]}


def timed(seconds, starts=2):
    """{utterance: seconds} in each start."""
    return [Timed(start, start, utterance, each) for start in range(starts) for utterance, each in seconds.items()]


def test_a_ratio_is_of_the_same_utterances():
    """The reference takes twice as long for every utterance: 2x, without spread."""
    row = rounds.latency(timed({0: 1.0, 1: 2.0, 2: 3.0}), timed({0: 2.0, 1: 4.0, 2: 6.0}), SAMPLE, SETTINGS)
    assert row["speedup"] == row["speedup_low"] == row["speedup_high"] == 2 and row["narrow"] and row["turns"] == 2
    assert row["latency_p50_ms"] == 2000 and row["rtfx"] == pytest.approx(7 / 6)
    # 1, 2 and 3 s for 1, 2 and 4 s of audio: 1000, 1000 and 750 ms per second of audio
    assert row["ms_per_audio_second_p50"] == 1000 and row["ms_per_audio_second_p99"] == 1000
    assert row["rtfx_low"] < row["rtfx"] < row["rtfx_high"]


def test_in_a_round_all_variants_time_the_same_utterances_and_rounds_go_through_the_sample():
    workers = {"teacher.fp32": Scripted(lambda u, _: 0.2), "x": Scripted(lambda u, _: 0.1)}
    times = rounds.run(workers, 3, range(4, 6), 3, 2, random.Random(1))
    assert [(t.start, t.round, t.utterance) for t in times["x"]] == [(3, 4, 2), (3, 4, 0), (3, 5, 1), (3, 5, 2)]
    assert [t[:3] for t in times["x"]] == [t[:3] for t in times["teacher.fp32"]] and workers["x"].calls == [[2, 0], [1, 2]]


def test_each_start_has_new_processes_and_more_follow_while_an_interval_is_wide(light, corpus, tmp_path, monkeypatch):
    """A process that sleeps for longer or shorter, as it was started: no further turn in it shows that."""
    monkeypatch.setattr(processes, "MODULE", "tests.sleeping")
    monkeypatch.setenv(UNEVEN, str(tmp_path / "starts"))
    (tmp_path / "starts").mkdir()
    sleepy = Path(shutil.copytree(light, tmp_path / "sleepy.int8-onnx"))
    settings = BRIEF.model_copy(update={"max_rounds": 5, "precision": 0.1})
    timings = benchmark(settings, [light, sleepy], corpus, tmp_path / "t.json")
    assert timings.restarts == timings.rounds == 5 and not timings.variants["sleepy.int8-onnx"].narrow
    row = timings.variants["sleepy.int8-onnx"]
    assert row.speedup_high > 1.2 * row.speedup_low


def test_what_chooses_is_timed_in_starts_of_its_own_and_not_reported(light, corpus, tmp_path, monkeypatch):
    """The sleeper's second start, which is reported, is the slow one; the third chooses, with as many timings as both."""
    monkeypatch.setattr(processes, "MODULE", "tests.sleeping")
    monkeypatch.setenv(UNEVEN, str(tmp_path / "starts"))
    (tmp_path / "starts").mkdir()
    sleepy = Path(shutil.copytree(light, tmp_path / "sleepy.int8-onnx"))
    sample = list(corpus.utterances("gate"))
    files = [tmp_path / f"{utterance.id}.flac" for utterance in sample]
    for file, utterance in zip(files, sample, strict=True):
        file.write_bytes(corpus.flac(utterance))
    measured = Group([light, sleepy], list(map(str, files)), sample, BRIEF)
    rows, _ = measured.rows()
    assert len(list((tmp_path / "starts").iterdir())) == 3 and measured.starts == 2
    reported, others = measured.times["sleepy.int8-onnx"], measured.to_choose["sleepy.int8-onnx"]
    assert {timed.start for timed in reported} == {0, 1} and len(reported) == len(others)
    assert min(timed.seconds for timed in reported if timed.start == 1) > 3 * SLEEP
    base = measured.to_choose["teacher.fp32"]
    expected = sum(timed.seconds for timed in base) / sum(timed.seconds for timed in others)
    assert rows["sleepy.int8-onnx"]["speedup_to_choose"] == expected and rows["teacher.fp32"]["speedup_to_choose"] == 1


def test_with_more_threads_the_figures_with_one_are_measured_too(light, corpus, tmp_path):
    settings = BRIEF.model_copy(update={"threads": 2, "lengths": [0.5, 1]})
    row = benchmark(settings, [light], corpus, tmp_path / "t.json").variants["teacher.fp32"]
    assert row.speedup_one_thread == 1 and 0 < row.latency_p50_ms_one_thread != row.latency_p50_ms
    assert set(row.latency_by_length_one_thread) == {"0.5", "1"} and min(row.latency_by_length_one_thread.values()) > 0


def test_lengths_are_timed_with_all_threads_and_then_with_one():
    settings, asked = BRIEF.model_copy(update={"threads": 2, "lengths": [1]}), []

    class Recorder:
        def ask(self, command, **_):
            asked.append(command)
            return {"seconds": len(asked) if command == "length" else [1.0] * settings.turn, "rtfx": 1.0}

    group = Group([Path("teacher.fp32")], [], [None] * settings.utterances, settings)
    group._take({"teacher.fp32": Recorder()}, range(1))
    assert asked == ["turn", "batched", "length", "one_thread", "turn", "length"]
    assert (group.by_length["teacher.fp32"], group.by_length_alone["teacher.fp32"]) == ({1: [3]}, {1: [6]})


def test_a_slow_variant_is_timed_once_per_length():
    settings, taken = SETTINGS.model_copy(update={"lengths": [10, 1]}), {"quick": {}, "slow": {}}
    quick, slow = Scripted(lambda seconds, call: seconds / 1000), Scripted(lambda seconds, call: 0.3 * seconds)
    for _ in range(2):
        lengths.run({"quick": quick, "slow": slow}, settings, random.Random(1), taken)
    assert taken["quick"] == {1: [0.001, 0.001], 10: [0.01, 0.01]} and quick.calls == [1, 10, 1, 10]
    assert taken["slow"] == {1: [0.3, 0.3], 10: [3.0]}


def test_audio_of_a_length_is_the_samples_own_again_and_again():
    from pipeline.benchmark.worker import Worker

    inputs = []
    worker = Worker()
    worker.audios = [np.arange(3, dtype=np.float32), np.arange(2, dtype=np.float32)]
    worker.recognizer = type("Recorder", (), {"transcribe": lambda _, audio: inputs.append(audio)})()
    assert worker.length(seconds=8 / 16000)["seconds"] > 0
    assert [each.tolist() for each in inputs] == [[0, 1, 2, 0, 1, 0, 1, 2]] * 2  # the first is not timed


def test_peak_memory_is_of_the_process_itself_not_of_the_one_that_started_it():
    child = "from pipeline.benchmark.worker import _peak_mb; print(_peak_mb())"
    parent = f"import subprocess, sys; held = bytearray(b'x' * 600_000_000); subprocess.run([sys.executable, '-c', {child!r}])"
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 5 < float(done.stdout) < 300


def test_fewer_rounds_at_most_than_at_least_is_refused():
    with pytest.raises(ValueError, match="max_rounds is 3, less than rounds, which is 10"):
        params.Benchmark(max_rounds=3)


# ---------------------------------------------------------------- warnings


def test_another_host_is_recognized_by_its_name_or_else_by_its_hardware():
    here = host.describe()
    assert host.elsewhere(here) is None
    assert "another host (elsewhere)" in host.elsewhere(here | {"name": "elsewhere"})
    assert "another host of the same name (another CPU" in host.elsewhere(here | {"cpu": "another CPU"})
    assert "of the same name" in host.elsewhere(here | {"features": ["sve"]})
    old = {key: value for key, value in here.items() if key != "virtualized"}
    assert host.elsewhere(old | {"cpu": "another CPU"}) is None, "older timings record the name only"


SPEEDUPS = [f"speedup{threads}{end}" for threads in ("", "_one_thread") for end in ("", "_low", "_high")]


def test_a_reader_is_warned_of_noise_width_and_energy_that_is_not_resolved():
    nothing = dict.fromkeys(field.name for field in fields(Timing))
    good = Timing(**nothing | {"narrow": True, "energy_note": "modeled from the CPU's load, not measured"})
    here = host.describe() | {"cpu_use_before": 0.02, "cpu_use_after": 0.1}
    nothing = dict.fromkeys(field.name for field in fields(Timings))
    calm = Timings(**nothing | {"host": here, "precision": 0.15, "restarts": 30, "groups": 1, "variants": {"a": good}})
    assert cautions.cautions(calm) == []
    assert cautions.cautions(replace(calm, groups=2))[0].startswith("memory did not hold all variants at once")
    same = dict.fromkeys(SPEEDUPS, 1.0)
    rows = {"a": good, "b": replace(good, narrow=False, **same), "c": replace(good, energy_note="not resolved: 0.1 W")}
    warnings = cautions.cautions(replace(calm, host=here | {"cpu_use_after": 0.6}, variants=rows))
    assert len(warnings) == 3 and "60% of its CPU time" in warnings[0]
    meanwhile = replace(calm, host=here | {"others_cpu_use": 0.15})
    assert meanwhile.busy == 0.15 and "15% of its CPU time" in cautions.cautions(meanwhile)[0]
    assert warnings[1].endswith("wider than 15% of it after 30 starts for b") and warnings[2].endswith("idle machine for c")


def test_the_work_of_ended_children_is_not_that_of_others(monkeypatch):
    """All cores together count 100 s more, of which this process and those that it started took 70 s."""
    all_times = psutil.cpu_times()
    planted = iter([all_times, all_times._replace(user=all_times.user + 90, system=all_times.system + 10, idle=0.0)])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(planted))
    own = iter([(1, 1, 5, 5, 0), (11, 1, 60, 10, 0)])
    monkeypatch.setattr(os, "times", lambda: os.times_result(next(own)))
    clock = iter([100.0, 150.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
    assert host.OthersUse().fraction() == 0.3


def test_a_reader_is_told_to_trust_the_speedup_with_one_thread_where_only_that_is_steady():
    """The quickstart of 2026-11-28, on two cores, and a variant that is as unsteady with one thread."""
    nothing = dict.fromkeys(field.name for field in fields(Timing)) | {"narrow": False}
    steady, unsteady = (
        Timing(**nothing | dict(zip(SPEEDUPS, values, strict=True)))
        for values in ((2.7, 1.6, 4.4, 4.5, 4.0, 5.0), (2.7, 1.6, 4.4, 4.5, 2.8, 7.0))
    )
    timings = Timings(
        **dict.fromkeys(field.name for field in fields(Timings))
        | {
            "host": host.describe(),
            "precision": 0.15,
            "restarts": 10,
            "groups": 1,
            "threads": 2,
            "variants": {"thin": steady, "half": unsteady},
        }
    )
    width, trust = cautions.cautions(timings)[-2:]
    assert width.endswith("after 10 starts for thin, half")
    assert "(thin 4.5x [4.0x, 5.0x])" in trust and "how 2 threads get their cores" in trust
    assert len(cautions.cautions(replace(timings, variants={"half": unsteady}))) == len(cautions.cautions(timings)) - 1
