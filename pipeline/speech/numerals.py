"""Numbers in digits as the words of a language: 1.200 in German is eintausendzweihundert, 3,5 is drei Komma fünf.

Decision: num2words (LGPL) knows the words, unless number_words.py says no; which characters group digits or begin
decimals is the table MARKS, from Unicode's CLDR 47, because no package of the lock has that data. A number is only spelled
where it has one reading. Everything else in digits stays as it is: dates, times, ordinals (1st, and 3. where a language writes
ordinals so), versions, ranges, fractions, numbers side by side (a telephone number, or an ambiguous 1 200), digits that touch
letters, and numbers whose words follow a noun (1 Hund: ein, einen, einem), unless they are only counted: decimals (1,5), single
digits in a row (1 8), a text that is a digit. A wrong word in a reference costs more than a missing one. Years are read as
cardinals, decimals digit by digit.

num2words is imported inside functions: whoever only recognizes speech never needs it.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from pipeline.speech.number_words import base, cardinal, converter, follows_noun, is_wrong, region

_SPACES = "\u00a0\u2009\u202f"  # no-break, thin and narrow no-break space: they group digits in every language (ISO 80000-1)
_CHUNK = re.compile(rf"(?:\S|(?<=\d)[{_SPACES}](?=\d{{3}}(?!\d)))+")


class Marks(NamedTuple):
    """What begins decimals, what groups digits, and how the first is spoken; "": decimals are not read digit by digit."""

    decimal: str
    grouping: str
    spoken: str


MARKS = {  # in Switzerland the point also begins decimals, but 14.30 is a time too: it stays
    "ar": Marks("\u066b", "\u066c", "فاصلة"), "be": Marks(",", "", ""), "ca": Marks(",", ".", "coma"),
    "cs": Marks(",", "", ""), "da": Marks(",", ".", "komma"), "de": Marks(",", ".", "Komma"),
    "de-CH": Marks(",", "'’", "Komma"), "de-LI": Marks(",", "'’", "Komma"), "en": Marks(".", ",", "point"),
    "eo": Marks(",", "", "komo"), "es": Marks(",", ".", "coma"), "fa": Marks("\u066b", "\u066c", ""),
    "fi": Marks(",", "", "pilkku"), "fr": Marks(",", "", "virgule"), "he": Marks(".", ",", "נקודה"),
    "hu": Marks(",", "", ""), "id": Marks(",", ".", "koma"), "is": Marks(",", ".", "komma"), "it": Marks(",", ".", "virgola"),
    "it-CH": Marks(",", "'’", "virgola"),
    "ja": Marks(".", ",", "点"), "ko": Marks(".", ",", "점"), "lt": Marks(",", "", ""), "lv": Marks(",", "", ""),
    "nb": Marks(",", "", "komma"), "nl": Marks(",", ".", "komma"), "no": Marks(",", "", "komma"),
    "pl": Marks(",", "", "przecinek"), "pt": Marks(",", ".", "vírgula"), "ro": Marks(",", ".", "virgulă"),
    "ru": Marks(",", "", ""), "sk": Marks(",", "", ""), "sl": Marks(",", ".", ""), "sr": Marks(",", ".", ""),
    "sv": Marks(",", "", "komma"), "th": Marks(".", ",", "จุด"), "tr": Marks(",", ".", "virgül"), "uk": Marks(",", "", ""),
    "vi": Marks(",", ".", "phẩy"),
}  # fmt: skip
_POINT_IN_SPANISH = {"419", "DO", "GT", "HN", "MX", "NI", "PA", "PE", "PR", "SV", "US"}  # 1,200.5, elsewhere 1.200,5
_COMMA_IN_ENGLISH = set("150 AT BE CH DE DK FI NL SE SI ZA".split())  # 1.200,5 or 1 200,5; read by many as elsewhere
_ORDINAL_DOT = set("az cs da de fi hu is lv nb no pl sk sl sr tr".split())  # "3." may be the ordinal, even at the end
_WITHOUT_SPACES = {"ja", "th"}


def spelled(text: str, language: str) -> str:
    """The text with those numbers as words that have one reading; `language` is a BCP 47 tag that `is_spoken`."""
    chunks = list(_CHUNK.finditer(text))
    words = [_word(chunks, at, language) for at in range(len(chunks))]
    ends = [0, *(chunk.end() for chunk in chunks)]
    gaps = [text[end : chunk.start()] for end, chunk in zip(ends, chunks, strict=False)]
    return "".join(part for pair in zip(gaps, words, strict=True) for part in pair) + text[ends[-1] :]


def _word(chunks: list[re.Match], at: int, language: str) -> str:
    """A piece of text without spaces, its number spelled; as it is where it has none, several, or one of several readings."""
    chunk = chunks[at][0]
    plain = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in chunk)
    if not (match := _pattern(language).fullmatch(plain)) or _is_in_a_row(plain, _neighbors(chunks, at)):
        return chunk
    names = ("before", "minus", "whole", "decimals", "after")
    before, minus, whole, decimals, after = (match[name] or "" for name in names)
    if minus and before and (before[-1].isalnum() or before[-1] in "_.,"):
        before, minus = before + minus, ""  # the hyphen of covid-19
    if _continues(before[-1:], "") or _continues(after[:1], after[1:2], language):
        return chunk
    digits = re.sub(r"\D", "", whole)
    if not decimals and follows_noun(digits, language) and not _is_counted(chunks, at):
        return chunk
    number = _number(bool(minus), digits, decimals, language)
    return chunk if number is None else chunk[: len(before)] + number + chunk[len(chunk) - len(after) :]


def _number(is_negative: bool, whole: str, decimals: str, language: str) -> str | None:
    """The words of a number that is given by its digits."""
    parts = list(whole) if len(whole) > 1 and whole.startswith("0") else [whole]
    if any(is_wrong(part, language) for part in (whole, *parts, *decimals)):
        return None
    words = [cardinal(int(part), language) for part in parts]
    if decimals:
        words += [_marks(language).spoken or None, *(cardinal(int(digit), language) for digit in decimals)]
    if is_negative:
        minus = getattr(converter(language), "negword", None) or ""
        words.insert(0, minus.strip() if minus.strip().isalpha() else None)
    known = [word for word in words if word]
    return ("" if base(language) in _WITHOUT_SPACES else " ").join(known) if len(known) == len(words) else None


def _continues(c: str, further: str, language: str = "") -> bool:
    """Whether a neighbor of a number, and the one beyond it, make it part of something else: 1st, .5, 3., 5-jährig, 90's."""
    if not c:
        return False
    if c.isalnum() or c == "_" or unicodedata.category(c).startswith("M"):
        return True
    if not language:  # before the number
        return c in ".,"
    if c == ".":
        return base(language) in _ORDINAL_DOT or further.isalnum()
    return further.isalpha() and (c in "'’," or (c in "-‐‑" and base(language) != "en"))


def _is_counted(chunks: list[re.Match], at: int) -> bool:
    """Whether no noun can follow a number: before another single digit, or alone or after one at the end of the text."""

    def nearest(places: range) -> str:
        return next((chunks[place][0] for place in places if any(map(str.isalnum, chunks[place][0]))), "")

    before, after = nearest(range(at - 1, -1, -1)), nearest(range(at + 1, len(chunks)))
    return _is_digit(after) or (not after and (not before or _is_digit(before)))


def _is_digit(chunk: str) -> bool:
    """Whether its number is a single digit; letters beyond two marks are another word once punctuation is dropped: a::1."""
    bare = "".join(c for c in chunk if not unicodedata.category(c).startswith("M"))  # an accent belongs to its letter
    return re.fullmatch(r"(?:.*\W\W|\W*)\d(?:\W\W.*|\W*)", bare) is not None


def _neighbors(chunks: list[re.Match], at: int) -> tuple[str, str]:
    return (chunks[at - 1][0] if at else ""), (chunks[at + 1][0] if at + 1 < len(chunks) else "")


def _is_in_a_row(plain: str, beside: tuple[str, str]) -> bool:
    """Whether a number stands beside another, except for single digits: 1 8 is two numbers, 0170 1234 and 1 200 may be one."""
    before, after = beside
    rows = [other for other, touches in ((before, before[-1:] + plain[:1]), (after, plain[-1:] + after[:1]))
            if len(touches) == 2 and touches.isdecimal()]  # fmt: skip
    return any(not _is_digit(chunk) for other in rows for chunk in (plain, other))


@lru_cache
def _pattern(language: str) -> re.Pattern[str]:
    """before, minus, whole, decimals and after of a piece of text that has one number."""
    decimal, grouping, _ = _marks(language)
    mark = f"(?P<mark>[{re.escape(grouping)}{_SPACES}])"
    whole = rf"[1-9]\d{{0,2}}{mark}\d{{3}}(?:(?P=mark)\d{{3}})*|\d+"
    decimals = rf"(?:{re.escape(decimal)}(?P<decimals>\d+))?" if decimal else "(?P<decimals>)"
    return re.compile(rf"(?P<before>\D*?)(?P<minus>[-−]?)(?P<whole>{whole}){decimals}(?P<after>\D*)")


def _marks(language: str) -> Marks:
    own, where = base(language), region(language)
    if own == "es" and where in _POINT_IN_SPANISH:
        return Marks(".", ",", "punto")
    if own == "en" and where in _COMMA_IN_ENGLISH:
        return Marks("", "", "")
    return MARKS.get(f"{own}-{where}") or MARKS.get(own) or Marks("", "", "")
