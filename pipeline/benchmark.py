"""benchmark: speed, memory and energy of ALL variants in one interleaved run on this host.

Decision: machines are noisy and drift, so only figures of one run are compared, and variants take turns within it: rounds
in shuffled order, in each of which every variant times the same few utterances while the others wait. Speedups are ratios
over the same utterances of the same rounds. One warm process a variant, as many at a time as memory allows (teacher.fp32
always among them, as the reference of its group); one benchmark at a time on a host.

latency: a 16 kHz float array in memory -> text, batch 1, after every utterance has been heard once (OpenVINO compiles for
new lengths: the first hearing of a length is slower, by tens of milliseconds). energy: contiguous blocks a variant, read
off one meter; where codecarbon only models the power from the CPU's load, energy follows time.
"""

import json
import logging
import random
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.corpus.manifest import Corpus, Utterance
from pipeline.energy import EnergyMeter
from pipeline.errors import BigfootError
from pipeline.files import write_whole
from pipeline.measure import host, processes, ratio
from pipeline.measure.processes import Process
from pipeline.params import Benchmark

REFERENCE = "teacher.fp32"
METER_SECONDS = 0.5
log = logging.getLogger(__name__)


def benchmark(folders: list[Path], corpus: Corpus, settings: Benchmark, out: Path) -> dict:
    """Measure all variants and write timings.json; README says what its figures mean.

    `folders`: variant folders, named MODEL.SCHEME. Raises BigfootError where teacher.fp32 is not among them, a variant can't
    be opened, or another benchmark is running on this host.
    """
    if REFERENCE not in [folder.name for folder in folders]:
        raise BigfootError(f"benchmark: {REFERENCE} is not among the variants, which all others are compared with")
    sample = _sample(corpus, settings)
    with processes.alone():
        timings = _measure(folders, corpus, sample, settings)
    write_whole(out, json.dumps(timings, indent=1) + "\n")
    return timings


def _measure(folders: list[Path], corpus: Corpus, sample: list[Utterance], settings: Benchmark) -> dict:
    facts = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": host.describe(), "threads": settings.threads, "versions": host.versions(),
        "sample": {"utterances": len(sample), "seconds": round(sum(u.duration for u in sample), 3)},
        "rounds": settings.rounds, "turn": settings.turn, "idle_w": None, "variants": {},
    }  # fmt: skip
    files = [str((corpus.folder / u.audio).resolve()) for u in sample]
    infos = {folder.name: _info(folder) for folder in folders}
    empty = {runtime: _empty_mb(runtime, settings.threads) for runtime in sorted({i["runtime"] for i in infos.values()})}
    for number, group in enumerate(groups := processes.groups(folders, REFERENCE)):
        if len(groups) > 1:
            names = ", ".join(folder.name for folder in group)
            log.info("benchmark: group %d of %d, as memory allows: %s", number + 1, len(groups), names)
        measured = _measure_group(group, infos, files, sample, settings, facts)
        for name, row in measured.items():
            row["ram_model_mb"] = max(0.0, row["ram_mb"] - empty[infos[name]["runtime"]])
            facts["variants"].setdefault(name, row)
    return facts


def _measure_group(
    folders: list[Path], infos: dict, files: list[str], sample: list[Utterance], settings: Benchmark, facts: dict
) -> dict[str, dict]:
    """The rows of variants that are resident together."""
    rows: dict[str, dict] = {}
    with processes.started([folder.name for folder in folders], settings.threads) as workers:
        for count, folder in enumerate(folders):
            log.info("benchmark: opening %s (%d of %d)", folder.name, count + 1, len(folders))
            peak = workers[folder.name].ask("open", folder=str(folder), threads=settings.threads, files=files)["peak_mb"]
            size, params = processes.size_mb(folder), infos[folder.name].get("params")
            rows[folder.name] = {"disk_mb": size, "params": params, "ram_mb": peak}
        times = _rounds(workers, len(files), settings)
        for name, row in rows.items():
            row |= _latency(times[name], times[REFERENCE], sample, settings)
        for name, row in rows.items():
            row["rtfx_batched"] = workers[name].ask("batched", size=settings.batch)["rtfx"]
            row |= workers[name].ask("profile")
        for name, used in _energy(workers, settings, facts).items():
            rows[name] |= used
    return rows


# ---------------------------------------------------------------- latency


def _rounds(workers: dict[str, Process], utterances: int, settings: Benchmark) -> dict[str, list[tuple[int, int, float]]]:
    """(round, utterance, seconds) of every timed transcription, by variant."""
    order, times = list(workers), {name: [] for name in workers}
    rng, started = random.Random(settings.seed), time.monotonic()
    for number in range(settings.rounds):
        rng.shuffle(order)
        heard = [(number * settings.turn + i) % utterances for i in range(settings.turn)]
        for name in order:
            seconds = workers[name].ask("turn", utterances=heard)["seconds"]
            times[name] += [(number, u, s) for u, s in zip(heard, seconds, strict=True)]
        left = (time.monotonic() - started) / (number + 1) * (settings.rounds - number - 1)
        log.info("benchmark: round %d of %d, %.0f s left", number + 1, settings.rounds, left)
    return times


def _latency(times: list, reference: list, sample: list[Utterance], settings: Benchmark) -> dict:
    """Percentiles, RTFx and the speedup over the reference, with a 95% interval over utterances."""
    seconds, base = (np.array([t for _, _, t in rows]) for rows in (times, reference))
    who = np.array([u for _, u, _ in times])
    by_utterance = [np.bincount(who, values, len(sample))[np.unique(who)] for values in (base, seconds)]
    low, high = ratio.interval(*by_utterance, resamples=1000, seed=settings.seed)
    audio = sum(sample[u].duration for _, u, _ in times)
    return {
        "latency_p50_ms": float(1000 * np.median(seconds)),
        "latency_p95_ms": float(1000 * np.quantile(seconds, 0.95)),
        "rtfx": float(audio / seconds.sum()),
        "speedup": float(base.sum() / seconds.sum()), "speedup_low": low, "speedup_high": high,
        "turns": len({number for number, _, _ in times}),
    }  # fmt: skip


# ---------------------------------------------------------------- energy


def _energy(workers: dict[str, Process], settings: Benchmark, facts: dict) -> dict[str, dict]:
    """Wh and g CO2 an hour of audio, by variant: the machine's whole use during its blocks, idle power included.

    None where codecarbon failed or a block is shorter than two of its samples.
    """
    used = {name: {"wh": 0.0, "co2_g": 0.0, "audio_seconds": 0.0} for name in workers}
    if settings.energy_seconds < 2 * METER_SECONDS:
        return {name: _energy_row(None, None) for name in workers}
    rng, order = random.Random(settings.seed), list(workers)
    with EnergyMeter(settings.country, every=METER_SECONDS) as meter:
        idle = _spent(meter, lambda: time.sleep(settings.energy_seconds))
        if facts["idle_w"] is None and idle["wh"] is not None:
            facts["idle_w"] = round(idle["wh"] * 3600 / idle["seconds"], 2)
        for number in range(settings.energy_rounds):
            log.info("benchmark: energy, round %d of %d", number + 1, settings.energy_rounds)
            rng.shuffle(order)
            for name in order:
                heard = {}
                block = _spent(meter, lambda n=name, h=heard: h.update(workers[n].ask("work", seconds=settings.energy_seconds)))
                for key in ("wh", "co2_g"):
                    used[name][key] = None if block[key] is None else used[name][key] + block[key]
                used[name]["audio_seconds"] += heard["audio_seconds"]
    return {name: _energy_row(one, meter.mode) for name, one in used.items()}


def _spent(meter: EnergyMeter, work) -> dict:
    """What the machine used while `work()` ran."""
    before = meter.reading()
    work()
    after = meter.reading()
    known = before.wh is not None
    return {
        "seconds": after.seconds - before.seconds,
        "wh": after.wh - before.wh if known else None, "co2_g": after.co2_g - before.co2_g if known else None,
    }  # fmt: skip


def _energy_row(used: dict | None, mode: str | None) -> dict:
    row = {"energy_wh_per_audio_hour": None, "co2_g_per_audio_hour": None, "energy_mode": mode}
    if used and used["wh"] is not None and used["audio_seconds"]:
        hours = used["audio_seconds"] / 3600
        row |= {"energy_wh_per_audio_hour": used["wh"] / hours, "co2_g_per_audio_hour": used["co2_g"] / hours}
    return row


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


def _info(folder: Path) -> dict:
    try:
        return json.loads((folder / "variant.json").read_text())
    except (OSError, ValueError):
        raise BigfootError(f"{folder} is no variant (no readable variant.json): run `dvc repro` for it") from None
