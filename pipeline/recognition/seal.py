"""The seal of a variant: variant.json stores the sizes and SHA-256 sums of its files, under `files`.

Decision: opening a variant compares sizes, which costs nothing and finds cut-off files and most swapped ones. Scoring and
timing compare the sums too (about one second per gigabyte), so that a figure can't belong to other weights than its name
states. Other files in the folder are ignored. A folder without a seal, older or made by others, opens without a check.
"""

import hashlib
import json
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.common.files import read_json, sha256

REMEDY = "copy the variant again, or quantize again"


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
    """variant.json of a folder, after its files' sizes and sums were checked against it; BigfootError where they differ."""
    info = read_info(folder)
    check(folder, info, sums=True)
    return info


def check(folder: Path, info: dict, sums: bool = False) -> None:
    """Raise BigfootError where a file's size, or with `sums` its content, differs from `info` (variant.json)."""
    files = info.get("files") or {}
    try:
        expected = {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in files.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BigfootError(f"{folder}: `files` in variant.json can't be read: {REMEDY}") from None
    for name, (size, content) in expected.items():
        try:
            actual = (folder / name).stat().st_size
        except OSError:
            raise BigfootError(f"{folder}: {name} is missing, the variant is incomplete: {REMEDY}") from None
        if actual != size:
            cause = "it is cut off" if actual < size else "it is another file"
            raise BigfootError(f"{folder}: {name} has {actual:,} bytes, not the {size:,} it was made with ({cause}): {REMEDY}")
        if sums and sha256(folder / name) != content:
            raise BigfootError(f"{folder}: {name} has the size but not the content that it was made with: {REMEDY}")


def mark(info: dict) -> str | None:
    """A short hash of the sealed files, which differs between variants; None without a seal."""
    files = info.get("files")
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16] if files else None
