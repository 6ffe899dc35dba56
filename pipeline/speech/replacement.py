"""A table of replacements (params: corpus.text.replace), applied to a text: a letter anywhere, longer keys as words."""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # scripts without word gaps
_ACCENTS = "".join(c for c in map(chr, range(0x300, 0x1A00)) if unicodedata.category(c)[0] == "M")  # not in \w
_IN_WORD = rf"(?:[^\W{SPACELESS}]|(?![{SPACELESS}])[{_ACCENTS}])"


class Key(NamedTuple):
    """What is replaced; `is_word`: only as a whole word. Marks alone ("--") are not a word."""

    text: str
    is_word: bool


def replaced(text: str, table: Mapping[Key, str]) -> str:
    """The text, in NFC, with each key replaced by its value: the longest first, each place once."""
    if not table:
        return text
    pattern, values = _compiled(tuple(table.items()))
    return pattern.sub(lambda match: values[(match.lastindex or 0) - 1], text)


@lru_cache
def _compiled(table: tuple[tuple[Key, str], ...]) -> tuple[re.Pattern[str], list[str]]:
    """One pattern with a group for each key, the longest first, and their values in the same order."""
    rows = sorted(table, key=lambda row: (len(row[0].text), row[0].is_word), reverse=True)
    return re.compile("|".join(f"({_searched(key)})" for key, _ in rows)), [new for _, new in rows]


def _searched(key: Key) -> str:
    """The pattern of a key. Next to letters of a script without word gaps there are no words to be a whole of."""
    if not key.is_word:
        return re.escape(key.text)
    begins, ends = (not re.match(f"[{SPACELESS}]", c) for c in (key.text[0], key.text[-1]))
    return (rf"(?<!{_IN_WORD})" if begins else "") + re.escape(key.text) + (rf"(?!{_IN_WORD})" if ends else "")
