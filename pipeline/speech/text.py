"""Greedy CTC decoding, and the alphabet and the length of texts for CTC; light, because every variant runs it."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np


def alphabet(texts: Iterable[str]) -> list[str]:
    """Every character of the texts, sorted; the word gap " " always comes first."""
    characters = {" "}
    for text in texts:
        characters.update(text)
    return sorted(characters)


def frames_needed(text: Sequence) -> int:
    """The fewest frames in which CTC can write a text or tokens: one for each, and a blank between two equal neighbors."""
    return len(text) + sum(a == b for a, b in zip(text, text[1:], strict=False))


def greedy(ids: Sequence[int] | np.ndarray, vocab: Sequence[str], blank: int) -> str:
    """The text of frame labels [frames]: repeats merged, blanks left out; `vocab`: what each token writes, "" for nothing."""
    return " ".join("".join(vocab[i] for i, _ in groupby(np.asarray(ids).tolist()) if i != blank).split())
