"""The base class of all sections of params.yaml, and the reader, which reports a mistake in one line that names the key.

Every number has two bounds, because a run that was asked for 10^18 steps starts like any other. The upper ones lie far beyond
what anybody has used.
"""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from pipeline.common.errors import BigfootError, one_line
from pipeline.common.settings import Settings

NAME, LONGEST = r"^[a-z][a-z0-9_]*$", 64  # it names folders
MOST = 10_000_000  # of anything that is counted
WIDEST = 100_000  # of a layer, or how many of them
DEEPEST, MESSAGE = 50, 500  # levels of YAML; characters of what is wrong with it
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Width = Annotated[int, Field(ge=1, le=WIDEST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # NumPy's bound
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Hours = Annotated[float, Field(gt=0, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0, le=1_000)]
Speed = Annotated[float, Field(ge=0.5, le=2.0)]


class Section(Settings):
    """A part of params.yaml."""

    model_config = ConfigDict(populate_by_name=True)


def each_once(problem: str) -> AfterValidator:
    """For a list whose values have to differ; `problem` is what is said where two are equal."""

    def check(values: list) -> list:
        if len(set(values)) < len(values):
            raise ValueError(problem)
        return values

    return AfterValidator(check)


S = TypeVar("S", bound=Section)


def read(path: str | Path, kind: type[S]) -> S:
    """A YAML file as a section of this kind.

    Raises BigfootError, in one line that names the key, where the file is missing, is not YAML or has a wrong value.
    """
    from ruamel.yaml.error import YAMLError

    path = Path(path)
    if not path.is_file():
        raise BigfootError(f"{path} is missing: run this in the project's folder")
    try:
        raw = _yaml(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BigfootError(f"{path} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BigfootError(f"{path} is not text in UTF-8: save it as UTF-8") from None
    except (YAMLError, ValueError) as error:  # ValueError: too deep, or not a number or date although it looks like one
        where = str(error).partition("To suppress this check")[0].replace('in "<unicode string>", ', "")  # ruamel.yaml's words
        raise BigfootError(f"{path} is not valid YAML: {one_line(' '.join(where.split()))[:MESSAGE]}") from None
    if not isinstance(raw, dict):
        raise BigfootError(f"{path} has no keys: `bigfoot use PROFILE` makes one that has all")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise BigfootError(_first_problem(path, error)) from None


def _yaml(text: str) -> object:
    """The content of YAML; raises ValueError beyond DEEPEST, where the reader, which is recursive and in C, would crash."""
    from ruamel.yaml import YAML
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in YAML(typ="safe").parse(text):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep: check its brackets")
    return YAML(typ="safe").load(text)


def _key(place: tuple[str | int, ...]) -> str:
    """The key of pydantic's error as written in the file, without the names of the alternatives that pydantic tried."""
    parts = list(place)
    if parts[:2] == ["corpus", "source"]:
        del parts[2:3]  # the kind of source
    while len(parts) > 1 and str(parts[-1]).split("[")[0].removeprefix("constrained-") in (
        "int",
        "list",
        "tuple",
        "float",
        "str",
        "",
    ):  # "": [key]
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
