"""docs/params.md lists every key of params.yaml, with its default and a meaning that a reader can use."""

import typing
from pathlib import Path

import pytest

from pipeline import params
from pipeline.params import table

PAGE = Path(__file__).parents[2] / "docs/params.md"


def kinds(kind: type[params.Section]) -> set[type[params.Section]]:
    """A section and those inside it."""
    inner = [part for field in kind.model_fields.values() for part in table.sections_in(field.annotation)]
    return {kind}.union(*map(kinds, inner))


SECTIONS = sorted(kinds(params.Params), key=lambda kind: kind.__name__)
each_section = pytest.mark.parametrize("kind", SECTIONS, ids=lambda kind: kind.__name__)


def test_the_page_is_made_of_the_models():
    shown = PAGE.read_text(encoding="utf-8").split("<!-- params -->\n")[1].split("\n<!-- /params -->")[0]
    assert shown == table.text(), "run `bigfoot results`"


@each_section
def test_every_key_has_a_meaning(kind):
    assert not [key for key, _, meaning in table.rows(kind) if not meaning]


@each_section
def test_a_meaning_names_every_choice_and_what_null_or_nothing_means(kind):
    for key, default, meaning in table.rows(kind):
        assert default not in ("`null`", "`[]`") or default.strip("`") in meaning, f"{key}: what does {default} mean?"
        for choice in choices(kind, key.strip("`")):
            assert str(choice) in meaning, f"{key}: what does {choice} mean?"


def choices(kind: type[params.Section], key: str) -> list[str | int]:
    (field,) = [field for name, field in kind.model_fields.items() if table.name(name, field) == key]
    return list(typing.get_args(field.annotation)) if typing.get_origin(field.annotation) is typing.Literal else []


def test_a_section_that_occurs_twice_is_described_once():
    text = table.text()
    assert "\n## `teacher.training`, `students.NAME.training`\n" in text and text.count("| `learning_rate` ") == 1
    assert "| `from` " in text and "## `corpus.source {kind: digits}`\n" in text
