"""Files: written whole or not at all, read with one-line errors, and compared by hashes of their content.

Decision: a file of Bigfoot's own has one reader, and that reader is built on `read_json` or on `objects.read_object`.
`command` makes the file (such as "dvc repro prepare"); where the file is broken, DVC has to be forced to make it again. It is
None for files that travel, since who has a copy may not be able to make one.
A file that other files are held against is sealed: it has the hash of its own content under SEAL, and whoever reads it, by
whichever reader, is told where the two differ.
"""

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO, TypeVar, overload

from pipeline.common.errors import BigfootError

Kind = TypeVar("Kind")

SUMS = "SHA256SUMS"  # in a model folder: the sums of the files that make the model
SEAL = "sha256"
LONGEST_NAME = 255  # of a file, in bytes
NAMES: dict[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


def write_whole(path: Path, content: str) -> None:
    """Write a UTF-8 text file atomically: until the write is complete, and after a kill, readers see the old content."""
    partial = path.with_name(f"{path.name}.part")
    if len(os.fsencode(partial.name)) > LONGEST_NAME:
        partial = path.with_name(f"{hashlib.sha256(os.fsencode(path.name)).hexdigest()}.part")
    try:
        partial.write_text(content, encoding="utf-8")
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def open_lock(path: Path) -> TextIO:
    """A file to lock with flock, made where it is missing. Several users may share it; a lock ends with its process.

    Another user's is opened without O_CREAT and for reading alone, which in /tmp is all that the kernel allows
    (fs.protected_regular), and all that flock needs.
    """
    with suppress(FileNotFoundError):
        return path.open()
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CREAT, 0o644))
    with suppress(OSError):  # another user was first
        os.fchmod(file.fileno(), 0o644)  # whatever the umask
    return file


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """For a block that writes a folder which a user named: an error of the disk is a BigfootError.

    Where the block fails, what it wrote is removed, unless the folder held something before.
    """
    was_there = folder.exists()
    stays = was_there and (not folder.is_dir() or any(folder.iterdir()))
    try:
        yield
    except BaseException as error:
        if not stays:
            shutil.rmtree(folder, ignore_errors=True)
            if was_there:
                folder.mkdir(exist_ok=True)
        if isinstance(error, OSError):
            raise BigfootError(f"{folder} can't be written: {_reason(error)}") from None
        raise


def _reason(error: OSError) -> str:
    """Why a file can't be written, of several files the first one, in the system's words."""
    several = error.args[0] if isinstance(error, shutil.Error) and isinstance(error.args[0], list) else []
    text = str(several[0][2]) if several and isinstance(several[0], tuple) else error.strerror or str(error)
    return re.sub(r"^\[Errno \d+\] ([^:]+):.*", r"\1", text)


def write_json(path: Path, content: object) -> None:
    """Write JSON, one value per line, whole or not at all; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


@overload
def read_json(path: Path, command: str | None) -> dict: ...
@overload
def read_json(path: Path, command: str | None, kind: type[Kind]) -> Kind: ...
def read_json(path: Path, command: str | None, kind: type = dict) -> object:
    """A JSON file whose content is of `kind`, dict or list.

    Raises BigfootError where the file is missing, is anything else, holds a number that is not finite, or is sealed and has
    other content than it was sealed with.
    """
    try:
        content = json.loads(read_text(path, command), parse_float=_finite, parse_constant=_finite)
        is_changed = isinstance(content, dict) and SEAL in content and content[SEAL] != sealed(content)[SEAL]
    except (ValueError, RecursionError):
        raise BigfootError(f"{path} is not valid JSON: {again(command)}") from None
    if not isinstance(content, kind):
        given = NAMES.get(type(content), "a number")
        raise BigfootError(f"{path} holds {given} where {NAMES[kind]} belongs: {again(command)}")
    if is_changed:
        raise BigfootError(f"{path} was changed after it was made ({SEAL} is of other content): {again(command)}")
    return content


def read_json_lines(path: Path, command: str | None) -> list[dict]:
    """The objects of a JSON Lines file; raises BigfootError, with the line's number, where a line is anything else."""
    rows = []
    # Not splitlines(): JSON leaves U+2028 and the like inside strings as they are.
    lines = read_text(path, command).split("\n")
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise BigfootError(f"{path}, line {number} is not a JSON object: {again(command)}")
        rows.append(row)
    return rows


def sealed(content: Mapping) -> dict:
    """The content of a JSON file with the hash of all its other keys under SEAL."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    return {**rest, SEAL: hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}


def again(command: str | None) -> str:
    """What to do about a broken file."""
    return f"run `{forced(command)}`" if command else "copy it again, or make it again"


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


def read_text(path: Path, command: str | None) -> str:
    """A text file in UTF-8; raises BigfootError where it is missing, or is anything else."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise BigfootError(f"{path} is missing: {f'run `{command}`' if command else again(None)}") from None
    except OSError as error:
        raise BigfootError(f"{path} can't be read ({error.strerror or error}): {again(command)}") from None
    except UnicodeDecodeError:
        raise BigfootError(f"{path} is not text in UTF-8: {again(command)}") from None


def _finite(literal: str) -> float:
    """A number of a JSON file; raises ValueError for NaN and Infinity, and for what is too large for a float."""
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"{literal} is not finite")
    return number
