"""Prepared corpora for tests, written and rewritten as `prepare` writes them."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from pipeline.speech import audio
from pipeline.speech.corpus import GATE, UNLABELLED, open_corpus, split_folder
from pipeline.speech.shards import SplitWriter, Utterance
from pipeline.speech.text import alphabet

Row = tuple[Utterance, np.ndarray | bytes]  # the audio as samples, or as a FLAC file
RULES = {"language": "en", "objective": "wer", "text": {}, "word_gaps": True}


def write(folder: Path, splits: Mapping[str, Iterable[Row]], **facts: object) -> Path:
    """A corpus of these rows, without unlabelled audio where there is none; `facts` for corpus.json, or in place of RULES.

    Gate has dev's rows where it is not given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    splits = {split: list(rows) for split, rows in splits.items()}
    if "dev" in splits:
        splits.setdefault(GATE, splits["dev"])
    letters = alphabet(utterance.text for utterance, _ in splits.get("train", []))
    rules = RULES | {"alphabet": letters} | {key: facts[key] for key in (*RULES, "alphabet") if key in facts}
    sizes = {split: write_split(folder, split, rows, rules) for split, rows in splits.items()}
    if UNLABELLED not in splits:
        write_split(folder, UNLABELLED, [], rules)
    info = {"name": folder.name, "synthetic": True, "license": "CC0-1.0", **rules, "splits": sizes, **facts}
    (folder / "corpus.json").write_text(json.dumps(info))
    (folder / "report").mkdir(exist_ok=True)
    (folder / "report/dropped.jsonl").touch()
    return folder


def write_split(folder: Path, split: str, rows: Iterable[Row], rules: dict) -> dict:
    """One split anew; returns its sizes."""
    shutil.rmtree(split_folder(folder, split), ignore_errors=True)
    writer = SplitWriter(split_folder(folder, split))
    for utterance, sound in rows:
        writer.add(utterance, sound if isinstance(sound, bytes) else audio.flac(sound))
    return writer.close(rules)


def rows(folder: Path) -> dict[str, list[Row]]:
    """The rows of a corpus, by split, to be changed and written again."""
    corpus = open_corpus(folder)
    return {split: [(u, corpus.flac(u)) for u in corpus.utterances(split)] for split in corpus.splits}


def rewrite(folder: Path, change) -> None:
    """Write a corpus again after `change` has edited its rows; the rest of corpus.json stays."""
    corpus, splits = open_corpus(folder), rows(folder)
    facts = {key: value for key, value in corpus.info.items() if key not in ("splits", "name")}
    change(splits)
    write(folder, splits, **facts)
