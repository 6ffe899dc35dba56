"""Files that are there whole or not at all."""

import os
from pathlib import Path


def write_whole(path: Path, content: str) -> None:
    """Write a text file in UTF-8; whoever reads it meanwhile, or after a kill, finds what was there before."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(content, encoding="utf-8")
    os.replace(partial, path)
