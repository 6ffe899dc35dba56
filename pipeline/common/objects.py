"""JSON files as dataclasses, each field checked by its annotation.

Decision: pydantic checks them, so this is a separate module: code that only writes such files, or runs a variant, stays light.
"""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.common.errors import BigfootError
from pipeline.common.files import forced, read_json, read_text

Kind = TypeVar("Kind")


def read_object(path: Path, kind: type[Kind], command: str) -> Kind:
    """A JSON file as a dataclass, every field checked by its annotation; unknown keys are ignored.

    Raises BigfootError where the file is missing or broken, and where a field is missing or of another type.
    """
    read_json(path, command)
    return checked(read_text(path, command), kind, str(path), command)


def checked(text: str, kind: type[Kind], where: str, command: str) -> Kind:
    """Valid JSON text as a dataclass; raises a BigfootError that begins with `where` where it doesn't fit."""
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    missing = dict.fromkeys(str(p["loc"][-1]) for p in problems if p["type"] in ("missing", "missing_argument"))
    if missing:
        raise BigfootError(f"{where} lacks {', '.join(missing)}, it was made by an older Bigfoot: run `{command}`")
    place, message = ".".join(map(str, problems[0]["loc"])), problems[0]["msg"]
    raise BigfootError(f"{where}: {place}: {message[:1].lower()}{message[1:]}: run `{forced(command)}`")
