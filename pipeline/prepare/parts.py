"""The parts of a corpus while it is made: the checked utterances of some of the source, with their audio, as Arrow files.

Decision: a part is what one worker process makes at a time, and what a run that was killed need not make again. Its name has a
hash of all that decides what is in it: the params, the code, and of each file its path, size and time of change.
"""

import json
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import params
from pipeline.common import graph
from pipeline.prepare import pauses
from pipeline.prepare.checks import Examined, Finding, channel_of, examine
from pipeline.prepare.raw import Raw
from pipeline.speech.shards import ROWS, SHARD_BYTES

if TYPE_CHECKING:
    import pyarrow as pa

PART = 128  # utterances of the source per part


def planned(raws: Iterable[Raw], corpus: params.Corpus, folder: Path) -> Iterator[tuple[list[Raw], params.Corpus, Path]]:
    """The arguments of `make` for each part of the source, in order."""
    settings = json.dumps(corpus.model_dump(mode="json"))  # unlike pydantic's own JSON, of any name that a file may have
    decides = graph.fingerprint("prepare", settings, []).encode()
    iterator = iter(raws)
    while chosen := list(islice(iterator, PART)):
        # Only hashed, never loaded.
        content = pickle.dumps([(raw, _changed(raw)) for raw in chosen])
        yield chosen, corpus, folder / f"{blake2b(decides + content, digest_size=16).hexdigest()}.arrow"


def make(raws: list[Raw], corpus: params.Corpus, path: Path) -> Path:
    """Check utterances, and write them with their findings and the audio of those that are kept; done before: nothing to do."""
    import pyarrow as pa

    if path.is_file():
        return path
    channel = channel_of(corpus)
    pieces = (piece for raw in raws for piece in pauses.cut(raw, corpus.limits, channel))
    partial = path.with_suffix(f".{os.getpid()}")
    with pa.ipc.new_file(str(partial), _schema()) as file:
        checked = (examine(piece, corpus) for piece in pieces)
        for rows in _batched({**asdict(utterance), "flac": flac} for utterance, flac in checked):
            file.write_batch(pa.RecordBatch.from_pylist(rows, schema=_schema()))
    partial.rename(path)
    return path


def _batched(rows: Iterable[dict]) -> Iterator[list[dict]]:
    """Batches of at most ROWS rows, and of fewer where their audio is as much as a shard's: a batch holds less than 2 GiB."""
    batch, size = list[dict](), 0
    for row in rows:
        batch.append(row)
        size += len(row["flac"])
        if len(batch) == ROWS or size >= SHARD_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read(path: Path) -> list[Examined]:
    """The utterances of a part, without their audio."""
    rows = (row for batch in _batches(path) for row in batch.drop_columns(["flac"]).to_pylist())
    return [_examined(**row) for row in rows]


def column(path: Path, name: str) -> list:
    """One column of a part."""
    return [value for batch in _batches(path) for value in batch.column(name).to_pylist()]


def audio(path: Path) -> Iterator[bytes]:
    """The FLAC files of a part's utterances, in the same order; b"" for those that `examine` dropped."""
    for batch in _batches(path):
        for flac in batch.column("flac"):
            yield flac.as_py()


def _examined(findings: list[dict], decisive: dict | None, **row) -> Examined:
    return Examined(**row, findings=[Finding(**f) for f in findings], decisive=Finding(**decisive) if decisive else None)


def _batches(path: Path) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
        for number in range(file.num_record_batches):
            yield file.get_batch(number)


def _changed(raw: Raw) -> list[tuple[int, int] | None]:
    """Size and time of the last change of each file that an utterance is made of; None for one that can't be read."""
    files = [] if isinstance(raw.audio, bytes) else [raw.audio] if isinstance(raw.audio, Path) else raw.audio.files
    found: list[tuple[int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
            found.append((status.st_size, status.st_mtime_ns))
        except (OSError, ValueError):  # `examine` says what is wrong with it
            found.append(None)
    return found


def _schema() -> "pa.Schema":
    import pyarrow as pa

    finding = pa.struct([("check", pa.string()), ("why", pa.string())])
    texts = [(name, pa.string()) for name in ("id", "split", "text", "speaker", "recording", "fate")]
    numbers = [("seconds", pa.float64()), ("rate", pa.int64()), ("digest", pa.binary())]
    return pa.schema([*texts, *numbers, ("findings", pa.list_(finding)), ("decisive", finding), ("flac", pa.binary())])
