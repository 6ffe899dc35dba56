"""Atomic file writes."""

import os
from pathlib import Path


def write_whole(path: Path, content: str) -> None:
    """Write a UTF-8 text file atomically: until the write is complete, and after a kill, readers see the old content."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(content, encoding="utf-8")
    os.replace(partial, path)
