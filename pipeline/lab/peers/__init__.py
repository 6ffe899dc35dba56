"""Peers: what else makes the same model small and fast on a CPU, measured beside Bigfoot's own variants of it.

known.py says which peers there are and how each is made and run, measure.py lets all of them take turns on the same
audio, table.py shows what came of it. Nothing here decides anything: no peer becomes champion, and no stage reads it.
"""

import hashlib
from pathlib import Path


def weights(model_folder: Path) -> str | None:
    """The SHA-256 of a model's weights, by which a comparison is known to be of it; None where there are none."""
    file = model_folder / "model.safetensors"
    if not file.is_file():
        return None
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
