"""The corpus on disk: one JSONL manifest per split, with one utterance per line, and the audio files beside it.

Manifests are plain JSONL instead of a binary table: people can read, grep and diff it, and 300,000 lines load in a second.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, Required, TypedDict

import numpy as np

from pipeline.common import shapes
from pipeline.common.errors import BigfootError
from pipeline.common.files import forced
from pipeline.speech import audio
from pipeline.speech.normalization import TextRules

COMMAND = "dvc repro prepare"  # what makes a corpus
UNLABELLED = "unlabelled"  # the split whose utterances have no text


class Size(TypedDict, total=False):
    """What corpus.json counts of a split; `speakers` is None where none is known."""

    utterances: int
    seconds: float
    speakers: int | None
    words: int


class Info(TypedDict, total=False):
    """The keys of corpus.json that are read. `alphabet`: of train's texts; `dropped`: how many utterances were left out."""

    name: str
    source: str
    synthetic: bool
    about: str
    notes: list[str]
    license: str
    language: str
    objective: Literal["wer", "cer"]
    text: TextRules
    alphabet: list[str]
    word_gaps: bool
    splits: Required[dict[str, Size]]
    dropped: int
    audio: str
    leaks: dict[str, dict[str, int]]


class Dropped(TypedDict):
    """A line of dropped.jsonl: an utterance that prepare left out, the check that it failed, and how."""

    id: str
    split: str
    check: str
    why: str


@dataclass(frozen=True)
class Utterance:
    """One line of a manifest: `audio` is a path relative to the manifest, `duration` is in seconds.

    `recording` names the longer recording that the utterance was cut from. "" means that speaker or recording is unknown.
    """

    id: str
    audio: str
    text: str
    speaker: str
    duration: float
    recording: str = ""


def read_manifest(path: Path) -> list[Utterance]:
    """All utterances of a manifest, in order.

    Raises BigfootError, with file and line number, where the file is missing or a line is not an utterance.
    """
    if not path.is_file():
        raise BigfootError(f"{path} is missing: run `{COMMAND}`")
    utterances = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                utterances.append(Utterance(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise BigfootError(f"{path}, line {number} is not an utterance ({error}): run `{COMMAND}`") from None
    return utterances


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest; `read_manifest` returns the same utterances."""
    with path.open("w", encoding="utf-8") as file:
        for utterance in utterances:
            # An unknown recording is left out, so that manifests without recordings keep their content and hash.
            row = {key: value for key, value in asdict(utterance).items() if key != "recording" or value}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


class AudioCorpus(Protocol):
    """What training and inference need of a corpus: a `Corpus`, or one that is derived from it."""

    @property
    def folder(self) -> Path: ...

    @property
    def info(self) -> dict: ...

    def utterances(self, split: str) -> list[Utterance]: ...

    def audio(self, utterance: Utterance) -> np.ndarray: ...


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus: `info` is corpus.json, `utterances` a split's manifest, `audio` an utterance's samples."""

    folder: Path

    @cached_property
    def info(self) -> dict:
        """corpus.json: name, source, license, language, objective, text rules, alphabet, sizes of splits, leaks ..."""
        return read_info(self.folder)

    @property
    def splits(self) -> list[str]:
        """train, dev, the test sets, and last, where there is one, the split without text."""
        return ["train", "dev", *self.test_sets, *({UNLABELLED} & set(self.info["splits"]))]

    @property
    def test_sets(self) -> list[str]:
        """The names of the test sets in the order of params; headline figures are of the first one."""
        return test_sets(self.info["splits"])

    def utterances(self, split: str) -> list[Utterance]:
        """The utterances of a split; raises BigfootError where the corpus has no such split."""
        if split not in self.info["splits"]:
            raise BigfootError(f"{self.folder} has no split {split}: it has {', '.join(self.splits)}")
        return read_manifest(self.folder / f"{split}.jsonl")

    def audio(self, utterance: Utterance) -> np.ndarray:
        """The samples of an utterance: float32 [T] within [-1, 1], mono, 16 kHz."""
        return audio.read(self.folder / utterance.audio)


def test_sets(splits: Iterable[str]) -> list[str]:
    """Those of a corpus's splits that are test sets, in their order."""
    return [split for split in splits if split not in ("train", "dev", UNLABELLED)]


def spread(items: list, count: int) -> list:
    """`count` items, evenly spaced, first and last included; all items where there are not more than `count`."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[index] for index in np.unique(chosen)]


def open_corpus(folder: Path | str) -> Corpus:
    """The prepared corpus in a folder; raises BigfootError where there is none."""
    corpus = Corpus(Path(folder))
    _ = corpus.info  # read at once, so that a missing corpus is named before any work
    return corpus


def read_info(folder: Path) -> dict:
    """corpus.json of a corpus's folder; raises BigfootError where it is missing or broken, or lacks dev or a test set."""
    info = shapes.read(folder / "corpus.json", Info, COMMAND)
    if "dev" not in info["splits"] or not test_sets(info["splits"]):
        raise BigfootError(f"{folder / 'corpus.json'} has no splits dev and test: run `{forced(COMMAND)}`")
    return info


def read_dropped(folder: Path, info: dict) -> list[dict]:
    """dropped.jsonl of a corpus's folder; raises BigfootError where it has not the lines that corpus.json (`info`) counts."""
    path, count = folder / "dropped.jsonl", info.get("dropped", 0)
    rows: list[dict] = [*shapes.read_lines(path, Dropped, COMMAND)] if count or path.is_file() else []
    if len(rows) != count:
        raise BigfootError(f"{path} has {len(rows)} lines where corpus.json counts {count}: run `{forced(COMMAND)}`")
    return rows
