"""One plain manifest per split, JSONL or CSV: the format for your own speech.

Each line is one utterance. `audio` is a path relative to the manifest, `text` its transcript. Optional: `speaker`, `duration`
(s; audio that is much shorter counts as truncated), `recording` (what several utterances were cut from) and `id` (by default
made from the audio's name). Other keys are ignored.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.params import FolderSource
from pipeline.prepare.raw import Raw

ABOUT = "Speech from manifests of audio files and their texts."


def read(source: FolderSource, data: Path) -> list[Raw]:
    """The utterances of all manifests.

    Raises BigfootError, with file and line, where a manifest is absent, can't be parsed or lacks a column.
    """
    if not data.is_dir():
        raise BigfootError(f"{data} is missing: put the manifests and audio there, or set corpus.data to where they are")
    manifests = {"train": source.train, "dev": source.dev, **source.test}
    return [raw for split, name in manifests.items() for raw in _utterances(split, data / name)]


def _utterances(split: str, path: Path) -> list[Raw]:
    rows = list(_rows(path))
    stems = Counter(Path(row["audio"]).stem for _, row in rows)
    return [_raw(split, path, line, row, stems) for line, row in rows]


def _raw(split: str, path: Path, line: int, row: dict, stems: Counter) -> Raw:
    audio = Path(row["audio"])
    name = row.get("id") or (audio.stem if stems[audio.stem] == 1 else audio.with_suffix(""))
    duration = row.get("duration")
    try:
        seconds = float(duration) if duration not in (None, "") else None
    except (TypeError, ValueError):
        raise BigfootError(f"{path}, line {line}: duration {duration!r} is not a number of seconds") from None
    speaker, recording = ("" if row.get(column) is None else str(row[column]) for column in ("speaker", "recording"))
    return Raw(str(name), split, path.parent / audio, str(row["text"]), speaker, seconds, recording)


def _rows(path: Path) -> Iterator[tuple[int, dict]]:
    """Line numbers and rows; each row has a non-empty audio and a text."""
    if not path.is_file():
        raise BigfootError(f"{path} is missing: name the manifest of each split in corpus.source")
    try:
        for line, row in _parsers(path)(path):
            for column in ("audio", "text"):
                if row.get(column) is None or (column == "audio" and not isinstance(row[column], str)):
                    raise BigfootError(f"{path}, line {line} has no {column}: it has {', '.join(map(str, row)) or 'nothing'}")
            if not row["audio"]:
                raise BigfootError(f"{path}, line {line}: audio is empty, it should be a path relative to the manifest")
            yield line, row
    except UnicodeDecodeError:
        raise BigfootError(f"{path} is not UTF-8 text: is it a manifest?") from None


def _parsers(path: Path):
    return _csv if path.suffix.lower() == ".csv" else _jsonl


def _jsonl(path: Path) -> Iterator[tuple[int, dict]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise BigfootError(f"{path}, line {number} is not valid JSON: {error}") from None
            if not isinstance(row, dict):
                raise BigfootError(f"{path}, line {number} is not a JSON object: each line has to be one {{...}}")
            yield number, row


def _csv(path: Path) -> Iterator[tuple[int, dict]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, restkey="further columns")
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise BigfootError(f"{path}, line {reader.line_num} is not valid CSV: {error}") from None
