"""Tables of audio files and their texts, in the formats that teams have: the source for your own speech (docs/recordings.md).

What a table is follows from its name. Its rows are brought to our names (columns.py), their files are found (paths.py), and the
splits come from one table each, from a column, or are drawn (splitting.py).
"""

import functools
import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.params import FolderSource
from pipeline.prepare import cuts, kaldi, splitting, tables
from pipeline.prepare.columns import Entry, entries
from pipeline.prepare.paths import Finder
from pipeline.prepare.raw import Noted, Raw
from pipeline.speech.corpus import UNLABELLED

ABOUT = "Speech from manifests of audio files and their texts."


def read(source: FolderSource, data: Path) -> Noted:
    """The utterances of all splits: train, dev, the test sets, and those without text.

    Raises BigfootError, with file and line, where a table is absent, can't be parsed or lacks a column.
    """
    if not data.is_dir():
        raise BigfootError(f"{data} is missing: put the manifests and audio there, or set corpus.data to where they are")
    finder, note = Finder(data), ""
    if source.manifest:
        raws, note = _from_one_table(source, finder)
    else:
        raws = [raw for split, name in source.splits.items() for raw in _table(source, finder, name, split)]
    if source.unlabelled:
        raws += _table(source, finder, source.unlabelled, UNLABELLED)
    return Noted(_with_recordings(raws), [note, *_notes_on_paths(finder)])


def _with_recordings(raws: list[Raw]) -> list[Raw]:
    """The utterances, of which a whole file belongs to the recording of its segments, if there are any."""
    real = functools.cache(os.path.realpath)  # of folders, as in `_raws`

    def file(raw: Raw) -> str:
        assert isinstance(raw.audio, Path)
        return os.path.join(real(raw.audio.parent), raw.audio.name)

    recordings = {file(raw): raw.recording for raw in raws if raw.offset is not None}
    if not recordings:
        return raws
    return [raw if raw.recording else replace(raw, recording=recordings.get(file(raw), "")) for raw in raws]


def _notes_on_paths(finder: Finder) -> Iterator[str]:
    if finder.turned:
        yield f"Backslashes of {finder.turned:,} audio paths were read as slashes."
    if outside := len(finder.outside):
        yield (
            f"{outside:,} audio files are outside {finder.data}, where DVC doesn't see them change: after a change run "
            "`dvc repro --force prepare`."
        )


def one_table(source: FolderSource, data: Path, split: str) -> list[Raw]:
    """The utterances of `source.manifest`, all of them in this split."""
    assert source.manifest is not None
    return _table(source, Finder(data), source.manifest, split)


def _from_one_table(source: FolderSource, finder: Finder) -> tuple[list[Raw], str]:
    assert source.manifest is not None
    if source.split:
        return splitting.draw(_with_recordings(_table(source, finder, source.manifest, "")), source.split)
    rows = _entries(source, finder.data / source.manifest, ("audio", "text", "split"))
    splits = {unicodedata.normalize("NFC", theirs): ours for ours, theirs in source.splits.items()}
    raws = _raws([row for row in rows if row.split in splits], source, finder, source.manifest, splits)
    raws.sort(key=lambda raw: list(splits.values()).index(raw.split))
    others = Counter(row.split for row in rows if row.split not in splits)
    named = ", ".join(f"{name or 'none'} {count:,}" for name, count in others.most_common())
    note = f"Rows of {source.manifest} in splits that corpus.source doesn't name were left out: {named}."
    return raws, note if others else ""


def _table(source: FolderSource, finder: Finder, name: str, split: str) -> list[Raw]:
    """The utterances of a table that is one split."""
    rows = _entries(source, finder.data / name, ("audio",) if split == UNLABELLED else ("audio", "text"))
    return _raws(rows, source, finder, name, {"": split})


def _entries(source: FolderSource, path: Path, required: Collection[str]) -> list[Entry]:
    if path.is_dir():
        rows = kaldi.rows(path, "text" in required)
    elif path.name.lower().endswith(".jsonl.gz"):
        rows = cuts.rows(path)
    else:
        rows = tables.rows(path)
    return list(entries(rows, source.columns, required))


def _raws(rows: list[Entry], source: FolderSource, finder: Finder, table: str, splits: dict[str, str]) -> list[Raw]:
    """Rows as utterances. The segments of a file follow each other, so that each worker decodes it once at most."""
    base = _base(rows, source, finder, finder.data / table)
    files = [finder.find(base, row.audio) for row in rows]
    names = _names(dict.fromkeys(path for path, _ in files), base)
    # Folders without links; of a file the own name counts, since DVC links files to its cache.
    real = {parent: Path(os.path.realpath(parent)) for parent in {finder.data, *(path.parent for path in names)}}
    own = {path: real[path.parent] / path.name for path in names}
    finder.outside |= {path for path in own.keys() - finder.missing if not own[path].is_relative_to(real[finder.data])}
    places = {path: os.path.splitext(_below(own[path], real[finder.data]))[0] for path in names}
    order = list(range(len(rows)))
    if any(row.offset is not None for row in rows):
        first = {path: number for number, path in enumerate(names)}
        order.sort(key=lambda number: first[files[number][0]])
    return [_raw(rows[n], *files[n], names[files[n][0]], places[files[n][0]], splits[rows[n].split]) for n in order]


def _raw(row: Entry, path: Path, instead: str, name: str, place: str, split: str) -> Raw:
    part = ("" if row.offset is None else f"-{row.offset:.3f}") + ("" if row.channel is None else f"-ch{row.channel + 1}")
    own_id, recording = row.id or name + part, row.recording or (place if part or split == UNLABELLED else "")
    return Raw(own_id, split, path, row.text, row.speaker, row.duration, recording, row.offset, instead, row.channel)


def _base(rows: list[Entry], source: FolderSource, finder: Finder, table: Path) -> Path:
    """What audio paths are relative to: the table's folder; for Kaldi and lhotse `data`, if the first one found is there."""
    data = finder.data
    if source.audio_folder is not None:
        if not (data / source.audio_folder).is_dir():
            raise BigfootError(f"{data / source.audio_folder} is missing: see corpus.source.audio_folder")
        return data / source.audio_folder
    beside = table if table.is_dir() else table.parent
    if not table.is_dir() and table.suffix != ".gz":
        return beside
    return next((folder for row in rows for folder in (beside, data) if finder.found(folder, row.audio)), data)


def _names(paths: Collection[Path], base: Path) -> dict[Path, str]:
    """{file: its name without suffix, with its folders where two files of this name are in the table}."""
    stems = Counter(path.stem for path in paths)
    return {path: path.stem if stems[path.stem] == 1 else os.path.splitext(_below(path, base))[0] for path in paths}


def _below(path: Path, folder: Path) -> str:
    """A path relative to a folder that it is in, else as it is."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
