"""A prepared corpus: corpus.json, which describes it, and one folder per split, which `shards` reads and writes.

corpora/NAME/corpus.json  train/  dev/  gate/  test/SET/ for each test set  unlabelled/  report/

train teaches, dev chooses (checkpoints, what stays in float), gate judges (whether a variant keeps the budget), and no decision
reads a test set. What chose on its words can't judge on them too: the best of ten checkpoints looks better there than it is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, Required, TypedDict

import numpy as np

from pipeline.common import shapes
from pipeline.common.errors import BigfootError
from pipeline.common.files import forced
from pipeline.speech import audio
from pipeline.speech.normalization import TextRules
from pipeline.speech.shards import COMMAND, Size, Utterance, Utterances

GATE = "gate"  # the split that judges
UNLABELLED = "unlabelled"  # the split whose utterances have no text


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
    leaks: dict[str, dict[str, int]]


class Dropped(TypedDict):
    """A line of dropped.jsonl: an utterance that prepare left out, the check that it failed, and how."""

    id: str
    split: str
    check: str
    why: str


class AudioCorpus(Protocol):
    """What training and inference need of a corpus: a `Corpus`, or one that is derived from it."""

    @property
    def folder(self) -> Path: ...

    @property
    def rules(self) -> dict: ...

    def utterances(self, split: str) -> Sequence[Utterance]: ...

    def audio(self, utterance: Utterance) -> np.ndarray: ...


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus: `utterances` are the rows of a split, `audio` an utterance's samples.

    `info` describes all splits, so only a stage that depends on corpus.json may read it; `rules` are in every split.json.
    """

    folder: Path
    _opened: dict[str, Utterances] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def info(self) -> dict:
        """corpus.json: name, source, license, language, objective, text rules, alphabet, sizes of splits, leaks ..."""
        return read_info(self.folder)

    @cached_property
    def rules(self) -> dict:
        """What models have to know of the corpus: language, objective, text rules and the alphabet of the training text."""
        return self.utterances("train").info

    @property
    def splits(self) -> list[str]:
        """train, dev, gate, the test sets, and last, where there is one, the split without text."""
        return ["train", "dev", GATE, *self.test_sets, *({UNLABELLED} & set(self.info["splits"]))]

    @property
    def test_sets(self) -> list[str]:
        """The names of the test sets in the order of params; headline figures are of the first one."""
        return test_sets(self.info["splits"])

    def utterances(self, split: str) -> Utterances:
        """The utterances of a split; none of UNLABELLED where there is no such audio.

        Raises BigfootError where the corpus has no such split, or its folder is not here.
        """
        if split not in self._opened:
            self._opened[split] = Utterances(split_folder(self.folder, split))
        return self._opened[split]

    def flac(self, utterance: Utterance) -> bytes:
        """An utterance's audio as a FLAC file."""
        return self.utterances(utterance.split).flac(utterance.row)

    def audio(self, utterance: Utterance) -> np.ndarray:
        """The samples of an utterance: float32 [T] within [-1, 1], mono, 16 kHz."""
        try:
            return audio.read(self.flac(utterance))
        except audio.AudioError as error:
            where = split_folder(self.folder, utterance.split)
            raise BigfootError(f"{where}: the audio of {utterance.id} is damaged ({error}): run `{forced(COMMAND)}`") from None


def durations(utterances: Sequence[Utterance]) -> np.ndarray:
    """float64 [utterances], in seconds."""
    if hasattr(utterances, "durations"):
        return utterances.durations
    return np.array([utterance.duration for utterance in utterances])


def speakers_of(utterances: Sequence[Utterance]) -> np.ndarray:
    """int32 [utterances], each speaker's number; -1 where the speaker is unknown."""
    if hasattr(utterances, "speakers"):
        return utterances.speakers
    names = [utterance.speaker for utterance in utterances]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(filter(None, names)))}
    return np.array([numbers.get(name, -1) for name in names], np.int32)


def drawn(utterances: Sequence[Utterance], hours: float | None, seed: int) -> list[Utterance]:
    """Utterances in their order: all, or as many as fit in `hours` of audio, at least one, drawn by the seed."""
    seconds = durations(utterances)
    if hours is None or seconds.sum() <= 3600 * hours:
        return list(utterances)
    order = np.random.default_rng(seed).permutation(len(seconds))
    count = max(1, int(np.searchsorted(np.cumsum(seconds[order]), 3600 * hours, side="right")))
    return [utterances[row] for row in np.sort(order[:count]).tolist()]


def split_folder(corpus: Path, split: str) -> Path:
    """The folder of a split: the test sets share one, on which a stage that reads all of them can depend."""
    return corpus / "test" / split if test_sets([split]) else corpus / split


def test_sets(splits: Iterable[str]) -> list[str]:
    """Those of a corpus's splits that are test sets, in their order."""
    return [split for split in splits if split not in ("train", "dev", GATE, UNLABELLED)]


def scored_splits(splits: Iterable[str]) -> list[str]:
    """The splits on which a variant's errors are counted: dev, gate, and the test sets among `splits`."""
    return ["dev", GATE, *test_sets(splits)]


def spread(items: Sequence, count: int) -> list:
    """`count` items, evenly spaced, first and last included; all items where there are not more than `count`."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[index] for index in np.unique(chosen).tolist()]


def open_corpus(folder: Path | str) -> Corpus:
    """The prepared corpus in a folder; raises BigfootError where there is none."""
    if not Path(folder).is_dir():  # at once, so that a missing corpus is named before any work
        raise BigfootError(f"{folder} is missing: run `{COMMAND}`")
    return Corpus(Path(folder))


def read_info(folder: Path) -> dict:
    """corpus.json of a corpus's folder; raises BigfootError where it is missing or broken, or lacks dev, gate or a test set."""
    info = shapes.read(folder / "corpus.json", Info, COMMAND)
    if not {"dev", GATE} <= set(info["splits"]) or not test_sets(info["splits"]):
        raise BigfootError(f"{folder / 'corpus.json'} has no splits dev, gate and test: run `{forced(COMMAND)}`")
    return info


def read_dropped(folder: Path, info: dict) -> list[dict]:
    """report/dropped.jsonl of a corpus; raises BigfootError where it has not the lines that corpus.json (`info`) counts."""
    path, count = folder / "report/dropped.jsonl", info.get("dropped", 0)
    rows: list[dict] = [*shapes.read_lines(path, Dropped, COMMAND)] if count or path.is_file() else []
    if len(rows) != count:
        raise BigfootError(f"{path} has {len(rows)} lines where corpus.json counts {count}: run `{forced(COMMAND)}`")
    return rows
