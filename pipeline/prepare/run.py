"""prepare: source -> corpora/NAME. Check every utterance, write it resampled into the corpus, and list what was dropped.

Audio streams through worker processes on all cores, a bounded number of utterances at a time; memory holds a few hundred
bytes per utterance. The corpus is made in a folder beside `out` and renamed when complete, so `out` is never half a corpus.
"""

import json
import logging
import multiprocessing
import os
import shutil
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from hashlib import blake2b
from itertools import islice
from operator import length_hint
from pathlib import Path

from pipeline import params
from pipeline.common.errors import BigfootError
from pipeline.common.parent import end_with_pool
from pipeline.common.progress import Progress
from pipeline.prepare import pauses, raw, replacements, report
from pipeline.prepare.checks import Examined, channel_of, compare, examine, leaks, rates
from pipeline.speech.corpus import UNLABELLED, Utterance, test_sets, write_manifest
from pipeline.speech.scoring import has_word_gaps
from pipeline.speech.text import alphabet

CHUNK = 16  # utterances sent to a worker at a time

log = logging.getLogger(__name__)


def prepare(corpus: params.Corpus, data: Path, out: Path, workers: int | None = None) -> dict:
    """Make the corpus in `out` from the source in `data`, and return its corpus.json.

    `workers` is the number of processes, by default one per core; 0 does everything in this process. Raises BigfootError where
    the source can't be read, a check whose severity is stop fails, or a split ends up empty.
    """
    corpus = replacements.resolved(corpus, data)
    partial = out.parent / f".{out.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        info = _make(corpus, data, partial, _cores() if workers is None else workers)
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return info


def _make(corpus: params.Corpus, data: Path, folder: Path, workers: int) -> dict:
    raws = raw.read(corpus.source, data)
    notes = raws.notes if isinstance(raws, raw.Noted) else []
    for note in notes:
        log.info("prepare: %s", note)
    everything = _examine_all(corpus, raws, folder / "audio", workers)
    _require_splits(corpus, everything)
    for affected in compare(lambda: (utterance for utterance in everything if utterance.is_kept), corpus.checks):
        _stop_at_worst(affected)
        for utterance in affected:
            if not utterance.is_kept:
                (folder / "audio" / utterance.split / f"{utterance.id}.flac").unlink()
    kept, dropped = ([utterance for utterance in everything if utterance.is_kept is wanted] for wanted in (True, False))
    _require_kept(corpus, everything, kept)
    info = _write(corpus, folder, kept, dropped, notes)
    log.info("prepare: %s%s", _kept_and_dropped(kept, dropped), _reported(kept))
    return info


def _kept_and_dropped(kept: list[Examined], dropped: list[Examined]) -> str:
    """45 utterances kept, 2 dropped (train 40 and 2, dev 3 and 0, test 2 and 0)."""
    counts = [Counter(utterance.split for utterance in utterances) for utterances in (kept, dropped)]
    parts = (f"{split} {count:,} and {counts[1][split]:,}" for split, count in counts[0].items())
    return f"{len(kept):,} utterances kept, {len(dropped):,} dropped ({', '.join(parts)})"


def _examine_all(corpus: params.Corpus, raws: Iterable[raw.Raw], audio_folder: Path, workers: int) -> list[Examined]:
    """Every utterance of the source, examined, in the source's order."""
    everything: list[Examined] = []
    names: set[tuple[str, str]] = set()
    with Progress("prepare", length_hint(raws), "utterances checked") as progress:
        chunks = _in_processes(raws, corpus, audio_folder, workers) if workers else _here(raws, corpus, audio_folder)
        for chunk in chunks:
            for utterance in chunk:
                name = (utterance.split, utterance.id)
                if name in names:
                    raise BigfootError(f"two utterances of {name[0]} are called {name[1]}: give them ids of their own")
                names.add(name)
            _stop_at_worst(chunk)
            everything += chunk
            progress.advance(len(chunk))
    return everything


def _here(raws: Iterable[raw.Raw], corpus: params.Corpus, audio_folder: Path) -> Iterator[list[Examined]]:
    for chunk in _chunks(raws):
        yield _examine_chunk(chunk, corpus, audio_folder)


def _in_processes(raws: Iterable[raw.Raw], corpus: params.Corpus, audio_folder: Path, workers: int) -> Iterator[list[Examined]]:
    """Chunks in order, with at most 4 per worker under way, so that a streaming source is never read far ahead.

    Workers are spawned, not forked: a source may have started threads, and a fork of them can hang.
    """
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), end_with_pool)
    under_way: deque = deque()
    try:
        for chunk in _chunks(raws):
            under_way.append(pool.submit(_examine_chunk, chunk, corpus, audio_folder))
            if len(under_way) >= 4 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except BrokenProcessPool:
        raise BigfootError("a worker of prepare died, most likely for lack of memory: run it again on fewer cores") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _examine_chunk(chunk: list[raw.Raw], corpus: params.Corpus, audio_folder: Path) -> list[Examined]:
    for split in {utterance.split for utterance in chunk}:
        (audio_folder / split).mkdir(parents=True, exist_ok=True)
    channel = channel_of(corpus)
    return [
        examine(piece, corpus, audio_folder) for utterance in chunk for piece in pauses.cut(utterance, corpus.limits, channel)
    ]


def _chunks(raws: Iterable[raw.Raw]) -> Iterator[list[raw.Raw]]:
    iterator = iter(raws)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _stop_at_worst(examined: list[Examined]) -> None:
    """Raise BigfootError where a finding's severity is stop."""
    stopping = [utterance for utterance in examined if utterance.fate == "stop"]
    if stopping:
        first = stopping[0]
        more = f" (and {len(stopping) - 1} more)" if len(stopping) > 1 else ""
        raise BigfootError(
            f"{first.split}/{first.id}: {first.because.why}{more}: "
            f"correct the data, or set corpus.checks.{first.because.check} to drop"
        )


def _require_splits(corpus: params.Corpus, everything: list[Examined]) -> None:
    splits = {utterance.split for utterance in everything}
    for split, exists in (("train", "train" in splits), ("dev", "dev" in splits), ("test", test_sets(splits))):
        if not exists:
            raise BigfootError(f"corpus {corpus.name} has no {split} split: {corpus.data} gave none, see corpus.source")


def _require_kept(corpus: params.Corpus, everything: list[Examined], kept: list[Examined]) -> None:
    for split in dict.fromkeys(utterance.split for utterance in everything):
        if any(utterance.split == split for utterance in kept):
            continue
        findings = [utterance.because for utterance in everything if utterance.split == split]
        counts = ", ".join(f"{n} {check}" for check, n in Counter(f.check for f in findings).most_common())
        raise BigfootError(
            f"corpus {corpus.name}: all {len(findings)} utterances of {split} are dropped ({counts}), "
            f"the first because {findings[0].why}: correct the data, or see corpus.checks and corpus.limits"
        )
    for split in dict.fromkeys(utterance.split for utterance in kept):
        if split != UNLABELLED and not any(utterance.text for utterance in kept if utterance.split == split):
            raise BigfootError(f"corpus {corpus.name}: no utterance of {split} has words, so nothing can be scored: add some")


def _reported(kept: list[Examined]) -> str:
    """ "; kept with a finding: 3 beyond_alphabet, 1 unspellable"; "" where no utterance has one."""
    counts = Counter(finding.check for utterance in kept for finding in utterance.findings)
    return f"; kept with a finding: {', '.join(f'{n:,} {check}' for check, n in counts.most_common())}" if counts else ""


def _write(corpus: params.Corpus, folder: Path, kept: list[Examined], dropped: list[Examined], notes: list[str]) -> dict:
    splits: dict[str, list[Utterance]] = {}
    for row in kept:
        path = f"audio/{row.split}/{row.id}.flac"
        splits.setdefault(row.split, []).append(Utterance(row.id, path, row.text, row.speaker, row.seconds, row.recording))
    for split, utterances in splits.items():
        write_manifest(folder / f"{split}.jsonl", utterances)
    with (folder / "dropped.jsonl").open("w", encoding="utf-8") as file:
        for row in dropped:
            line = {"id": row.id, "split": row.split, "check": row.because.check, "why": row.because.why}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    info: dict = {
        "name": corpus.name,
        "source": corpus.source.kind,
        "synthetic": corpus.source.kind == "synthetic",
        "about": raw.about(corpus.source),
        "notes": notes,
        "license": corpus.license,
        "language": corpus.language,
        "objective": corpus.objective,
        "text": asdict(corpus.text),
        "alphabet": alphabet(utterance.text for utterance in splits["train"]),
        "word_gaps": has_word_gaps(utterance.text for utterance in splits["train"]),
        "splits": {split: _size(utterances) for split, utterances in splits.items()},
        "dropped": len(dropped),
        "audio": _digest(kept),
        "leaks": leaks(kept),
        "rates": rates(kept),
    }
    (folder / "corpus.json").write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if note := report.gaps_note(corpus, folder):
        log.warning("prepare: %s", note)
    if note := report.rates_note(info["rates"]):
        log.warning("prepare: %s", note)
    report.write(folder / "report", info, splits, kept, dropped, corpus.checks)
    return info


def _digest(kept: list[Examined]) -> str:
    """One hash of all audio, so that corpus.json changes, and with it what depends on it, when only audio has changed."""
    digest = blake2b(digest_size=16)
    for utterance in kept:
        digest.update(f"{utterance.split}/{utterance.id} ".encode() + utterance.digest)
    return digest.hexdigest()


def _size(utterances: list[Utterance]) -> dict:
    """Counts of a split; speakers is null where none is known."""
    return {
        "utterances": len(utterances),
        "seconds": round(sum(utterance.duration for utterance in utterances), 3),
        "speakers": len({utterance.speaker for utterance in utterances} - {""}) or None,
        "words": sum(len(utterance.text.split()) for utterance in utterances),
    }
