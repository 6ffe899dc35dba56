"""The rows of one table: JSON lines (.jsonl, .json), CSV (comma, or semicolon as Excel writes it) and TSV without quoting.

Decision: a cell with a line break is refused. A quote that is opened in one row and closed some rows on gives such a cell, with
the right number of columns, and the rows between would vanish. In TSV, as of Common Voice, a quote is a character like any
other.
"""

import csv
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pipeline.common.errors import BigfootError

Rows = Iterator[tuple[str, dict]]  # ("data/train.csv, line 2", {column: value})
SUFFIXES = {".jsonl", ".json", ".csv", ".tsv"}
TAKEN = ".jsonl or .json (one object per line), .csv, .tsv, a Kaldi data folder, or lhotse's cuts (.jsonl.gz)"


def rows(path: Path) -> Rows:
    """Where each row is, and its values by column; strings in CSV and TSV, any JSON value in JSON lines.

    Raises BigfootError, with file and line, where the table is of another kind, is not UTF-8, or has a row that can't be read.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BigfootError(f"{path} is not a known kind of manifest by its name: it has to be {TAKEN}")
    if not path.is_file():
        raise BigfootError(f"{path} is missing: name the manifest of each split in corpus.source")
    _refuse_utf16(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _json_lines(path, file) if suffix in (".jsonl", ".json") else _cells(path, file, suffix == ".tsv")
    except UnicodeDecodeError:
        raise BigfootError(f"{path} is not UTF-8 text: is it a manifest? If so, save it as UTF-8") from None


def _refuse_utf16(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(64)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head:
        raise BigfootError(f"{path} is not UTF-8 but UTF-16, or not text: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)")


def _json_lines(path: Path, lines: TextIO) -> Rows:
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        if number == 1 and line.lstrip().startswith("[") and _ends_with(path, b"]"):
            raise BigfootError(f"{path} is one JSON array: write an object per line (`jq -c '.[]' {path.name}` does)")
        try:
            row = json.loads(line, object_pairs_hook=_once)
        except RecursionError:
            raise BigfootError(f"{where} is nested too deeply: each line has to be one flat {{...}}") from None
        except _Twice as error:
            raise BigfootError(f"{where}: two values are called {error}") from None
        except ValueError as error:
            raise BigfootError(f"{where} is not valid JSON: {error}") from None
        if not isinstance(row, dict):
            raise BigfootError(f"{where} is not a JSON object: each line has to be one {{...}}")
        yield where, row


def _ends_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(-min(64, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return file.read().rstrip().endswith(mark)


class _Twice(Exception):
    """A key that an object has twice."""


def _once(pairs: list[tuple[str, object]]) -> dict:
    """A JSON object, whose last value for a key would win in silence."""
    row: dict = {}
    for key, value in pairs:
        if key in row:
            raise _Twice(key)
        row[key] = value
    return row


def _cells(path: Path, lines: TextIO, is_tsv: bool) -> Rows:
    """The rows of CSV or TSV; those without anything in a cell are passed over."""
    if is_tsv:
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines, delimiter=_delimiter(path, lines), strict=True)
    header: list[str] = []
    for where, cells in _whole(path, reader):
        if not header:
            header = [cell.strip() for cell in cells]
            if is_tsv and all(len(name) > 1 and name[0] == name[-1] == '"' for name in header):
                raise BigfootError(f"{where} has its names in quotes, which are characters in a .tsv: save it as .csv")
            if header[0].startswith("sep="):
                raise BigfootError(f"{where} tells Excel what separates cells: remove this line")
            if "" in header:
                raise BigfootError(f"{where}: column {header.index('') + 1} has no name: name it, or remove it from all rows")
            if twice := {name for name in header if header.count(name) > 1}:
                raise BigfootError(f"{where}: two columns are called {', '.join(sorted(twice))}")
        elif len(cells) != len(header):
            raise BigfootError(f"{where} has {len(cells)} cells where the header has {len(header)}: {', '.join(header)}")
        else:
            yield where, dict(zip(header, cells, strict=True))


def _delimiter(path: Path, lines: TextIO) -> str:
    """A comma, unless the header has none of it and has a semicolon or a tab."""
    header = lines.readline()
    lines.seek(0)
    if "|" in re.split("[,;\t]", header)[0]:  # LJSpeech, whose texts have commas and quotes
        raise BigfootError(
            f"{path} has its cells between |: save it as .tsv, with tabs for them and a header line (audio, text ...); "
            f"`tr '|' '\\t' < {path.name}` turns them"
        )
    return next((mark for mark in ",;\t" if mark in header), ",")


def _whole(path: Path, reader) -> Iterator[tuple[str, list[str]]]:
    """Rows that each stand on one line, with the line where they begin."""
    while True:
        begun = reader.line_num + 1
        where = f"{path}, line {begun}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            until = f" and runs on to line {reader.line_num}" if reader.line_num > begun else ""
            if "field limit" in str(error) and not until:
                raise BigfootError(
                    f"{where} has a cell of more than {csv.field_size_limit():,} characters, where a text is some sentences: "
                    "correct the line, or cut the recording"
                ) from None
            raise BigfootError(
                f"{where} has a quote that doesn't fit{until} ({error}): a quoted cell ends with a quote, and a quote in it is "
                "written twice"
            ) from None
        if reader.line_num > begun or any("\n" in cell or "\r" in cell for cell in cells):
            raise BigfootError(
                f"{where} has a quote that is closed on line {reader.line_num} only: close it on its own line; a text has no "
                "line breaks"
            )
        if any(cell.strip() for cell in cells):
            yield where, cells
