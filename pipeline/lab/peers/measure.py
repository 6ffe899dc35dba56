"""All peers and Bigfoot's variants of one model in one interleaved run: size, latency, throughput, WER.

Decision: as in pipeline.benchmark.run, one warm process each, rounds in shuffled order, fixed threads, the others waiting
meanwhile; a round is one clip of each length and one batch for everyone, each timed once after one untimed. The unit that
is resampled for the ratios is the round. A peer that can't be made, opened or run becomes a row with the reason and the
others go on: a comparison that stops at the first missing package compares nothing.

Clips are real utterances of the first test set, put end to end and cut to the second, the same samples for all.
"""

import json
import logging
import random
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.benchmark import processes, ratio
from pipeline.benchmark.processes import Failed, Process
from pipeline.common import host
from pipeline.common.errors import BigfootError
from pipeline.common.files import write_whole
from pipeline.evaluate import wer
from pipeline.evaluate.scores import SetScore
from pipeline.lab.peers import known, table, weights, worker
from pipeline.models.description import describe
from pipeline.speech import audio
from pipeline.speech.corpus import Corpus, Utterance

REFERENCE = known.REFERENCE
BATCH = "batch"
MORE_PACKAGES = ("ctranslate2", "onnx")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """What everyone hears: `plan` says which of `files` (by number) are the clips of each length, and which the batch."""

    utterances: list[Utterance]  # what the WER is of
    heard: list[str]  # their files
    files: list[str]
    plan: dict[str, list[int]]
    batch_seconds: float  # of all of the batch


@dataclass(frozen=True)
class Settings:
    """How much is measured; the defaults are what is published."""

    rounds: int = 10
    threads: int = 2
    limit: int | None = None  # utterances of the first test set that the WER is of; None: all
    seconds: tuple[int, ...] = (2, 5, 10, 30)
    clips: int = 3  # a length
    batch: int = 8
    resamples: int = 2000
    seed: int = 7


def measure(model_folder: Path, variants: Path, corpus: Corpus, settings: Settings, out: Path) -> dict:
    """Compare, and write peers.json and peers.md to the folder `out`; returns what peers.json holds.

    `variants` is where Bigfoot's variants of this model may lie, named MODEL.SCHEME; those that do take part. Raises
    BigfootError where the model or the corpus is none, or when something else measures on this host.
    """
    described = describe(model_folder)
    utterances = corpus.utterances(corpus.test_sets[0])[: settings.limit]
    if not utterances:
        raise BigfootError(f"{corpus.folder}: the test set {corpus.test_sets[0]} is empty: prepare the corpus anew")
    out.mkdir(parents=True, exist_ok=True)
    with processes.alone(), tempfile.TemporaryDirectory(prefix=".prepared-", dir=out) as scratch:
        facts = _facts(model_folder, described, corpus, utterances, settings)
        rows, folders = _prepared(model_folder, Path(scratch), settings)
        more, found = _variants(variants, model_folder.name, described)
        rows, folders = rows | more, [*folders, *found]
        if rows[REFERENCE]["reason"] is not None:
            raise BigfootError(f"{REFERENCE}, which all are compared with, can't be made: {rows[REFERENCE]['reason']}")
        sample = _sample(corpus, utterances, Path(scratch), settings)
        facts["batch"] = {"size": settings.batch, "seconds": round(sample.batch_seconds / settings.batch, 2)}
        scores: dict[str, dict] = {}
        for group in processes.groups(folders, REFERENCE):
            _measure_group(group, rows, sample, scores, settings)
    facts["rows"] = list(rows.values())
    write_whole(out / "peers.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    write_whole(out / "peers.md", table.page(facts))
    return facts


def _facts(model_folder: Path, described: dict, corpus: Corpus, utterances: list[Utterance], settings: Settings) -> dict:
    """What one has to know to read the figures rightly."""
    info = corpus.info
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": host.describe(), "versions": host.versions((*host.PACKAGES, *MORE_PACKAGES)), "threads": settings.threads,
        "model": {"name": model_folder.name, "params": described["params"], "weights": weights(model_folder)},
        "corpus": {
            "name": info.get("name", corpus.folder.name), "synthetic": bool(info.get("synthetic")), "test": corpus.test_sets[0],
            "utterances": len(utterances), "words": sum(len(u.text.split()) for u in utterances),
            "seconds": round(sum(u.duration for u in utterances), 1),
        },
        "reference": REFERENCE, "rounds": settings.rounds, "seconds": list(settings.seconds), "clips": settings.clips,
        "seed": settings.seed,
    }  # fmt: skip


# ---------------------------------------------------------------- who takes part


def _row(name: str, who: str, about: str, reason: str | None = None) -> dict:
    return {"name": name, "who": who, "about": about, "reason": reason}


def _prepared(model_folder: Path, scratch: Path, settings: Settings) -> tuple[dict[str, dict], list[Path]]:
    """A row a peer, and the folders of those that could be made.

    By one process of its own, and a new one after each that died: what a peer's converter does to a process, or ends it,
    is no concern of this one.
    """
    rows, folders, maker = {}, [], None
    try:
        for name in known.PEERS:
            log.info("peers: making %s", name)
            rows[name] = _row(name, "peer", known.about(name))
            maker = maker or Process("the maker of peers", settings.threads, worker.__name__)
            try:
                maker.ask("prepare", peer=name, model=str(model_folder.resolve()), out=str((scratch / name).resolve()))
                folders.append(scratch / name)
            except Failed as failed:
                rows[name]["reason"] = failed.reason
                if maker.process.poll() is not None:
                    maker.close()
                    maker = None
    finally:
        if maker:
            maker.close()
    return rows, folders


def _variants(place: Path, model: str, described: dict) -> tuple[dict[str, dict], list[Path]]:
    """The same of Bigfoot's variants on disk; one that is of other weights than the model's has that as its reason."""
    rows, folders = {}, []
    for folder in sorted(place.glob(f"{model}.*/")):
        try:
            info = json.loads((folder / "variant.json").read_text(encoding="utf-8"))
            about = f"scheme {info['scheme']} on {info['runtime']}"
        except (OSError, ValueError, KeyError):
            rows[folder.name] = _row(folder.name, "Bigfoot", "", "no readable variant.json: run `dvc repro` for it")
            continue
        rows[folder.name] = _row(folder.name, "Bigfoot", about)
        if any(info.get(key) != value for key, value in described.items()):
            rows[folder.name]["reason"] = "made of another training of this model: run `dvc repro` for it"
        else:
            folders.append(folder)
    return rows, folders


def _sample(corpus: Corpus, utterances: list[Utterance], scratch: Path, settings: Settings) -> Sample:
    """The utterances themselves, and clips of the wanted lengths made of all of the test set, as files in `scratch`."""
    test = corpus.utterances(corpus.test_sets[0])
    rng, files, plan = random.Random(settings.seed), [], {}

    def keep(samples: np.ndarray) -> int:
        file = scratch / f"clip{len(files)}.wav"
        audio.write(file, samples)
        files.append(str(file.resolve()))
        return len(files) - 1

    for seconds in settings.seconds:
        wanted = seconds * audio.SAMPLE_RATE
        plan[str(seconds)] = []
        for _ in range(settings.clips):
            parts, order = [], rng.sample(test, len(test))
            while sum(part.size for part in parts) < wanted:
                parts.append(corpus.audio(order[len(parts) % len(order)]))
            plan[str(seconds)].append(keep(np.concatenate(parts)[:wanted]))
    by_length = sorted(test, key=lambda u: (u.duration, u.id))
    first = max(0, (len(by_length) - settings.batch) // 2)
    alike = [corpus.audio(by_length[(first + i) % len(by_length)]) for i in range(settings.batch)]
    shortest = min(one.size for one in alike)
    plan[BATCH] = [keep(one[:shortest]) for one in alike]
    heard = [str((corpus.folder / u.audio).resolve()) for u in utterances]
    return Sample(utterances, heard, files, plan, settings.batch * shortest / audio.SAMPLE_RATE)


# ---------------------------------------------------------------- the run


def _measure_group(folders: list[Path], rows: dict, sample: Sample, scores: dict[str, dict], settings: Settings) -> None:
    """Fill the rows of those that are resident together; `scores` keeps the whole score of each, for comparing.

    The reference is in every group, and is what the others of the group are compared with; its own row is the first one's.
    """
    names = [folder.name for folder in folders]
    reference = rows[REFERENCE] if "latency" not in rows[REFERENCE] else dict(rows[REFERENCE])
    rows = {name: rows[name] for name in names} | {REFERENCE: reference}
    with processes.started(names, settings.threads, worker.__name__) as workers:
        for folder in folders:
            log.info("peers: opening %s", folder.name)
            arguments = {"folder": str(folder.resolve()), "threads": settings.threads, "files": sample.files}
            opened = _ask(rows[folder.name], workers, "open", **arguments)
            if opened:
                rows[folder.name] |= {"disk_mb": processes.size_mb(folder), "ram_mb": opened["peak_mb"]}
            elif folder.name == REFERENCE:
                raise Failed(REFERENCE, reference["reason"])
        times = _rounds(rows, workers, sample.plan, settings)
        for name in list(workers):
            log.info("peers: WER of %s", name)
            answer = None if name in scores else _ask(rows[name], workers, "hear", files=sample.heard)
            if answer:
                scores[name] = wer.score(sample.utterances, answer["texts"], settings.resamples, settings.seed)
    base = times[REFERENCE] if reference["reason"] is None else {}
    for name, row in rows.items():
        if row["reason"] is None:
            found = {key: _latency(times[name][key], base.get(key), settings) for key in sample.plan}
            row["throughput"] = _throughput(found.pop(BATCH), sample.batch_seconds)
            row["latency"] = found
            row["shrink"] = reference["disk_mb"] / row["disk_mb"]
            row |= _wer(scores[name], scores.get(REFERENCE), settings)


def _ask(row: dict, workers: dict[str, Process], command: str, **arguments: object) -> dict | None:
    """The answer; a worker that fails leaves the run, and its row keeps why."""
    try:
        return workers[row["name"]].ask(command, **arguments)
    except Failed as failed:
        log.info("peers: %s can't run: %s", row["name"], failed.reason)
        row["reason"] = failed.reason
        workers.pop(row["name"]).close()
        return None


def _rounds(rows: dict, workers: dict[str, Process], plan: dict[str, list[int]], settings: Settings) -> dict:
    """{name: {length or "batch": [seconds a round]}}."""
    times = {name: {key: [] for key in plan} for name in workers}
    rng, started = random.Random(settings.seed), time.monotonic()
    for number in range(settings.rounds):
        order = sorted(workers)
        rng.shuffle(order)
        for name in order:
            for key, clips in plan.items():
                if key == BATCH:
                    answer = _ask(rows[name], workers, "together", utterances=clips)
                else:
                    answer = _ask(rows[name], workers, "turn", utterances=[clips[number % len(clips)]])
                if answer is None:
                    break
                times[name][key].append(answer["seconds"] if key == BATCH else answer["seconds"][0])
        left = (time.monotonic() - started) / (number + 1) * (settings.rounds - number - 1)
        log.info("peers: round %d of %d, %.0f s left", number + 1, settings.rounds, left)
    return times


# ---------------------------------------------------------------- what came of it


def _latency(times: list[float], reference: list[float] | None, settings: Settings) -> dict:
    """Median and quartiles over rounds in ms, and how many times faster than the reference, resampling rounds."""
    seconds = np.array(times)
    low, middle, high = 1000 * np.quantile(seconds, [0.25, 0.5, 0.75])
    row = {"ms": float(middle), "ms_q25": float(low), "ms_q75": float(high)}
    row |= {"speedup": None, "speedup_low": None, "speedup_high": None}
    if reference and len(reference) == len(times):
        base = np.array(reference)
        row["speedup"] = float(base.sum() / seconds.sum())
        row["speedup_low"], row["speedup_high"] = ratio.interval(base, seconds, settings.resamples, settings.seed)
    return row


def _throughput(batch: dict, seconds: float) -> dict:
    """Seconds of audio a second in the batch, with its quartiles, and its ratio to the reference's."""
    row = {"rtfx": seconds / batch["ms"] * 1000, "rtfx_q25": seconds / batch["ms_q75"] * 1000}
    row["rtfx_q75"] = seconds / batch["ms_q25"] * 1000
    return row | {key: batch[key] for key in ("speedup", "speedup_low", "speedup_high")}


def _wer(score: SetScore, reference: SetScore | None, settings: Settings) -> dict:
    """WER with its interval and, against the reference, the difference, its upper bound and how many texts differ."""
    row = {key: getattr(score, key) for key in ("wer", "wer_low", "wer_high", "unit")}
    row |= {"wer_delta": None, "wer_rise_upper": None, "texts_differ": None}
    if reference:
        pairs = zip(score.hypotheses, reference.hypotheses, strict=True)
        row["wer_delta"] = score.wer - reference.wer
        row["wer_rise_upper"] = wer.paired_rise(reference, score, resamples=settings.resamples, seed=settings.seed)
        row["texts_differ"] = sum(ours.hypothesis != theirs.hypothesis for ours, theirs in pairs)
    return row
