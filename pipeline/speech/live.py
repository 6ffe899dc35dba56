"""How a live recognizer hears: in chunks, each with context on both sides, and where one utterance ends.

A chunk's text is final once its right context has been heard, so `chunk + right` is the algorithmic latency: how long after it
was spoken a word is certain, computation aside. The right context decides the error rate (docs/live.md has figures). A window
of `left + chunk + right` is computed for every chunk, so the work is (left + chunk + right) / chunk times that of a file.
"""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Live:
    """All in seconds. An utterance ends after `silence` without a letter, and before it would last longer than `longest`."""

    chunk: float = 0.32
    left: float = 1.28
    right: float = 0.32
    silence: float = 0.8
    longest: float = 20.0

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 0.0 if field.name in ("left", "right") else 0.02
            if not least <= getattr(self, field.name) <= 3600:
                raise ValueError(f"{field.name} is {getattr(self, field.name)} s: choose {least:g} to 3600")
