"""Transcripts of many recordings in one table, JSON Lines or Parquet by its suffix; a run that was stopped goes on.

Decision: whoever transcribes a recording writes its JSON as a file of its own below TABLE.parts, named after the variant, the
options, and the recording's name and version (size, time or ETag), so that a further run finds what still holds. At the end
the table is made of these files, in the order of the recordings: it has the same bytes, however often a run was stopped.
They are removed then, unless recordings failed, which a further run tries again alone.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import IO

from pipeline.apps.transcription import files, formats, outputs, run
from pipeline.apps.transcription.files import Channels, Failure, Recording
from pipeline.common.errors import BigfootError, Busy, one_line
from pipeline.common.numbers import counted
from pipeline.common.progress import Progress
from pipeline.project import Project
from pipeline.recognition import seal

ROWS = 1_000  # of a Parquet row group


def transcribe(
    model: str,
    names: Sequence[str],
    table: Path,
    project: Project,
    threads: int | None = None,
    workers: int = 1,
    channels: Channels = "mix",
    hot_words: Sequence[str] = (),
) -> bool:
    """Write the transcripts of all recordings that `names` name into `table`; returns whether every one has been made.

    Those that have none are listed, with the reasons, in TABLE's name with .failed.jsonl. The arguments, and what is raised,
    are those of `run.transcribe`; a table that can't be written is a BigfootError, too.
    """
    write = _writer(table)
    with ExitStack() as stack:
        recordings = _told_apart([_versioned(each) for each in files.find(names, stack)])
        folder = stack.enter_context(run.opened(model, project))
        mark = seal.mark(seal.read(folder)) or str(seal.mark({"files": seal.seal(folder)}))
        scratch = table.with_name(f"{table.name}.parts")
        stack.enter_context(_alone(table, scratch))
        parts = scratch / _hash(mark, channels, *hot_words)
        with outputs.errors_of(parts, "--out"):
            parts.mkdir(parents=True, exist_ok=True)
        wanted = {_part(parts, each): each for each in recordings if isinstance(each, Recording)}
        missing = {path: each for path, each in wanted.items() if not _is_whole(path)}
        if len(missing) < len(wanted):
            print(f"{table}: {len(wanted) - len(missing):,} of {len(wanted):,} recordings are done already", file=sys.stderr)
        progress = stack.enter_context(Progress("transcribe", run.total_seconds([*missing.values()]), "seconds of audio"))
        options = (channels, hot_words, threads, workers, progress.advance)
        results = stack.enter_context(closing(run.spread(partial(_keep, parts), folder, [*missing.values()], *options)))
        failed = {path: result for path, result in zip(missing, results, strict=True) if result}
        each_part = [each if isinstance(each, Failure) else _part(parts, each) for each in recordings]
        failures = [failed.get(each) if isinstance(each, Path) else each for each in each_part]
        done = [each for each, failure in zip(each_part, failures, strict=True) if isinstance(each, Path) and not failure]
        _replace(table, partial(write, (path.read_text(encoding="utf-8") for path in done)))
        lines = [formats.json_line({"file": each.name, "reason": each.reason}) for each in failures if each]
        _list_failures(table, lines, len(recordings))
        if not lines:
            shutil.rmtree(scratch)
    return not lines


@contextmanager
def _alone(table: Path, scratch: Path) -> Iterator[None]:
    """Keep other runs off a table's parts; raises Busy where another one is writing them."""
    from filelock import FileLock, Timeout

    with outputs.errors_of(scratch, "--out"):
        scratch.mkdir(parents=True, exist_ok=True)
        lock = FileLock(scratch / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise Busy(f"another run is writing {table}: wait for it, stop it, or give another --out") from None
    with lock:
        yield


def _keep(
    parts: Path, folder: Path, threads: int | None, channels: Channels, hot_words: Sequence[str], recording: Recording
) -> Failure | None:
    """Transcribe a recording into a file of its own, or return why that can't be done."""
    result = run.transcribed(folder, threads, channels, hot_words, recording)
    if isinstance(result, Failure):
        return result
    outputs.write(_part(parts, recording), formats.as_json(result), "--out")
    return None


def _versioned(recording: Recording | Failure) -> Recording | Failure:
    """A file of this machine, with what changes where its content does; all others have their store's word for it."""
    if isinstance(recording, Failure) or recording.url:
        return recording
    with suppress(OSError, ValueError):
        found = recording.path.stat()
        return replace(recording, version=f"{found.st_size} {found.st_mtime_ns}")
    return recording


def _told_apart(recordings: list[Recording | Failure]) -> list[Recording | Failure]:
    """Of addresses that are shown alike, since a password is all that differs, the version has the address."""
    urls: dict[str, set[str | None]] = {}
    for each in recordings:
        if isinstance(each, Recording):
            urls.setdefault(each.name, set()).add(each.url)
    return [
        replace(each, version=f"{each.version} {each.url}")
        if isinstance(each, Recording) and len(urls[each.name]) > 1
        else each
        for each in recordings
    ]


def _part(parts: Path, recording: Recording) -> Path:
    return parts / f"{_hash(recording.name, recording.version)}.json"


def _is_whole(part: Path) -> bool:
    """Whether a transcript is there. A power cut may leave a file empty, cut off, or full of zeros."""
    try:
        return isinstance(json.loads(part.read_bytes()), dict)
    except (OSError, ValueError):
        return False


def _hash(*texts: str) -> str:
    return blake2b(json.dumps(texts).encode(), digest_size=16).hexdigest()


def _list_failures(table: Path, lines: list[str], recordings: int) -> None:
    """Write their list beside the table, or remove that of an earlier run; say how many they are."""
    listed = table.with_name(f"{table.name}.failed.jsonl")
    if not lines:
        with outputs.errors_of(listed, "--out"):
            listed.unlink(missing_ok=True)
        return
    outputs.write(listed, "".join(lines), "--out")
    count = f"no transcript of {len(lines):,} of {counted(recordings, 'recording')}, {listed} says why"
    print(f"error: {one_line(count)}: the same command tries only these again", file=sys.stderr)


# ---------------------------------------------------------------- the table


def _writer(table: Path) -> Callable[[Iterator[str], IO[bytes]], None]:
    if table.is_dir():
        raise BigfootError(f"--out {table}: is a folder, where a table is to be written: choose another name")
    if table.suffix not in WRITERS:
        raise BigfootError(f"--out {table}: it becomes a table, so call it .jsonl or .parquet")
    return WRITERS[table.suffix]


def _jsonl(lines: Iterable[str], file: IO[bytes]) -> None:
    file.writelines(line.encode() for line in lines)


def _parquet(lines: Iterator[str], file: IO[bytes]) -> None:
    import pyarrow
    from pyarrow import parquet

    word = {"word": pyarrow.string(), "start": pyarrow.float64(), "end": pyarrow.float64(), "confidence": pyarrow.float64()}
    words = pyarrow.list_(pyarrow.struct({**word, "channel": pyarrow.int64()}))
    columns = {"file": pyarrow.string(), "duration": pyarrow.float64(), "text": pyarrow.string(), "words": words}
    schema = pyarrow.schema({**columns, "model": pyarrow.string()})
    with parquet.ParquetWriter(file, schema) as writer:
        while rows := [json.loads(line) for line in islice(lines, ROWS)]:
            for row in rows:  # a name that is not UTF-8 can't be a string of Parquet
                row["file"] = row["file"].encode("utf-8", "backslashreplace").decode()
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))


WRITERS = {".jsonl": _jsonl, ".parquet": _parquet}


def _replace(table: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write a table whole or not at all."""
    half_done = table.with_name(f"{table.name}.part")
    with outputs.errors_of(table, "--out"):
        with half_done.open("wb") as file:
            write(file)
        os.replace(half_done, table)
