"""docs/accepted.md is made of the tests: of each mark `accepts(group, what, then)` and `refuses(group, what, then)`.

`python -m tests.docs.accepted` writes the page anew.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/accepted.md"
GROUPS = ("Models", "Languages and text", "Tables and splits", "Audio")
VERDICTS = {"accepts": "taken", "refuses": "refused"}
HEAD = """# What is accepted, and what is refused

Each line is a promise that a test holds: `make test` (of models above 2 GB `make test-all`) runs the real code on a small case
of it. What is refused stops with one line that says what to do, before anything is trained.
"""


def page() -> str:
    marks = sorted(_marks(), key=lambda mark: mark[0] != "accepts")
    parts = [HEAD]
    for group in GROUPS:
        rows = [f"| {what} | {VERDICTS[kind]} | {then} | {test} |" for kind, of, what, then, test in marks if of == group]
        parts.append(f"## {group}\n\n| what | | what happens | test |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _marks() -> Iterator[tuple[str, str, str, str, str]]:
    """(accepts or refuses, group, what, then, test) of every marked test, in the order of files and lines."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else []:
                if isinstance(mark, ast.Call) and (kind := ast.unparse(mark.func).removeprefix("pytest.mark.")) in VERDICTS:
                    group, what, then = (ast.literal_eval(argument) for argument in mark.args)
                    assert group in GROUPS, f"{file}: {group} is none of {', '.join(GROUPS)}"
                    yield kind, group, what, then, f"`{file.relative_to(ROOT / 'tests').as_posix()}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
