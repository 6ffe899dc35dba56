"""What a source passes to `prepare`: utterances as they are in the source, before any check.

Every source module has one pure function `read(source, data) -> Iterable[Raw]`, listed here by the kind in params. It only
gives where audio is or how to make it: decoding and synthesis happen in the worker processes, on all cores.
"""

import random
import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.params import Source


class Recipe(Protocol):
    """Audio that has to be made first; it is sent to a worker process, so it has to be picklable."""

    @property
    def rate(self) -> int:
        """The rate in Hz of what it is made of."""

    @property
    def files(self) -> Sequence[Path]:
        """The files that it is made of."""

    def make(self) -> np.ndarray:
        """float32 [T] within [-1, 1], mono, 16 kHz. Raises AudioError where its ingredients can't be read."""


@dataclass(frozen=True)
class Raw:
    """An utterance of a source: audio is a file, the bytes of one, or a recipe; duration is what a manifest claims, in s.

    `recording` names the recording that several utterances were cut from: their errors are not independent. With an `offset`
    (s) the utterance is a segment of a file: it starts there and lasts for `duration`, or to the end where that is None.
    `channel`, counted from 0, is the one it is taken from; None: as corpus.channels says. `instead` names what lies in place of
    a file that is missing.
    """

    id: str
    split: str
    audio: Path | bytes | Recipe
    text: str
    speaker: str = ""
    duration: float | None = None
    recording: str = ""
    offset: float | None = None
    instead: str = ""
    channel: int | None = None


class Noted(list[Raw]):
    """Utterances, and sentences for the log and the data report on how their splits and files came about."""

    def __init__(self, raws: Iterable[Raw], notes: Iterable[str]):
        super().__init__(raws)
        self.notes = [note for note in notes if note]


LONGEST_NAME = 120  # bytes

_MODULES = {
    "synthetic": "pipeline.prepare.synthetic",
    "digits": "pipeline.prepare.digits",
    "folder": "pipeline.prepare.folder",
    "librispeech": "pipeline.prepare.librispeech",
    "huggingface": "pipeline.prepare.huggingface",
}


def read(source: Source, data: Path) -> Iterable[Raw]:
    """All utterances of any kind of source, train first, then dev, gate and the test sets."""
    return import_module(_MODULES[source.kind]).read(source, data)


def about(source: Source) -> str:
    """What this corpus is, to be shown beside its figures: its module's ABOUT, with the source's settings filled in."""
    return import_module(_MODULES[source.kind]).ABOUT.format(**source.model_dump())


def seeded(seed: int, *names: object) -> np.random.Generator:
    """Random numbers that depend on the seed and `names`, and on nothing else."""
    return np.random.default_rng([seed, zlib.crc32("/".join(map(str, names)).encode())])


def shuffled(items: Iterable, seed: int, *names: object) -> list:
    """The items in an order that depends on the seed and `names`, and on nothing else."""
    items = list(items)
    random.Random(f"{seed}/{'/'.join(map(str, names))}").shuffle(items)
    return items


def file_name(text: str) -> str:
    """A file name for any id or path: letters of any script, digits, dot, dash and underscore stay.

    All else becomes dashes, and a name that is too long is cut; then a hash of the whole keeps different ids apart.
    """
    text = unicodedata.normalize("NFC", text)  # an accent apart from its letter is no letter
    name = re.sub(r"[^\w.-]+", "-", text).strip("-.")
    if name == text and len(name.encode()) <= LONGEST_NAME:
        return name
    short = name.encode()[: LONGEST_NAME - 9].decode(errors="ignore")
    return f"{short or 'utterance'}-{zlib.crc32(text.encode()):08x}"
