"""Text rules, shared by training targets and references, and greedy CTC decoding.

`normalize` never guesses. What its rules can't turn into spoken words (symbols such as $ or %, "1st", numbers beyond the
range) stays as it is, and `unspellable` lists it, so that `prepare` drops the utterance and reports the reason. A reference
that is wrong without notice would cost more than a missing one.

Rules (params: corpus.text):
- digits: spell writes whole numbers from 0 to 999,999,999, with or without grouping commas, as English cardinals
  ("1,200" -> "one thousand two hundred"), decimals digit by digit after "point", leading zeros digit by digit ("007" ->
  "zero zero seven"), and "-5" at a word's start as "minus five". keep leaves them.
- case: lower, upper or keep.
- apostrophes: all forms become '. keep keeps those inside words ("don't") and drops quotes; drop removes them ("dont").
- punctuation: drop turns it into word gaps ("well-known" -> "well known"), except beside digits that could not be spelled:
  a date stays a date and does not become three numbers. keep leaves it, apostrophes included.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar, Literal

import numpy as np

_APOSTROPHES = str.maketrans({c: "'" for c in "\u2018\u2019\u201b\u02bc\uff07`\u00b4"})
_SPOKEN_PUNCTUATION = "%&@#\u2030"  # Unicode classifies them as punctuation, but they are read aloud
_NUMBER = re.compile(r"(?<![\w.,])(-?)([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.([0-9]+))?(?!\w|[.,][0-9])")
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["-", "-", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


@dataclass(frozen=True)
class TextRules:
    """How references and training targets are written; stored in corpus.json. In params.yaml pydantic validates it."""

    __pydantic_config__: ClassVar[dict] = {"extra": "forbid"}

    case: Literal["lower", "upper", "keep"] = "lower"
    punctuation: Literal["drop", "keep"] = "drop"
    digits: Literal["spell", "keep"] = "spell"
    apostrophes: Literal["keep", "drop"] = "keep"


def normalize(text: str, rules: TextRules) -> str:
    """The text after the rules, its words separated by one space. Applying it twice gives the same as once."""
    text = "".join(c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf"))
    text = unicodedata.normalize("NFC", text)
    if rules.case != "keep":
        text = text.lower() if rules.case == "lower" else text.upper()
    text = text.translate(_APOSTROPHES)
    if rules.apostrophes == "drop":
        text = text.replace("'", "")
    if rules.digits == "spell":
        text = _NUMBER.sub(lambda match: _spoken_number(match, upper=rules.case == "upper"), text)
    if rules.punctuation == "drop":
        text = "".join(" " if _is_dropped(text, i, rules) else c for i, c in enumerate(text))
    return unicodedata.normalize("NFC", " ".join(text.split()))


def unspellable(text: str, rules: TextRules) -> str:
    """The characters of a normalized text that no CTC alphabet should include, sorted: symbols, and remaining digits."""
    return "".join(sorted({c for c in text if not _is_spellable(c, rules)}))


def alphabet(texts: Iterable[str]) -> list[str]:
    """Every character of the texts, sorted; the word gap " " always comes first."""
    characters = {" "}
    for text in texts:
        characters.update(text)
    return sorted(characters)


def frames_needed(text: str) -> int:
    """The fewest frames in which CTC can write the text: one per character, and a blank between two equal neighbors."""
    return len(text) + sum(a == b for a, b in zip(text, text[1:], strict=False))


def cardinal(number: int) -> str:
    """English for 0 to 999,999,999: 1200 -> "one thousand two hundred"."""
    if not 0 <= number <= 999_999_999:
        raise ValueError(f"{number} is not within 0 to 999,999,999")
    for size, name in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if number >= size:
            whole, rest = divmod(number, size)
            return f"{cardinal(whole)} {name}" + (f" {cardinal(rest)}" if rest else "")
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens] + (f" {_ONES[ones]}" if ones else "")


def greedy(ids: Sequence[int] | np.ndarray, vocab: Sequence[str], blank: int) -> str:
    """The text of frame labels [frames]: repeats merged, blanks left out; `vocab`: what each token writes, "" for nothing."""
    return " ".join("".join(vocab[i] for i, _ in groupby(np.asarray(ids).tolist()) if i != blank).split())


def _spoken_number(match: re.Match, upper: bool) -> str:
    minus, whole, decimals = match.groups()
    whole = whole.replace(",", "")
    if int(whole) > 999_999_999:
        return match.group()
    digit_by_digit = len(whole) > 1 and whole.startswith("0")
    words = [_ONES[int(d)] for d in whole] if digit_by_digit else [cardinal(int(whole))]
    if minus:
        words.insert(0, "minus")
    if decimals:
        words += ["point", *(_ONES[int(d)] for d in decimals)]
    spelled = " ".join(words)
    return spelled.upper() if upper else spelled


def _is_dropped(text: str, at: int, rules: TextRules) -> bool:
    """Whether the character is punctuation that is not read aloud, or an apostrophe that is not inside a word."""
    c, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if rules.digits == "spell" and (_is_digit(before) or _is_digit(after)):
        return False
    if c == "'":
        return not (_is_letter(before) and _is_letter(after))
    return unicodedata.category(c).startswith("P") and c not in _SPOKEN_PUNCTUATION


def _is_letter(c: str) -> bool:
    return c != "" and unicodedata.category(c)[0] in "LM"


def _is_digit(c: str) -> bool:
    return c != "" and c in "0123456789"


def _is_spellable(c: str, rules: TextRules) -> bool:
    if c == " " or c == "'" or _is_letter(c):
        return True
    category = unicodedata.category(c)
    if category == "Nd":
        return rules.digits == "keep"
    return category.startswith("P") and rules.punctuation == "keep"
