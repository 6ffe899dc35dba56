"""JSON files as dicts, their keys and types checked against a TypedDict.

Decision: this takes the standard library alone, so that what opens a variant stays light; `objects` reads dataclasses with
pydantic. A key that a TypedDict does not require may be missing from the file: whoever takes it from the dict all the same gets
one line that names the file. Unknown keys are kept, so that a newer Bigfoot's files can be read.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from pipeline.common.errors import BigfootError
from pipeline.common.files import NAMES, again, read_json, read_json_lines

LARGEST = 2**63  # of numbers: no figure comes near it, and numpy and databases can't take larger ones
WANTED = NAMES | {int: "a whole number", float: "a number"}


class Content(dict):
    """The content of a JSON file; a missing key raises BigfootError, with the file's name, instead of KeyError."""

    def __init__(self, content: Mapping, where: str, command: str | None):
        super().__init__(content)
        self._where, self._command = where, command

    def __missing__(self, key: str) -> None:
        raise BigfootError(f"{self._where} has no {key}: {again(self._command)}")


def read(path: Path, shape: type, command: str | None) -> Content:
    """A JSON file as `shape`, a TypedDict, describes it; `command` is that of `files.read_json`.

    Raises BigfootError where the file is missing or broken, or where a key is missing or of another type.
    """
    return _content(read_json(path, command), shape, str(path), command)


def read_lines(path: Path, shape: type, command: str | None) -> list[Content]:
    """The lines of a JSON Lines file, each as `shape` describes it; raises BigfootError, with the line's number."""
    rows = enumerate(read_json_lines(path, command), start=1)
    return [_content(row, shape, f"{path}, line {number}", command) for number, row in rows]


def _content(content: dict, shape: type, where: str, command: str | None) -> Content:
    if found := problem(content, shape):
        raise BigfootError(f"{where}{found}: {again(command)}")
    return Content(content, where, command)


def problem(value: Any, shape: Any) -> str | None:
    """How a JSON value differs from an annotation, ": blank is a string where a whole number belongs"; None where it fits."""
    origin, parts = get_origin(shape) or shape, get_args(shape)
    if origin is Any:
        return None
    if origin in (Union, UnionType):
        differences = [problem(value, part) for part in parts]
        return None if None in differences else differences[0]
    if origin is Literal:
        fits = isinstance(value, str) and value in parts
        return None if fits else f" is {_shown(value)} where one of {', '.join(parts)} belongs"
    if is_typeddict(origin):
        return _not_an(dict, value) or _of_keys(value, get_type_hints(origin), origin.__required_keys__)
    if is_dataclass(origin):
        return _not_an(dict, value) or _of_dataclass(value, origin)
    if wrong := _not_an(origin, value):
        return wrong
    if origin is dict and parts:
        return next((_under(name, found) for name, item in value.items() if (found := problem(item, parts[1]))), None)
    if origin is list and parts:
        return next((_under(str(at), found) for at, item in enumerate(value) if (found := problem(item, parts[0]))), None)
    return None


def _of_keys(value: Any, hints: Mapping[str, Any], required: frozenset[str]) -> str | None:
    if missing := sorted(required - set(value)):
        return f" has no {', '.join(missing)}"
    known = ((name, problem(value[name], hint)) for name, hint in hints.items() if name in value)
    return next((_under(name, found) for name, found in known if found), None)


def _of_dataclass(value: Any, kind: Any) -> str | None:
    """A dataclass takes no other keys than its own, and may refuse values itself."""
    hints = get_type_hints(kind)
    own = {field.name: field.default is MISSING and field.default_factory is MISSING for field in fields(kind)}
    if unknown := sorted(set(value) - set(own)):
        return f" has {_shown(unknown[0])}, which does not belong there"
    needed = frozenset(name for name, is_needed in own.items() if is_needed)
    if found := _of_keys(value, {name: hints[name] for name in own}, needed):
        return found
    try:
        kind(**value)
    except ValueError as error:
        return f": {error}"
    return None


def _not_an(kind: type, value: object) -> str | None:
    """Whether a value is of another kind; strings have to be text that can be written."""
    if kind is float and type(value) is int or kind is NoneType and value is None:
        kind = type(value)
    if type(value) is not kind and not (kind is dict and isinstance(value, dict)):
        return f" is {NAMES.get(type(value), 'a number')} where {WANTED[kind]} belongs"
    if isinstance(value, int) and abs(value) >= LARGEST:
        return " is too large a number"
    if isinstance(value, str) and is_torn(value):
        return " is not text"
    return None


def is_torn(text: str) -> bool:
    """Whether a string holds half of a pair of surrogates, which no file or terminal takes."""
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _under(name: str, found: str) -> str:
    """A problem of a value as one of what holds the value."""
    name = _shown(name)[1:-1]
    return f": {name}{found}" if not found.startswith(": ") else f": {name}.{found[2:]}"


def _shown(value: object) -> str:
    """A value in a message: on one line, and not the whole of a long one."""
    text = ascii(value) if isinstance(value, str) and is_torn(value) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
