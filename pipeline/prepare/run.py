"""prepare: source -> corpora/NAME. Check every utterance, write it resampled into the corpus, and list what was dropped.

Two passes: worker processes check the source part by part and write each part to `scratch`, so that a run that was killed, or
stopped at a fault, checks only what is left (see parts); then the checks of the corpus as a whole decide, and what is kept is
written as shards. The corpus is made in a folder beside `out` and renamed when complete, so `out` is never half a corpus.
"""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from operator import length_hint
from pathlib import Path
from typing import NamedTuple

from pipeline import params
from pipeline.common import engine
from pipeline.common.errors import BigfootError
from pipeline.common.progress import Progress
from pipeline.prepare import parts, raw, replacements, report
from pipeline.prepare.checks import Examined, compare, leaks, rates
from pipeline.speech.corpus import UNLABELLED, split_folder, test_sets
from pipeline.speech.scoring import has_word_gaps
from pipeline.speech.shards import SplitWriter, Utterance
from pipeline.speech.text import alphabet

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """A part of the source: its file, and its utterances."""

    path: Path
    utterances: list[Examined]


def prepare(corpus: params.Corpus, data: Path, out: Path, scratch: Path, workers: int | None = None) -> dict:
    """Make the corpus in `out` from the source in `data`, and return its corpus.json.

    `scratch` keeps what is checked until the corpus is complete; `workers` as for `engine.mapped`. Raises BigfootError where
    the source can't be read, a check whose severity is stop fails, or a split ends up empty.
    """
    corpus = replacements.resolved(corpus, data)
    partial = out.parent / f".{out.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        info = _make(corpus, data, partial, scratch, workers)
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(scratch)
    return info


def _make(corpus: params.Corpus, data: Path, folder: Path, scratch: Path, workers: int | None) -> dict:
    raws = raw.read(corpus.source, data)
    notes = raws.notes if isinstance(raws, raw.Noted) else []
    for note in notes:
        log.info("prepare: %s", note)
    examined = _examine_all(corpus, raws, scratch, workers)
    everything = [utterance for part in examined for utterance in part.utterances]
    _require_splits(corpus, everything)
    for affected in compare(lambda: (utterance for utterance in everything if utterance.is_kept), corpus.checks):
        _stop_at_worst(affected)
    kept, dropped = ([utterance for utterance in everything if utterance.is_kept is wanted] for wanted in (True, False))
    _require_kept(corpus, everything, kept)
    info = _write(corpus, folder, examined, kept, dropped, notes)
    log.info("prepare: %s%s", _kept_and_dropped(kept, dropped), _reported(kept))
    return info


def _kept_and_dropped(kept: list[Examined], dropped: list[Examined]) -> str:
    """45 utterances kept, 2 dropped (train 40 and 2, dev 3 and 0, test 2 and 0)."""
    counts = [Counter(utterance.split for utterance in utterances) for utterances in (kept, dropped)]
    parts = (f"{split} {count:,} and {counts[1][split]:,}" for split, count in counts[0].items())
    return f"{len(kept):,} utterances kept, {len(dropped):,} dropped ({', '.join(parts)})"


def _examine_all(corpus: params.Corpus, raws: Iterable[raw.Raw], scratch: Path, workers: int | None) -> list[Part]:
    """Every utterance of the source, examined, part by part in the source's order."""
    examined: list[Part] = []
    names: set[tuple[str, str]] = set()
    with Progress("prepare", length_hint(raws), "utterances checked") as progress:
        for path in engine.mapped(parts.make, parts.planned(raws, corpus, scratch), workers):
            part = Part(path, parts.read(path))
            for utterance in part.utterances:
                name = (utterance.split, utterance.id)
                if name in names:
                    raise BigfootError(f"two utterances of {name[0]} are called {name[1]}: give them ids of their own")
                names.add(name)
            _stop_at_worst(part.utterances)
            examined.append(part)
            progress.advance(len(part.utterances))
    return examined


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


def _write(
    corpus: params.Corpus, folder: Path, examined: list[Part], kept: list[Examined], dropped: list[Examined], notes: list[str]
) -> dict:
    train = [utterance.text for utterance in kept if utterance.split == "train"]
    rules = {
        "language": corpus.language,
        "objective": corpus.objective,
        "text": asdict(corpus.text),
        "alphabet": alphabet(train),
        "word_gaps": has_word_gaps(train),
    }
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
        **rules,
        "splits": _write_splits(folder, examined, rules),
        "dropped": len(dropped),
        "leaks": leaks(kept),
        "rates": rates(kept),
    }
    (folder / "corpus.json").write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if note := report.gaps_note(corpus, folder):
        log.warning("prepare: %s", note)
    if note := report.rates_note(info["rates"]):
        log.warning("prepare: %s", note)
    report.write(folder / "report", info, kept, dropped, corpus.checks)
    return info


def _write_splits(folder: Path, examined: list[Part], rules: dict) -> dict[str, dict]:
    """The kept utterances as shards; returns the sizes of the splits that have any, in the source's order.

    UNLABELLED is written without rows too, since stages that learn from it depend on it.
    """
    writers: dict[str, SplitWriter] = {}
    for part in examined:
        for row, flac in zip(part.utterances, parts.audio(part.path), strict=True):
            if row.is_kept:
                if row.split not in writers:
                    writers[row.split] = SplitWriter(split_folder(folder, row.split))
                writers[row.split].add(Utterance(row.id, row.text, row.speaker, row.seconds, row.recording), flac)
    sizes = {split: writer.close(rules) for split, writer in writers.items()}
    if UNLABELLED not in writers:
        SplitWriter(folder / UNLABELLED).close(rules)
    return sizes
