"""What the site needs beyond mkdocs.yml: one page of reference per room, and lists as a forge shows them.

The pages of the reference are made of the docstrings while the site is built, in the order of the import contract, so that a
new room has its page and none has to be kept in step by hand.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
BEFORE = "Contributing"  # the part of the site that follows the reference
ITEM = re.compile(r"(-|\d+\.) ")


def rooms() -> list[str]:
    """The rooms of pipeline/, the uppermost first, then flows."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [*(f"pipeline.{layer}" for layer in layers), "flows"]


class _ListsAfterText(Preprocessor):
    """A list right below a line of text becomes a list; Python-Markdown alone wants an empty line before it."""

    def run(self, lines: list[str]) -> list[str]:
        return list(self._spaced(lines))

    def _spaced(self, lines: list[str]) -> Iterator[str]:
        in_list, before = False, ""
        for line in lines:
            if ITEM.match(line) and before and not in_list:
                yield ""
            in_list = bool(ITEM.match(line)) or (in_list and line.startswith("  "))
            before = line
            yield line


class _Lists(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_ListsAfterText(md), "lists_after_text", 15)  # once fenced blocks are out of the way


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the reference into the navigation, and lists right."""
    place = next(number for number, part in enumerate(config.nav) if BEFORE in part)
    config.nav.insert(place, {"Reference": [{room: f"reference/{room}.md"} for room in rooms()]})
    config.markdown_extensions.append(_Lists())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the reference."""
    for room in rooms():
        page = f"# {room}\n\n::: {room}\n"
        files.append(File.generated(config, f"reference/{room}.md", content=page))
    return files
