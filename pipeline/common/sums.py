"""The sizes and SHA-256 sums of a folder's files, by which a file that was cut off, swapped or damaged is found.

Decision: the sums are computed whenever a figure or a copy rests on the files. Where a variant or the teacher's logits are only
opened they are computed once: `check` and `check_all` remember in the user's cache that a folder was whole, by its path and by
each file's size, time of modification and inode, so that a second opening reads nothing of the files. The price: damage that
leaves all three as they were (a failing disk) is found by those who compute the sums alone. Where the cache can't be written,
they are computed each time.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.common.files import sha256, sha256_of

SLOTS = 4096  # the cache's most files, of 64 bytes each: two folders in one slot only make one another forgotten
Sums = Mapping[str, Mapping]  # {file: {"bytes": ..., "sha256": ...}}


def of(folder: Path, files: Iterable[Path]) -> dict[str, dict]:
    """The sums of files in a folder."""
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in sorted(files)
    }  # fmt: skip


def check(folder: Path, sums: Sums, what: str, remedy: str, remembered: bool = False) -> None:
    """Raise BigfootError unless the folder's files are those of `sums`; other files in it are ignored.

    `what` is incomplete where a file is missing. `remembered`: a folder that was whole before and has not changed isn't read.
    """
    state = _state(folder)
    for name, expected in sums.items():
        try:
            now = (folder / name).stat()
        except (OSError, ValueError):
            raise BigfootError(f"{folder}: {name} is missing, {what} is incomplete: {remedy}") from None
        if now.st_size != expected["bytes"]:
            cause = "it is cut off" if now.st_size < expected["bytes"] else "it is another file"
            sizes = f"has {now.st_size:,} bytes, not the {expected['bytes']:,} it was made with"
            raise BigfootError(f"{folder}: {name} {sizes} ({cause}): {remedy}")
        _add(state, name, expected["sha256"], now)
    slot, found = _slot(folder) if remembered else None, state.hexdigest()
    if _recalled(slot) == found:
        return
    for name, expected in sums.items():
        if sha256(folder / name) != expected["sha256"]:
            raise BigfootError(f"{folder}: {name} has the size but not the content that it was made with: {remedy}")
    _remember(slot, found)


def check_all(folder: Path, names: Iterable[str], digest: str, what: str, remedy: str) -> None:
    """Raise BigfootError unless `digest` is `sha256_of` these files of the folder.

    `what` names them in the plural. A folder that was whole before and has not changed isn't read.
    """
    state, files = _state(folder), [folder / name for name in names]
    for file in files:
        try:
            _add(state, file.name, digest, file.stat())
        except OSError:
            raise BigfootError(f"{folder}: {file.name} is missing, {what} are incomplete: {remedy}") from None
    slot, found = _slot(folder), state.hexdigest()
    if _recalled(slot) == found:
        return
    if sha256_of(files) != digest:
        raise BigfootError(f"{folder}: {what} are damaged, not what was written: {remedy}")
    _remember(slot, found)


def _state(folder: Path):
    """A hash that begins with a folder's path, for `_add`."""
    return hashlib.sha256(str(folder.resolve()).encode())


def _add(state, name: str, digest: str, now: os.stat_result) -> None:
    state.update(f"\0{name}\0{digest}\0{now.st_size}\0{now.st_mtime_ns}\0{now.st_ino}".encode())


def _slot(folder: Path) -> Path | None:
    """The file of the cache that a folder's state is kept in; None where there is no home for a cache."""
    place = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(place):
        return None
    number = int(hashlib.sha256(str(folder.resolve()).encode()).hexdigest(), 16) % SLOTS
    return Path(place, "bigfoot", "sums", f"{number:03x}")


def _recalled(slot: Path | None) -> str | None:
    try:
        return slot.read_text(encoding="ascii") if slot else None
    except (OSError, ValueError):
        return None


def _remember(slot: Path | None, state: str) -> None:
    if slot is None:
        return
    try:
        slot.parent.mkdir(parents=True, exist_ok=True)
        slot.write_text(state, encoding="ascii")
    except OSError:  # it is computed again next time
        pass
