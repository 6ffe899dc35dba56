"""What the documentation names is there: commands, targets, options, modules, links, pictures. Fast: nothing is executed."""

import argparse
import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.lab.pictures import MOST_BYTES
from tests.docs import pages
from tests.docs.pages import ROOT

PAGES = pages.pages()
each_page = pytest.mark.parametrize("page", PAGES, ids=pages.name)


def options(words: list[str]) -> list[str]:
    """The options among a command's words; what comes after -- is another's."""
    own = words[: words.index("--")] if "--" in words else words
    return [word.partition("=")[0] for word in own if re.match(r"--?[a-zA-Z]", word)]


def problem(command: list[str]) -> str | None:
    """What of a command is not there, or None. mlflow and prefect take long to ask: tests/docs/test_other_tools.py does."""
    tool, *words = command
    checks = {"bigfoot": _bigfoot, "make": _make, "dvc": _dvc, "python": _python}
    return checks[tool](words) if tool in checks else None


def _bigfoot(words: list[str]) -> str | None:
    import typer

    from pipeline.cli import app

    group = typer.main.get_command(app)
    if not words or words[0].startswith("-"):
        return None
    if words[0] not in group.commands:
        return f"no command {words[0]}"
    known = {option for param in group.commands[words[0]].params for option in (*param.opts, *param.secondary_opts)}
    return _unknown(words, known | {"--help"})


def _make(words: list[str]) -> str | None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    missing = [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word) and word not in targets]
    return f"no target {missing[0]}" if missing else None


@cache
def _dvc_parser() -> argparse.ArgumentParser:
    from dvc.cli.parser import get_main_parser

    return get_main_parser()


def _dvc(words: list[str]) -> str | None:
    parser, left = _dvc_parser(), list(words)
    while left and not left[0].startswith("-"):
        below = next((a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if below is None:
            break
        if left[0] not in below.choices:
            return f"no command {left[0]}"
        parser = below.choices[left.pop(0)]
    return _unknown(left, set(parser._option_string_actions))


def _python(words: list[str]) -> str | None:
    if "-m" not in words:
        return None
    module = words[words.index("-m") + 1]
    if module.split(".")[0] not in ("pipeline", "flows"):
        return None
    path = ROOT / module.replace(".", "/")
    return None if path.with_suffix(".py").is_file() or (path / "__main__.py").is_file() else f"no module {module}"


def _unknown(words: list[str], known: set[str]) -> str | None:
    missing = [option for option in options(words) if option not in known]
    return f"no option {missing[0]}" if missing else None


@each_page
def test_commands_and_options_in_the_docs_exist(page):
    problems = {" ".join(command): problem(command) for command in pages.tool_commands(page)}
    assert not {command: why for command, why in problems.items() if why}


RESULTS = [ROOT / "RESULTS.md", *sorted((ROOT / "results").glob("*/*.md"))]


@pytest.mark.parametrize("page", [*PAGES, *RESULTS], ids=pages.name)
def test_links_and_pictures_lead_somewhere(page):
    text = pages.prose(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} is not there"
        if page.is_relative_to(ROOT / "docs"):
            assert there.is_relative_to(ROOT / "docs"), f"{target} is not on the site: name the file in backticks"
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there.read_text(encoding="utf-8")), f"{target}: no heading of that name"


def _anchors(text: str) -> set[str]:
    """The anchors that a forge makes of a page's headings."""
    headings = re.findall(r"^#+ +(.+?) *$", pages.FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1500, "define in docs/ and link"


def test_every_page_is_on_the_site():
    site = YAML(typ="safe").load(ROOT / "mkdocs.yml")
    shown = re.findall(r"[\w/-]+\.md", str(site["nav"]))
    assert sorted(shown) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in pages.of_the_site())


def test_every_page_is_in_the_index():
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([a-z/-]+\.md)\)", index))
    assert {page.relative_to(ROOT / "docs").as_posix() for page in pages.of_the_site()} - {"README.md"} <= linked


def _rooms() -> list[str]:
    """The rooms of pipeline/, the uppermost first, as the import contract lists them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return next(contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers")


def _place(dotted: str) -> tuple[Path, list[str]]:
    """The file that a name below `pipeline.` leads into, and what is left of the name in there."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath("pipeline", *parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file, parts[length:]
    return ROOT / "pipeline/__init__.py", parts


def _is_defined(dotted: str) -> bool:
    """Whether a module, class, function or method of that name below `pipeline.` is there."""
    file, names = _place(dotted)
    body = ast.parse(file.read_text(encoding="utf-8")).body
    for name in names:
        definitions = [n for n in body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name]
        if not definitions:
            return False
        body = definitions[0].body
    return True


def _walks(text: str) -> list[list[str]]:
    """The chains of calls in a page: names in backticks with arrows between them."""
    return [re.findall(r"`([\w.]+)`", chain) for chain in re.findall(r"`[\w.]+`(?: → `[\w.]+`)+", text)]


def test_the_walks_name_what_is_there_and_never_go_back_up():
    rooms, walks = _rooms(), _walks((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
    assert len(walks) > 20
    for walk in walks:
        assert not [name for name in walk if not _is_defined(name)], walk
        floors = [rooms.index(name.split(".")[0]) for name in walk]
        assert floors == sorted(floors), f"{walk} goes back up"
        for caller, called in zip(walk, walk[1:], strict=False):
            name = called.rpartition(".")[2]
            assert re.search(rf"\b{name}\b", _place(caller)[0].read_text(encoding="utf-8")), f"{caller} doesn't use {called}"


def test_the_table_of_rooms_is_the_import_contract():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = text[text.index("## The rooms") : text.index("## Three walks")]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == _rooms()


@each_page
def test_files_and_modules_in_the_docs_exist(page):
    code = pages.INLINE.findall(pages.prose(page))
    files = [name for name in code if re.fullmatch(r"(pipeline|flows|tests)/[\w/.-]*\w", name)]
    modules = [name.removeprefix("pipeline.") for name in code if re.fullmatch(r"pipeline(\.\w+)+", name)]
    missing = [name for name in files if not (ROOT / name).exists() and "NAME" not in name]
    assert not missing + [name for name in modules if not _is_defined(name)]


@pytest.mark.parametrize(
    "command, why",
    [
        ("bigfoot trancsribe a.wav", "no command trancsribe"),
        ("bigfoot use digits --fource", "no option --fource"),
        ("make demos", "no target demos"),
        ("dvc repro --singel-item teacher", "no option --singel-item"),
        ("dvc exp rum", "no command rum"),
        ("python -m pipeline.stages.tea", "no module pipeline.stages.tea"),
        ("make ui", None),
        ("dvc exp run -S students.half.layers=3 --queue", None),
        ("bigfoot push half me/half --private", None),
    ],
)
def test_what_is_missing_is_a_problem(command, why):
    assert problem(command.split()) == why


def test_commands_are_found_among_comments_variables_and_pipes():
    text = "make setup && source x   # make nonsense\nA=1 dvc repro \\\n  --force; dvc exp show | less\n"
    words = [" ".join(command) for command in pages.commands(text)]
    assert words == ["make setup", "source x", "dvc repro --force", "dvc exp show", "less"]


def test_messages_on_the_troubleshooting_page_are_the_codes_own():
    """Each message, between its CAPITALS, is found in the code; what is DVC's own is marked as such."""
    files = [path for room in ("pipeline", "flows") for path in (ROOT / room).rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(.+?)` \| (.+) \|$", page, re.MULTILINE)
    messages = [message for message, cure in rows if not cure.startswith("DVC's own")]
    parts = {part.strip(" :(),") for message in messages for part in re.split(r"\b[A-Z]+(?: \([A-Z]+\))?\b|'", message)}
    assert len(messages) > 25
    assert not [part for part in parts if len(part) > 8 and part not in code]


def test_every_picture_is_linked_and_small():
    pictures = {path.name: path.stat().st_size for path in (ROOT / "docs/pictures").iterdir()}
    pages = " ".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    assert {name for name in pictures if f"pictures/{name})" not in pages} == set()
    assert max(pictures.values()) <= MOST_BYTES
