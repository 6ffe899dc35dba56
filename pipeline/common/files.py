"""Files: written whole or not at all, read with one-line errors, and compared by hashes of their content.

Decision: a file of Bigfoot's own has one reader, and that reader is built on `read_json` or on `objects.read_object`.
`command` makes the file (such as "dvc repro prepare"); where the file is broken, DVC has to be forced to make it again.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar, overload

from pipeline.common.errors import BigfootError

Kind = TypeVar("Kind")

NAMES: dict[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


def write_whole(path: Path, content: str) -> None:
    """Write a UTF-8 text file atomically: until the write is complete, and after a kill, readers see the old content."""
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(content, encoding="utf-8")
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: object) -> None:
    """Write JSON, one value per line, whole or not at all; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


@overload
def read_json(path: Path, command: str) -> dict: ...
@overload
def read_json(path: Path, command: str, kind: type[Kind]) -> Kind: ...
def read_json(path: Path, command: str, kind: type = dict) -> object:
    """A JSON file whose content is of `kind`, dict or list; raises BigfootError where it is missing or is anything else."""
    try:
        content = json.loads(_text(path, command))
    except ValueError:
        raise BigfootError(f"{path} is not valid JSON: run `{forced(command)}`") from None
    if not isinstance(content, kind):
        given = NAMES.get(type(content), "a number")
        raise BigfootError(f"{path} holds {given} where {NAMES[kind]} belongs: run `{forced(command)}`")
    return content


def read_json_lines(path: Path, command: str) -> list[dict]:
    """The objects of a JSON Lines file; raises BigfootError, with the line's number, where a line is anything else."""
    rows = []
    for number, line in enumerate(_text(path, command).splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise BigfootError(f"{path}, line {number} is not a JSON object: run `{forced(command)}`")
        rows.append(row)
    return rows


def forced(command: str) -> str:
    """The command that makes a file again although DVC considers it up to date."""
    return command.replace("dvc repro", "dvc repro --force")


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sha256_of(paths: Iterable[Path]) -> str:
    """One SHA-256 of the contents of several files, in this order; their names don't matter."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(bytes.fromhex(sha256(path)))
    return digest.hexdigest()


def _text(path: Path, command: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise BigfootError(f"{path} is missing: run `{command}`") from None
    except OSError as error:
        raise BigfootError(f"{path} can't be read ({error.strerror or error}): run `{forced(command)}`") from None
    except UnicodeDecodeError:
        raise BigfootError(f"{path} is not text in UTF-8: run `{forced(command)}`") from None
