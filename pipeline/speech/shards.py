"""A split of a corpus on disk: Arrow IPC files of about 500 MB with the utterances and their audio, and split.json.

Decision: one file per utterance is what DVC, file systems and object stores are slowest at, so utterances are rows of few
files. These are memory-mapped: a process holds 8 bytes per utterance, its duration, or 12 with its speaker's number, and all
processes share the rest.
`datasets.load_dataset("arrow", data_files="corpora/NAME/train/*.arrow")` opens them too. split.json has a digest of all rows,
so a stage that depends on it depends on texts and audio without DVC reading them once more.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Required, TypedDict, overload

import numpy as np

from pipeline.common import shapes
from pipeline.common.errors import BigfootError
from pipeline.common.files import forced, write_json
from pipeline.speech.audio import SAMPLE_RATE
from pipeline.speech.normalization import TextRules

if TYPE_CHECKING:
    import pyarrow as pa

COMMAND = "dvc repro prepare"  # what makes a corpus
ROWS = 128  # utterances per record batch
SHARD_BYTES = 500_000_000  # of FLAC, from which on a new shard is begun


class Size(TypedDict, total=False):
    """What is counted of a split; `speakers` is None where none is known. `digest` is of all its texts and audio."""

    utterances: Required[int]
    seconds: float
    speakers: int | None
    words: int
    digest: str


class SplitInfo(Size, total=False):
    """split.json: with the rows of each shard, and what models have to know of the corpus, its rules."""

    shards: Required[list[int]]
    language: str
    objective: Literal["wer", "cer"]
    text: TextRules
    alphabet: list[str]
    word_gaps: bool


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance, without its audio, which a corpus reads from row `row` of `split`; `duration` is in seconds.

    `recording` names the longer recording that the utterance was cut from. "" means that speaker or recording is unknown.
    """

    id: str
    text: str
    speaker: str
    duration: float
    recording: str = ""
    split: str = ""
    row: int = -1


class Utterances(Sequence[Utterance]):
    """The utterances of a split, read from its shards when they are asked for; a slice is a list.

    Raises BigfootError where split.json or a shard is missing or damaged.
    """

    def __init__(self, folder: Path):
        self.folder, self.split = folder, folder.name
        self.info = read_split(folder)
        self._ends = np.cumsum([0, *self.info["shards"]])
        self._shards: dict[int, pa.RecordBatchFileReader] = {}
        self._batch: tuple[int, int, pa.RecordBatch] | None = None

    def __reduce__(self):
        return Utterances, (self.folder,)  # another process maps the files itself

    def __len__(self) -> int:
        return int(self._ends[-1])

    @overload
    def __getitem__(self, at: int) -> Utterance: ...
    @overload
    def __getitem__(self, at: slice) -> list[Utterance]: ...
    def __getitem__(self, at):
        if isinstance(at, slice):
            return [self[row] for row in range(len(self))[at]]
        row = range(len(self))[at]
        batch, first = self._batch_of(row)
        return self._utterances(batch.slice(row - first, 1), row)[0]

    def __iter__(self) -> Iterator[Utterance]:
        for batch, first in self._batches():
            yield from self._utterances(batch, first)

    @cached_property
    def durations(self) -> np.ndarray:
        """float64 [utterances], in seconds."""
        parts = [batch.column("duration").to_numpy() for batch, _ in self._batches()]
        return np.concatenate(parts) if parts else np.zeros(0)

    @cached_property
    def speakers(self) -> np.ndarray:
        """int32 [utterances], each speaker's number; -1 where the speaker is unknown."""
        numbers = {"": -1}
        names = (name for batch, _ in self._batches() for name in batch.column("speaker").to_pylist())
        return np.fromiter((numbers.setdefault(name, len(numbers) - 1) for name in names), np.int32, len(self))

    def flac(self, row: int) -> bytes:
        """The audio of a row as a FLAC file: 16 kHz, mono, 16 bits."""
        batch, first = self._batch_of(row)
        return batch.column("audio").field("bytes")[row - first].as_py()

    def _utterances(self, batch: "pa.RecordBatch", first: int) -> list[Utterance]:
        names = ("id", "text", "speaker", "duration", "recording")
        columns = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
        described = (dict(zip(names, values, strict=True)) for values in columns)
        return [Utterance(**values, split=self.split, row=row) for row, values in enumerate(described, first)]

    def _batches(self) -> Iterator[tuple["pa.RecordBatch", int]]:
        for shard, count in enumerate(self.info["shards"]):
            for number in range(-(-count // ROWS)):
                yield self._read(shard, number), int(self._ends[shard]) + number * ROWS

    def _batch_of(self, row: int) -> tuple["pa.RecordBatch", int]:
        """The record batch that holds a row, and the row that the batch begins with."""
        shard = int(np.searchsorted(self._ends, row, side="right")) - 1
        number = (row - int(self._ends[shard])) // ROWS
        if self._batch is None or self._batch[:2] != (shard, number):
            self._batch = shard, number, self._read(shard, number)
        return self._batch[2], int(self._ends[shard]) + number * ROWS

    def _read(self, shard: int, number: int) -> "pa.RecordBatch":
        import pyarrow as pa

        path = shard_path(self.folder, shard)
        try:
            if shard not in self._shards:
                self._shards[shard] = pa.ipc.open_file(pa.memory_map(str(path)))
            return self._shards[shard].get_batch(number)
        except FileNotFoundError:
            raise BigfootError(f"{path} is missing: run `dvc checkout`, or `{COMMAND}`") from None
        except (pa.ArrowException, OSError) as error:
            raise BigfootError(f"{path} is damaged ({' '.join(str(error).split())}): run `{forced(COMMAND)}`") from None


class SplitWriter:
    """Writes a split: rows in the order in which they are added, then, by `close`, split.json."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True)
        self.folder = folder
        self._digest = blake2b(digest_size=16)
        self._seconds, self._words, self._speakers = 0.0, 0, {""}
        self._shards: list[int] = []  # the rows of each
        self._pending: list[list] = []  # rows of the next batch
        self._file: pa.RecordBatchWriter | None = None
        self._bytes = 0  # of audio in that file

    def add(self, utterance: Utterance, flac: bytes) -> None:
        """Add an utterance with its audio, a FLAC file as `audio.flac` makes it; its split and row are given by its place."""
        row = [utterance.id, utterance.text, utterance.speaker, utterance.recording, utterance.duration]
        self._digest.update(json.dumps(row).encode() + blake2b(flac, digest_size=16).digest())
        self._seconds += utterance.duration
        self._words += len(utterance.text.split())
        self._speakers.add(utterance.speaker)
        self._bytes += len(flac)
        self._pending.append([utterance.id, {"bytes": flac, "path": f"{utterance.id}.flac"}, *row[1:]])
        is_full = self._bytes >= SHARD_BYTES  # a batch can't hold 2 GiB, and only a shard's last one may have fewer than ROWS
        if is_full or len(self._pending) == ROWS:
            self._flush()
        if is_full:
            self._end_shard()

    def close(self, rules: dict) -> dict:
        """Finish the split; `rules` are what models have to know of the corpus (language, text ...). Returns its sizes."""
        self._flush()
        self._end_shard()
        sizes = {
            "utterances": sum(self._shards), "seconds": round(self._seconds, 3), "speakers": len(self._speakers - {""}) or None,
            "words": self._words, "digest": self._digest.hexdigest(),
        }  # fmt: skip
        write_json(self.folder / "split.json", {**sizes, "shards": self._shards, **rules})
        return sizes

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._pending:
            return
        if self._file is None:
            self._file = pa.ipc.new_file(str(shard_path(self.folder, len(self._shards))), _schema())
            self._shards.append(0)
        columns = zip(*self._pending, strict=True)
        arrays = [pa.array(values, kind.type) for values, kind in zip(columns, _schema(), strict=True)]
        self._file.write_batch(pa.record_batch(arrays, schema=_schema()))
        self._shards[-1] += len(self._pending)
        self._pending = []

    def _end_shard(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._bytes = None, 0


def read_split(folder: Path) -> dict:
    """split.json of a split's folder; raises BigfootError where it is missing or damaged."""
    info = shapes.read(folder / "split.json", SplitInfo, COMMAND)
    if min(info["shards"], default=1) < 1 or sum(info["shards"]) != info["utterances"]:
        raise BigfootError(f"{folder / 'split.json'} counts other rows in its shards than utterances: run `{forced(COMMAND)}`")
    return info


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.arrow"


def _schema() -> "pa.Schema":
    """The columns, and the same as `datasets` describes them, so that it decodes the audio."""
    import pyarrow as pa

    audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    texts = {"id": pa.string(), "text": pa.string(), "speaker": pa.string(), "recording": pa.string()}
    kinds = {"id": texts.pop("id"), "audio": audio, **texts, "duration": pa.float64()}
    features: dict[str, dict] = {name: {"dtype": str(kind), "_type": "Value"} for name, kind in kinds.items()}
    features |= {"audio": {"sampling_rate": SAMPLE_RATE, "_type": "Audio"}, "duration": {"dtype": "float64", "_type": "Value"}}
    return pa.schema(list(kinds.items()), {"huggingface": json.dumps({"info": {"features": features}})})
