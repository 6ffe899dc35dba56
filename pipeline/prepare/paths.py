"""Finds the audio files that tables name, and for one that is missing what was probably meant."""

import os
import unicodedata
from functools import cached_property
from pathlib import Path, PureWindowsPath

from pipeline.prepare.tables import SUFFIXES


class Finder:
    """Finds files by paths relative to a folder.

    `turned` counts the paths whose backslashes were read as slashes, `missing` has the paths without a file, and `outside` the
    files that are not in the folder.
    """

    def __init__(self, data: Path):
        self.data, self.turned, self.missing, self.outside = data, 0, set[Path](), set[Path]()

    def find(self, base: Path, written: str) -> tuple[Path, str]:
        """The file of a path relative to `base`, and "" or, if it is missing, the most similar path in `data`."""
        if path := self.found(base, written):
            return path, ""
        turned = base / written.replace("\\", "/")
        if "\\" in written and os.path.isfile(turned):
            self.turned += 1
            return turned, ""
        self.missing.add(base / written)
        return base / written, self._nearest(written)

    @staticmethod
    def found(base: Path, written: str) -> Path | None:
        """The file of a path relative to `base`; None where there is none."""
        forms = (written, *(unicodedata.normalize(form, written) for form in ("NFC", "NFD")))  # a Mac writes accents apart
        return next((path for form in forms if os.path.isfile(path := base / form)), None)

    def _nearest(self, written: str) -> str:
        """The file with the same name, whatever its case and suffix, that has most folders in common; "" for none.

        This covers another suffix or case, a missing folder, and an absolute path of another machine, Windows included.
        """
        wanted = PureWindowsPath(written)
        alike = self._by_stem.get(wanted.stem.lower(), [])
        return max(alike, key=lambda name: _in_common(wanted, PureWindowsPath(name)), default="")

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """{name without suffix, in lower case: paths in `data`}; made only where a file is missing."""
        found: dict[str, list[str]] = {}
        for folder, _, names in sorted(os.walk(self.data)):
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() not in SUFFIXES:
                    found.setdefault(stem.lower(), []).append(os.path.relpath(os.path.join(folder, name), self.data))
        return found


def _in_common(one: PureWindowsPath, other: PureWindowsPath) -> tuple[int, bool]:
    """How many of the last folders two paths share, and whether their names are the same."""
    count = 0
    for left, right in zip(reversed(one.parts[:-1]), reversed(other.parts[:-1]), strict=False):
        if left.lower() != right.lower():
            break
        count += 1
    return count, one.name.lower() == other.name.lower()
