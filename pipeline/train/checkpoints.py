"""The checkpoints of a training: which one is complete and the latest, and which ones may go.

Decision: ledger.json is written last and states the size of every other file, so a checkpoint that a kill or a full disk left
half written, or half removed, is not taken for a whole one. Older ones are removed after that, and not by the Trainer, which
would remove them first.
"""

import json
import shutil
from pathlib import Path

from pipeline.common.files import write_whole

LEDGER = "ledger.json"


def complete(checkpoint: Path, note: dict) -> None:
    """Mark a checkpoint as complete; `note` is kept with it."""
    write_whole(checkpoint / LEDGER, json.dumps({**note, "sizes": _sizes(checkpoint)}))


def note(checkpoint: Path) -> dict | None:
    """What a complete checkpoint was marked with; None where it isn't complete."""
    try:
        saved = json.loads((checkpoint / LEDGER).read_text(encoding="utf-8"))
        return saved if saved["sizes"] == _sizes(checkpoint) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint; newer ones that a kill left incomplete are removed."""
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        if note(checkpoint) is not None:
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def keep_only(folder: Path, names: set[str]) -> None:
    """Remove all checkpoints but these."""
    for checkpoint in folder.glob("checkpoint-*"):
        if checkpoint.name not in names:
            shutil.rmtree(checkpoint)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _sizes(checkpoint: Path) -> dict[str, int]:
    files = (path for path in sorted(checkpoint.rglob("*")) if path.is_file() and not path.name.startswith(LEDGER))
    return {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in files}
