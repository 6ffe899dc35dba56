"""benchmark: speed, memory and energy of ALL variants in one interleaved run on this host.

Decision: machines are noisy and drift, so only figures of one run are compared, and variants take turns within it: rounds
in shuffled order, in each of which every variant times the same few utterances while the others wait. Speedups are ratios
over the same utterances in the same rounds. One warm process runs per variant, as many at a time as memory allows
(teacher.fp32 is always among them, as the reference of its group), and one benchmark runs at a time per host. All times are
CPU times: no variant runs on a GPU (pipeline.recognition.runtimes), so none has to be synchronized.

latency: a 16 kHz float array in memory -> text, batch 1, after every utterance has been transcribed once (OpenVINO compiles
for new lengths: the first run of a length is slower, by tens of milliseconds). The passes are in pipeline.benchmark: rounds,
lengths, cold_start, profile, consumption.
"""

import logging
import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pipeline.benchmark import cold_start, consumption, lengths, processes, rounds, timings
from pipeline.benchmark.timings import REFERENCE, Sample, Timing, Timings
from pipeline.common import host
from pipeline.common.errors import BigfootError
from pipeline.params import Benchmark
from pipeline.recognition import seal
from pipeline.speech.corpus import Corpus
from pipeline.speech.shards import Utterance

log = logging.getLogger(__name__)


def benchmark(settings: Benchmark, folders: list[Path], corpus: Corpus, out: Path) -> Timings:
    """Measure all variants and write timings.json.

    `folders`: variant folders, named MODEL.SCHEME. Raises BigfootError where teacher.fp32 is not among them, a variant can't
    be opened or holds other files than it was made with, or another benchmark is running on this host.
    """
    if REFERENCE not in [folder.name for folder in folders]:
        raise BigfootError(f"benchmark: {REFERENCE} is not among the variants, which all others are compared with")
    sample = _sample(corpus, settings)
    with processes.alone(), tempfile.TemporaryDirectory(prefix="bigfoot-") as scratch:
        files = _written(sample, corpus, Path(scratch))
        measured = _measure(folders, files, sample, settings)
    timings.write(out, measured)
    return measured


def _written(sample: list[Utterance], corpus: Corpus, folder: Path) -> list[str]:
    """The sample as files, so that the processes that are measured open no corpus."""
    files = [folder / f"{number}.flac" for number in range(len(sample))]
    for file, utterance in zip(files, sample, strict=True):
        file.write_bytes(corpus.flac(utterance))
    return list(map(str, files))


def _measure(folders: list[Path], files: list[str], sample: list[Utterance], settings: Benchmark) -> Timings:
    began, before = datetime.now(UTC).isoformat(timespec="seconds"), host.describe() | {"cpu_use_before": host.use()}
    infos = {folder.name: seal.read(folder) for folder in folders}
    empty = {runtime: _empty_mb(runtime, settings.threads) for runtime in sorted({i["runtime"] for i in infos.values()})}
    variants: dict[str, Timing] = {}
    idle_w = None
    for number, group in enumerate(groups := processes.groups(folders, REFERENCE)):
        if len(groups) > 1:
            names = ", ".join(folder.name for folder in group)
            log.info("benchmark: group %d of %d, as memory allows: %s", number + 1, len(groups), names)
        rows, idle = _measure_group(group, infos, files, sample, settings)
        idle_w = idle if idle_w is None else idle_w
        for name, row in rows.items():
            ram_model = max(0.0, row["ram_mb"] - empty[infos[name]["runtime"]])
            variants.setdefault(name, Timing(**row, ram_model_mb=ram_model))
    return Timings(
        measured_at=began,
        host=before | {"load_after": host.load(), "cpu_use_after": host.use()},
        device="cpu",
        threads=settings.threads,
        versions={package: version for package, version in host.versions().items() if version},
        sample=Sample(len(sample), round(sum(u.duration for u in sample), 3)),
        rounds=min(timing.turns for timing in variants.values()),
        turn=settings.turn,
        precision=settings.precision,
        cold_start={"seconds": sample[0].duration, "file_cache": "warm"},
        idle_w=idle_w,
        variants=variants,
        groups=len(groups),
    )


def _measure_group(
    folders: list[Path], infos: dict, files: list[str], sample: list[Utterance], settings: Benchmark
) -> tuple[dict[str, dict], float | None]:
    """The figures of variants that are resident together, and the machine's idle power in W."""
    rows: dict[str, dict] = {}
    with processes.started([folder.name for folder in folders], settings.threads) as workers:
        for count, folder in enumerate(folders):
            log.info("benchmark: opening %s (%d of %d)", folder.name, count + 1, len(folders))
            peak = workers[folder.name].ask("open", folder=str(folder), threads=settings.threads, files=files)["peak_mb"]
            rows[folder.name] = _fixed(folder, infos[folder.name]) | {"ram_mb": peak}
        for name, figures in rounds.run(workers, REFERENCE, sample, settings).items():
            rows[name] |= figures
        for name, row in rows.items():
            row["rtfx_batched"] = workers[name].ask("batched", size=settings.batch)["rtfx"]
            row |= workers[name].ask("profile")
        for name, times in lengths.run(workers, settings).items():
            rows[name]["latency_by_length"] = times
        for folder in folders:
            log.info("benchmark: cold start of %s", folder.name)
            rows[folder.name] |= cold_start.measure(folder, files[0], settings.threads, settings.cold_starts)
        energy, idle = consumption.run(workers, settings)
        for name, used in energy.items():
            rows[name] |= used
    return rows, idle


def _fixed(folder: Path, info: dict) -> dict:
    """What is known of a variant before it runs; None where an older variant.json lacks it."""
    return {
        "files": seal.mark(info), "disk_mb": processes.size_mb(folder), "params": info.get("params"),
        "macs_per_second": info.get("macs_per_second"),
    }  # fmt: skip


def _empty_mb(runtime: str, threads: int) -> float:
    empty = processes.Process(f"an empty {runtime} process", threads)
    try:
        return empty.ask("idle", runtime=runtime)["peak_mb"]
    finally:
        empty.close()


def _sample(corpus: Corpus, settings: Benchmark) -> list[Utterance]:
    """The utterances that are timed: drawn once from the first test set, the same for all variants."""
    utterances = corpus.utterances(corpus.test_sets[0])
    return random.Random(settings.seed).sample(utterances, min(settings.utterances, len(utterances)))
