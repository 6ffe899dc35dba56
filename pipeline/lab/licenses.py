"""The licenses of everything that the locks install, as their own metadata state them: `python -m pipeline.lab.licenses`.

Permissive ones pass. Any other one (copyleft, proprietary, unknown) has to be named in docs/supply.md, with the license and
what follows from it; the command fails for one that isn't, and for one there whose license has changed. A package that is not
installed, as of an extra, can't be looked at, and is listed as such.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from pipeline.common import tables

NAMED = Path("docs/supply.md")
PERMISSIVE = re.compile(
    r"(?i)mit(-0|-cmu)?( license)?|apache([- ]2\.0| software license| license 2\.0| 2\.0 license)( with llvm-exception)?"
    r"|(3-clause )?bsd([- ][23]-clause)?( license)?|0bsd|isc( license \(iscl\)?)?|psf-2\.0|python software foundation license"
    r"|zlib|bsl-1\.0|cc0-1\.0|cnri-python|zope public license"
)


@dataclass(frozen=True)
class Package:
    """A locked package; its license is None where it isn't installed, "" where its metadata state none."""

    name: str
    license: str | None

    @property
    def is_permissive(self) -> bool:
        """Whether every license that applies is permissive; of alternatives (A OR B) one suffices."""
        parts = re.split(r" AND |; |, ", (self.license or "").replace("(MIT)", ""))
        return all(any(PERMISSIVE.fullmatch(each.strip("() ")) for each in part.split(" OR ")) for part in parts)


def locked(root: Path) -> list[str]:
    """The names in all locks, sorted."""
    texts = [path.read_text(encoding="utf-8") for path in root.glob("requirements*.lock")]
    return sorted({name for text in texts for name in re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE)})


def package(name: str) -> Package:
    """A package with the license that its metadata state: as an SPDX expression, else by classifiers, else in words."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return Package(name, None)
    kinds = [line.split(" :: ")[-1] for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    expression, in_words = ((about.get_all(key) or [""])[0] for key in ("License-Expression", "License"))
    known = "; ".join(kind for kind in kinds if kind not in ("OSI Approved", "DFSG approved"))
    return Package(name, expression or known or in_words.strip().partition("\n")[0])


def named(root: Path) -> dict[str, str]:
    """{package: its license} of the table in docs/supply.md."""
    return dict(re.findall(r"^\| `([\w.-]+)` +\| ([^|]+?) +\|", (root / NAMED).read_text(encoding="utf-8"), re.MULTILINE))


def problems(root: Path) -> Iterator[str]:
    """One line for each package that is neither permissive nor named with the license that it has."""
    allowed = named(root)
    for each in map(package, locked(root)):
        stated = each.license or "unknown"
        if each.license is not None and not each.is_permissive and allowed.get(each.name) != stated:
            yield f"{each.name}: its license is {stated}: name it in {NAMED} with what follows from it, or leave it out"


def main() -> None:
    """Print the table; exit with 1 where there is a problem."""
    root = Path(__file__).parents[2]
    packages = [package(name) for name in locked(root)]
    rows = [[each.name, "not installed here" if each.license is None else each.license or "unknown"] for each in packages]
    print(tables.plain(["Package", "License"], rows, ["left", "left"]))
    found = list(problems(root))
    print("\n".join(f"error: {problem}" for problem in found), file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
