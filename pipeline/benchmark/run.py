"""benchmark: speed, memory and energy of ALL variants in one interleaved run on this host.

Decision: machines are noisy and drift, so only figures of one run are compared, and variants take turns within it: rounds
in shuffled order, in each of which every variant times the same few utterances while the others wait. Speedups are ratios
over the same utterances in the same rounds. One warm process runs per variant, as many at a time as memory allows
(teacher.fp32 is always among them, as the reference of its group), and one benchmark runs at a time per host. Two processes
of one variant differ in speed, however long they run, so all are started anew several times. All times are CPU times but those
of variants for a GPU, which end when the logits are in the CPU's memory, and so after the GPU does. On a host without a GPU
these are skipped, with the reason.

latency: a 16 kHz float array in memory -> text, batch 1, after every utterance has been transcribed once (OpenVINO compiles
for new lengths: the first run of a length is slower, by tens of milliseconds). The parts are in pipeline.benchmark: starts,
rounds, lengths, cold_start, profile, int8_share, weights, consumption.
"""

import logging
import random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from pipeline.benchmark import processes, timings, weights
from pipeline.benchmark.starts import Group
from pipeline.benchmark.timings import REFERENCE, Sample, Skipped, Timing, Timings
from pipeline.common import host
from pipeline.common.errors import BigfootError
from pipeline.params import Benchmark
from pipeline.recognition import gpu, seal
from pipeline.speech.corpus import GATE, Corpus
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
    began, started = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    before, others = host.describe() | {"cpu_use_before": host.use()}, host.OthersUse()
    infos = {folder.name: seal.read(folder) for folder in folders}
    skipped = {
        folder.name: Skipped(**_fixed(folder, infos[folder.name]), reason=reason)
        for folder in folders
        if (reason := gpu.obstacle(infos[folder.name]))
    }
    for name, one in skipped.items():
        log.warning("benchmark: %s is not timed: %s", name, one.reason)
        del infos[name]
    folders = [folder for folder in folders if folder.name in infos]
    empty = {runtime: _empty_mb(runtime, settings.threads) for runtime in sorted({i["runtime"] for i in infos.values()})}
    variants: dict[str, Timing] = {}
    idle_w, restarts = None, []
    for number, group in enumerate(groups := processes.groups(folders, REFERENCE)):
        if len(groups) > 1:
            names = ", ".join(folder.name for folder in group)
            log.info("benchmark: group %d of %d, as memory allows: %s", number + 1, len(groups), names)
        measured = Group(group, files, sample, settings)
        rows, idle = measured.rows()
        restarts.append(measured.starts)
        idle_w = idle if idle_w is None else idle_w
        for folder in group:
            name = folder.name
            row = _fixed(folder, infos[name]) | rows[name]
            ram_model = max(0.0, row["ram_mb"] - empty[infos[name]["runtime"]])
            device = (gpu.name() if gpu.is_needed(infos[name]) else None) or "cpu"
            variants.setdefault(name, Timing(**row, ram_model_mb=ram_model, device=device))
    return Timings(
        measured_at=began,
        seconds=round(time.monotonic() - started, 3),
        host=before | {"others_cpu_use": others.fraction(), "load_after": host.load(), "cpu_use_after": host.use()},
        threads=settings.threads,
        versions={package: version for package, version in host.versions().items() if version},
        sample=Sample(len(sample), round(sum(u.duration for u in sample), 3)),
        restarts=min(restarts),
        rounds=min(timing.turns for timing in variants.values()),
        turn=settings.turn,
        precision=settings.precision,
        cold_start={"seconds": sample[0].duration, "file_cache": "warm"},
        idle_w=idle_w,
        variants=variants,
        groups=len(groups),
        skipped=skipped,
    )


def _fixed(folder: Path, info: dict) -> dict:
    """What is known of a variant before it runs; None where an older variant.json lacks it."""
    return {
        "files": seal.mark(info), "disk_mb": processes.size_mb(folder), "weights_mb": weights.size_mb(folder, info["file"]),
        "params": info.get("params"), "macs_per_second": info.get("macs_per_second"),
    }  # fmt: skip


def _empty_mb(runtime: str, threads: int) -> float:
    empty = processes.Process(f"an empty {runtime} process", threads)
    try:
        return empty.ask("idle", runtime=runtime)["peak_mb"]
    finally:
        empty.close()


def _sample(corpus: Corpus, settings: Benchmark) -> list[Utterance]:
    """The utterances that are timed: drawn once from gate, since times choose and test decides nothing."""
    utterances = corpus.utterances(GATE)
    return random.Random(settings.seed).sample(utterances, min(settings.utterances, len(utterances)))
