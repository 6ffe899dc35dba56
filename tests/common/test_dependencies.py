"""Every package that the code imports is declared in pyproject.toml: what comes along with another one may go away with it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared() -> set[str]:
    """The distributions in pyproject.toml, those of the extras that users install included."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for name in extras if name not in ("test", "docs") for line in extras[name])]
    return named(lines)


def named(requirements: list[str]) -> set[str]:
    return {normalized(re.match(r"[\w.-]+", line)[0]) for line in requirements}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(file: Path) -> Iterator[str]:
    """The top-level packages that a module imports, at its top or inside its functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_what_is_imported_is_declared():
    files = [file for room in ("pipeline", "flows") for file in (ROOT / room).rglob("*.py")]
    names = {name for file in files for name in imported(file)} - {*sys.stdlib_module_names, "pipeline", "flows"}
    owners, known = packages_distributions(), declared()
    undeclared = {n for n in names if not known & {normalized(owner) for owner in owners.get(n, [n])}}  # an extra may be absent
    assert len(names) > 30 and not undeclared, f"add to pyproject.toml: {', '.join(sorted(undeclared))}"


def test_what_is_declared_is_locked():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert named(PROJECT["dependencies"]) <= set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE)), "run `make lock`"
