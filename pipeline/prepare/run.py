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

from pipeline import params
from pipeline.common import engine
from pipeline.common.errors import BigfootError
from pipeline.common.progress import Progress
from pipeline.prepare import parts, raw, replacements, report
from pipeline.prepare.whole import Whole, refuse
from pipeline.speech.corpus import GATE, UNLABELLED, split_folder, test_sets
from pipeline.speech.scoring import has_word_gaps
from pipeline.speech.shards import SplitWriter, Utterance
from pipeline.speech.text import alphabet

log = logging.getLogger(__name__)


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
    notes = [*(raws.notes if isinstance(raws, raw.Noted) else []), *filter(None, [report.numbers_note(corpus)])]
    for note in notes:
        log.info("prepare: %s", note)
    whole = _examine_all(corpus, raws, scratch, workers)
    _require_splits(corpus, whole)
    if GATE not in whole.splits and len(whole.kept("dev")):
        notes.append(whole.cut_dev())
        log.info("prepare: %s", notes[-1])
    whole.check()
    _require_kept(corpus, whole)
    rules = {
        "language": corpus.language,
        "objective": corpus.objective,
        "text": asdict(corpus.text),
        "alphabet": alphabet(whole.texts("train")),
        "word_gaps": has_word_gaps(whole.texts("train")),
    }
    tally = report.Tally()
    sizes = _write_splits(folder, whole, tally, rules)
    info: dict = {
        "name": corpus.name,
        "source": corpus.source.kind,
        "synthetic": corpus.source.kind == "synthetic",
        "about": raw.about(corpus.source),
        "notes": notes,
        "license": corpus.license,
        **rules,
        "splits": sizes,
        "dropped": tally.dropped,
        "leaks": whole.leaks(),
        "rates": whole.rates(),
    }
    (folder / "corpus.json").write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if note := report.gaps_note(corpus, folder):
        log.warning("prepare: %s", note)
    if note := report.rates_note(info["rates"]):
        log.warning("prepare: %s", note)
    report.write(folder / "report", info, whole, tally, corpus.checks)
    log.info("prepare: %s", tally.line())
    return info


def _examine_all(corpus: params.Corpus, raws: Iterable[raw.Raw], scratch: Path, workers: int | None) -> Whole:
    """Every utterance of the source, examined, part by part in the source's order."""
    whole = Whole(corpus.checks)
    left = length_hint(raws)
    with Progress("prepare", left, "utterances checked") as progress:
        for path in engine.mapped(parts.make, parts.planned(raws, corpus, scratch), workers):
            examined = parts.read(path)
            if stopping := [utterance for utterance in examined if utterance.fate == "stop"]:
                refuse(f"{stopping[0].split}/{stopping[0].id}", stopping[0].because, len(stopping))
            whole.add(path, examined)
            done = min(parts.PART, left)  # of the source, which may be cut into more
            left -= done
            progress.advance(done)
    return whole


def _require_splits(corpus: params.Corpus, whole: Whole) -> None:
    """Raise BigfootError where a split that every corpus has, or that the source names, got nothing."""
    source, wanted = corpus.source, ["train", "dev"]
    if isinstance(source, params.FolderSource | params.LibriSpeechSource | params.HuggingFaceSource):
        named = {GATE: source.gate, UNLABELLED: source.unlabelled}
        wanted += [*(split for split, is_named in named.items() if is_named), *(source.test or ())]
    if not test_sets(whole.splits):
        wanted.append("test")
    for split in wanted:
        if split not in whole.splits:
            raise BigfootError(f"corpus {corpus.name} has no {split} split: {corpus.data} gave none, see corpus.source")


def _require_kept(corpus: params.Corpus, whole: Whole) -> None:
    for split in whole.splits:
        kept = whole.kept(split)
        if not len(kept):
            findings = [utterance.because for utterance, _ in whole.examined() if utterance.split == split]
            counts = ", ".join(f"{n} {check}" for check, n in Counter(f.check for f in findings).most_common())
            raise BigfootError(
                f"corpus {corpus.name}: all {len(findings)} utterances of {split} are dropped ({counts}), "
                f"the first because {findings[0].why}: correct the data, or see corpus.checks and corpus.limits"
            )
        if split != UNLABELLED and not kept["words"].any():
            raise BigfootError(f"corpus {corpus.name}: no utterance of {split} has words, so nothing can be scored: add some")


def _write_splits(folder: Path, whole: Whole, tally: report.Tally, rules: dict) -> dict[str, dict]:
    """The kept utterances as shards, the others as report/dropped.jsonl; returns the sizes of the splits, in order.

    UNLABELLED is written without rows too, since stages that learn from it depend on it.
    """
    writers = {split: SplitWriter(split_folder(folder, split)) for split in dict.fromkeys([*whole.splits, UNLABELLED])}
    (folder / "report").mkdir()
    with (folder / "report/dropped.jsonl").open("w", encoding="utf-8") as dropped:
        for row, flac in whole.examined():
            tally.add(row)
            if row.is_kept:
                writers[row.split].add(Utterance(row.id, row.text, row.speaker, row.seconds, row.recording), flac)
            else:
                line = {"id": row.id, "split": row.split, "check": row.because.check, "why": row.because.why}
                dropped.write(json.dumps(line, ensure_ascii=False) + "\n")
    sizes = {split: writer.close(rules) for split, writer in writers.items()}
    return {split: sizes[split] for split in whole.splits}
