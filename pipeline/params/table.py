"""The tables of docs/params.md: every key of params.yaml with its default and its meaning, made from the models themselves."""

import json
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass

from pydantic.fields import FieldInfo

from pipeline.common import tables
from pipeline.params.section import Section
from pipeline.params.whole import Params

NAMED = {"students": "students.NAME", "variants": "variants.MODEL-SCHEME"}  # sections with one entry per name


def text() -> str:
    """One table per kind of section in Markdown, in the order of params.yaml, under the places where it occurs."""
    places: dict[type[Section], list[str]] = {}
    for place, kind in _sections("", Params):
        places.setdefault(kind, []).append(place)
    return "\n\n".join(f"## {_title(at)}\n\n{_table(kind)}" for kind, at in places.items())


def rows(kind: type[Section]) -> list[tuple[str, str, str]]:
    """[(key, its default as YAML, its meaning)] of one section, without the `kind` that its title states."""
    fields = [(key, field) for key, field in kind.model_fields.items() if key != "kind"]
    return [(f"`{name(key, field)}`", _default(field), field.description or "") for key, field in fields]


def name(key: str, field: FieldInfo) -> str:
    """A field's key in params.yaml."""
    return field.alias or key


def sections_in(annotation: object) -> list[type[Section]]:
    """The kinds of section in a field's type: dict[str, Student] -> [Student]."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [kind for part in typing.get_args(annotation) for kind in sections_in(part)]


def _sections(place: str, kind: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    """A section and those inside it, each with its place in params.yaml."""
    yield place, kind
    for key, field in kind.model_fields.items():
        for inner in sections_in(field.annotation):
            path = f"{place}.{name(key, field)}".lstrip(".")
            choice = inner.model_fields.get("kind")  # several kinds of section in one place
            path += f" {{kind: {typing.get_args(choice.annotation)[0]}}}" if choice else ""
            yield from _sections(NAMED.get(path, path), inner)


def _title(places: list[str]) -> str:
    return ", ".join(f"`{place}`" for place in places) if any(places) else "The whole file"


def _table(kind: type[Section]) -> str:
    return tables.markdown(["Key", "Default", "Meaning"], rows(kind))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section) or is_dataclass(value):
        return "`{}`"  # a section whose keys have defaults
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"
