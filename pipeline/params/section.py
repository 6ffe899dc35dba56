"""The base class of all sections of params.yaml, and the reader, which reports a mistake in one line that names the key."""

import re
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.common.errors import BigfootError

NAME = r"^[a-z][a-z0-9_]*$"
Positive = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of params.yaml: immutable, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


S = TypeVar("S", bound=Section)


def read(path: str | Path, kind: type[S]) -> S:
    """A YAML file as a section of this kind.

    Raises BigfootError, in one line that names the key, where the file is missing, is not YAML or has a wrong value.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = Path(path)
    if not path.is_file():
        raise BigfootError(f"{path} is missing: run this in the project's folder")
    try:
        raw = YAML(typ="safe").load(path)
    except YAMLError as error:
        where = re.sub(r"\s+", " ", str(error))
        raise BigfootError(f"{path} is not valid YAML: {where}") from None
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise BigfootError(_first_problem(path, error)) from None


def _key(place: tuple[str | int, ...]) -> str:
    """The key of pydantic's error as written in the file, without the names of the alternatives that pydantic tried."""
    parts = list(place)
    if parts[:2] == ["corpus", "source"]:
        del parts[2:3]  # the kind of source
    while len(parts) > 1 and str(parts[-1]).split("[")[0] in ("int", "list", "tuple", "float", "str", ""):  # "": [key]
        parts.pop()
    return ".".join(str(part) for part in parts)


def _first_problem(where: str | Path, error: ValidationError) -> str:
    """One line for the first of pydantic's errors: file, key, what is wrong, and how many more there are."""
    # A mistyped key is the reason why the right one is missing, so it comes first.
    first, *more = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    key = _key(first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "is not a parameter of Bigfoot: check its spelling, or remove it"
    elif first["type"] == "missing":
        message = "is missing"
    else:
        message = f"{message[0].lower()}{message[1:]}" if key else message
        given = first.get("input")
        if isinstance(given, str | int | float | bool) and not isinstance(first.get("ctx", {}).get("error"), ValueError):
            message += f", not {given!r}"
    rest = f" (and {len(more)} more)" if more else ""
    return f"{where}: {key + ': ' if key else ''}{message}{rest}"
