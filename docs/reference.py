"""A hook of mkdocs: one page of reference per room, made of its docstrings, in the order of the import contract.

The pages are made while the site is built, so that a new room has its page and none has to be kept in step by hand.
"""

import tomllib
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
BEFORE = "Contributing"  # the part of the site that follows the reference


def rooms() -> list[str]:
    """The rooms of pipeline/, the uppermost first, then flows."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [*(f"pipeline.{layer}" for layer in layers), "flows"]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the reference into the navigation."""
    place = next(number for number, part in enumerate(config.nav) if BEFORE in part)
    config.nav.insert(place, {"Reference": [{room: f"reference/{room}.md"} for room in rooms()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages themselves."""
    for room in rooms():
        page = f"# {room}\n\n::: {room}\n"
        files.append(File.generated(config, f"reference/{room}.md", content=page))
    return files
