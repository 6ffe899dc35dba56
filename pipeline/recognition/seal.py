"""What a variant's files were when it was made: variant.json keeps their sizes and SHA-256 sums, under `files`.

Decision: whoever opens a variant compares sizes, which costs nothing and tells a cut-off file and most swapped ones; whoever
scores or times one compares the sums too (about a second for a gigabyte), so that no figure is of other weights than its
name says. What a folder holds besides is not looked at. A folder without a seal, older or made by others, opens as it is.
"""

import hashlib
import json
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.common.files import read_json, sha256

MEND = "copy the variant again, or quantize anew"


def seal(folder: Path) -> dict[str, dict]:
    """{file: {"bytes": ..., "sha256": ...}} of all files in a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in files
    }  # fmt: skip


def read_info(folder: Path, command: str = "dvc repro") -> dict:
    """variant.json of a variant's folder, which `command` makes; raises BigfootError where there is none, or it is broken."""
    return read_json(folder / "variant.json", command)


def read(folder: Path) -> dict:
    """variant.json of a folder whose files are, by their content, those that it was made with; else BigfootError."""
    info = read_info(folder)
    check(folder, info, sums=True)
    return info


def check(folder: Path, info: dict, sums: bool = False) -> None:
    """Raise BigfootError where a file isn't what `info` (variant.json) says: by its size, with `sums` by its content."""
    files = info.get("files") or {}
    try:
        wanted = {name: (int(was["bytes"]), str(was["sha256"])) for name, was in files.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BigfootError(f"{folder}: `files` in variant.json can't be read: {MEND}") from None
    for name, (size, content) in wanted.items():
        try:
            found = (folder / name).stat().st_size
        except OSError:
            raise BigfootError(f"{folder}: {name} is missing, the variant is incomplete: {MEND}") from None
        if found != size:
            what = "it is cut off" if found < size else "it is another file"
            raise BigfootError(f"{folder}: {name} has {found:,} bytes, not the {size:,} it was made with ({what}): {MEND}")
        if sums and sha256(folder / name) != content:
            raise BigfootError(f"{folder}: {name} is not the file that this variant was made with, though as long: {MEND}")


def mark(info: dict) -> str | None:
    """The sealed files in one short word, by which two variants are told apart; None without a seal."""
    files = info.get("files")
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16] if files else None
