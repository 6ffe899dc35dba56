"""The pages of the documentation (README.md, CONTRIBUTING.md, docs/) as tests read them: fenced blocks, inline code, commands.

A comment before a block, which no reader sees, says what a test does with it:

    <!-- test: own-data -->                     its commands are executed by the test of that name, in the page's order
    <!-- test: own-data file: profiles/x.yaml -->   its text is what that file holds from then on
    <!-- test: own-data file: x.py after: SCHEMES -->   its text is put into that file, after the line that begins with SCHEMES
    <!-- test: own-data merge: params.yaml -->     the entries of its sections are put into that file's sections

So a guide and its test can't part: the test has no commands of its own.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELL = ("console", "bash", "sh", "shell")
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```\s*$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- test: (\S+)(?: (file|merge): (\S+))?(?: after: ([^\n]+))? -->\Z")
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
TOOLS = ("bigfoot", "make", "dvc", "mlflow", "prefect", "python", "accelerate", "torchrun", "srun")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language and text, and the mark before it."""

    page: str
    line: int
    language: str
    text: str
    test: str | None
    file: str | None
    merge: bool
    after: str | None


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *of_the_site()]


def of_the_site() -> list[Path]:
    return sorted((ROOT / "docs").rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    text, marked = page.read_text(encoding="utf-8"), []
    for fence in FENCE.finditer(text):
        before = text[: fence.start()]
        mark = MARK.search(before.rstrip())
        test, kind, file, after = mark.groups() if mark else (None, None, None, None)
        indent = len(fence[1])
        body = "".join(line[indent:] for line in fence[3].splitlines(keepends=True))
        marked.append(Block(name(page), before.count("\n") + 1, fence[2], body, test, file, kind == "merge", after))
    return marked


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def story(page: str, test: str, edits: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """The blocks of a page that are marked with `test`, as one script: files are written, commands executed, in order.

    `edits`: {file: {text: other text}}, for what a test can't wait for; a text that isn't there is an error.
    """
    script, edits = ["set -euxo pipefail"], {file: dict(changes) for file, changes in (edits or {}).items()}
    for block in blocks(ROOT / page):
        if block.test != test:
            continue
        if not block.file:
            script.append(block.text)
            continue
        text = block.text
        for old, new in edits.pop(block.file, {}).items():
            assert old in text, f"{page}: {block.file} has no {old!r} any more"
            text = text.replace(old, new)
        if block.merge:
            script.append(_merge(block.file, text))
        else:
            script.append(_insert(block.file, block.after, text) if block.after else _write(block.file, text))
    assert len(script) > 1, f"{page} has no block marked with test: {test}"
    assert not edits, f"{page} has no file {', '.join(edits)}"
    return "\n".join(script)


def _write(file: str, text: str) -> str:
    return f"mkdir -p {shlex.quote(str(Path(file).parent))}\ncat > {shlex.quote(file)} <<'END OF FILE'\n{text}END OF FILE\n"


def _insert(file: str, after: str, text: str) -> str:
    """Put text after the one line that begins with `after`; fails where there is none, or more than one."""
    program = """
import sys
from pathlib import Path
path, after = Path(sys.argv[1]), sys.argv[2]
lines = path.read_text().splitlines(keepends=True)
(place,) = [number for number, line in enumerate(lines) if line.startswith(after)]
path.write_text("".join([*lines[: place + 1], sys.stdin.read(), *lines[place + 1 :]]))
"""
    return f"python -c {shlex.quote(program)} {shlex.quote(file)} {shlex.quote(after)} <<'END OF FILE'\n{text}END OF FILE\n"


def _merge(file: str, text: str) -> str:
    """Put the entries of each section of a YAML text into the same section of the file."""
    program = """
import sys
from pathlib import Path
from ruamel.yaml import YAML
yaml, path = YAML(), Path(sys.argv[1])
whole = yaml.load(path)
for section, entries in yaml.load(sys.stdin).items():
    whole[section].update(entries)
yaml.dump(whole, path)
"""
    return f"python -c {shlex.quote(program)} {shlex.quote(file)} <<'END OF FILE'\n{text}END OF FILE\n"


def commands(text: str) -> Iterator[list[str]]:
    """The commands in shell text, as words: without comments, variables before them, and what they are piped into."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        # A comment first, then what separates commands; neither counts within quotes.
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=";&|<>")
        lexer.commenters, lexer.whitespace_split = "#", True
        try:
            words = list(lexer)
        except ValueError:  # prose with an apostrophe
            continue
        command: list[str] = []
        for word in [*words, ";"]:
            if set(word) <= set(";&|"):
                if command:
                    yield command
                command = []
            elif command or not re.fullmatch(r"[A-Z_]+=.*", word):
                command.append(word)


def tool_commands(page: Path, fences_only: bool = False) -> Iterator[list[str]]:
    """Commands of TOOLS in a page's shell blocks and, unless `fences_only`, in its inline code."""
    texts = [block.text for block in blocks(page) if block.language in SHELL and not block.file]
    if not fences_only:
        texts += [" ".join(code.split()) for code in INLINE.findall(prose(page))]
    for text in texts:
        yield from (command for command in commands(text) if command[0] in TOOLS)
