"""The words of a number, where num2words has the form that is spoken; None elsewhere.

Two tables were made by reading what num2words 0.5 writes in each language, from 0 to millions. AGREES: numbers whose words
follow the noun that is counted (ein Hund, eine Katze; doscientas personas; Korean counting words), which digits don't show.
WRONG: numbers that num2words writes wrongly; where a rule mends its words, it is in REWORDED. Both are patterns of the digits.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Any

MOST = 999_999_999
_ALIASES = {"kk": "kz", "nb": "no"}  # codes by which num2words calls languages that have another in BCP 47
_NOT_SPOKEN = {"ce", "cy", "kn", "te"}  # two systems of counting, forms for use before nouns, or wrong from 100 on
_ONE, _ONE_OR_TWO, _UNITS = r"(?<!1)1$", r"(?<!1)[12]$", r"(?<!1)[1-9]$"
_HUNDREDS = r"|(?<=[02-9])1\d{3}$|[2-9]\d\d(?:\d{3})?$"  # 200 to 900, also of thousands; 21 thousand

AGREES = {
    "am": _ONE, "ar": r"[1-9]$|1\d$|^2000?$", "be": _ONE_OR_TWO, "ca": _ONE_OR_TWO + _HUNDREDS + r"|(?<!1)2\d{3}$",
    "cs": _ONE_OR_TWO, "de": r"(?:^|0)1$", "es": _ONE + _HUNDREDS,
    "fr": r"(?<![179])1$", "fr-BE": _ONE, "fr-CH": _ONE + r"|8\d(?:\d{3})*$",
    "he": r"[1-9]$|1\d$", "hu": r"2$", "is": r"(?<!1)[1-4]$", "it": _ONE, "ko": r"[1-9]$|[1-9]\d$", "lt": _UNITS, "lv": _UNITS,
    "no": _ONE, "pl": r"^1$|(?<!1)2$", "pt": _ONE_OR_TWO + _HUNDREDS + r"|(?<!1)2\d{3}$", "ro": r"(?<!1)1$|2$",
    "ru": _ONE_OR_TWO, "sk": "^[1-4]$", "sl": r"(?:^|0)[1-4]$", "sr": _ONE_OR_TWO, "sv": _ONE, "uk": _ONE_OR_TWO,
}  # fmt: skip
_MILLIONS = r"(?<=[02-9])1\d{6}$"  # 21 million, 31 million
_CENTS = r"^(?![2-9]00$)\d*[2-9]\d\d(?:\d{3})*$"  # deux cent trente, deux cent mille: only exact hundreds are cents
WRONG = {
    "am": r"\d{7}", "ar": r"^(?!10+$)\d{5}", "az": r"\d1\d{3}$", "cs": r"(?<=[2-9])[2-4](?:\d{3}|\d{6})$",
    "da": r"(?:^|0)1$|\d(?!000)\d{3}(?:000)?$|01\d{3}$", "de": r"01\d{6}$", "es": _MILLIONS,
    "fr-BE": _CENTS + r"|80$", "fr-CH": _CENTS, "hu": r"\d2(?:\d{3}|\d{6})$",
    "it": _MILLIONS, "ko": r"^0\d", "no": r"(?<=[02-9])1\d{3}$", "ro": r"(?<=[02-9])1\d{3}$|12\d{3}$|\d{8}",
    "sl": r"0[1-4]\d{3}$|\d{7}", "sv": _MILLIONS, "vi": r"\d0(?:[1-9]|[1-9]\d|0[1-9])(?:\d{3})*$",
}  # fmt: skip
REWORDED = {  # what num2words writes in another way than texts do: [(pattern, replacement)]
    "en": [("-", " "), (" and ", " ")],  # today's usage of American English, in all of English
    "ar": [(" و ", " و"), ("مئتا$", "مئتان"), ("^ألفا$", "ألفان")],
    "cs": [("dvěstě", "dvě stě"), ("(tři|čtyři)sta", r"\1 sta"), ("(pět|šest|sedm|osm|devět)set", r"\1 set")],
    "da": [("^en millioner", "en million")],
    "de": [("einstausend", "eintausend")],
    "fi": [(r"(?<=\w)miljoona", " miljoona")],
    "fr": [("^un millions", "un million")],
    "it": [(r"(?<=\w)tre$", "tré")],
    "lv": [("simtu", "simts")],
    "nl": [(r"(?<=\w)één", "een"), (r"duizend(?=\w)", "duizend ")],
    "no": [(r"\ben (hundre|tusen)", r"ett \1"), (r"^(?!en )(.*) million\b", r"\1 millioner")],
    "sv": [("ettt", "ett")],
    "tr": [("(milyon|altmış|yetmiş|seksen|doksan|sekiz|dokuz|yirmi|sıfır|dört|altı|yedi|otuz|kırk|elli|"
            "bir|iki|beş|yüz|bin|üç|on)", r"\1 ")],
}  # fmt: skip
_DECLINED = {"ar", "be", "cs", "fi", "is", "lt", "lv", "pl", "ru", "sk", "sl", "sr", "uk"}


def is_spoken(language: str) -> bool:
    """Whether the numbers of a BCP 47 tag can be spelled, in its script."""
    return converter(language) is not None


def is_declined(language: str) -> bool:
    """Whether number words change with their case, so that the base form may not be what was said."""
    return base(language) in _DECLINED


def follows_noun(digits: str, language: str) -> bool:
    """Whether the words of a number depend on the noun that is counted; one with leading zeros is read digit by digit."""
    return (digits == "0" or not digits.startswith("0")) and _is_in(AGREES, digits, language)


def is_wrong(digits: str, language: str) -> bool:
    """Whether num2words writes the number wrongly, or can't be told to."""
    return len(digits.lstrip("0")) > len(str(MOST)) or _is_in(WRONG, digits, language)


def cardinal(number: int, language: str) -> str | None:
    """The words of a number from 0 to 999,999,999; None where num2words can't say it."""
    assert 0 <= number <= MOST
    try:
        words = converter(language).to_cardinal(number).replace(",", "")
    except (AttributeError, LookupError, NotImplementedError, OverflowError, TypeError, ValueError):
        return None  # what num2words raises for numbers that it can't say
    for pattern, replacement in _of(REWORDED, language) or []:
        words = re.sub(pattern, replacement, words)
    words = " ".join(words.split())
    return words if words and all(c in " -'’" or unicodedata.category(c)[0] in "LM" for c in words) else None


@lru_cache
def converter(language: str) -> Any:
    """num2words' object for a language, None where it has none: the region's, else the language's."""
    from num2words import CONVERTER_CLASSES

    own = base(language)
    if own in _NOT_SPOKEN or (own == "sr" and "-latn" not in language.lower()):
        return None  # its Serbian is in Latin letters, which have to be asked for
    names = (f"{own}_{region(language)}", _ALIASES.get(own, own))
    return next((CONVERTER_CLASSES[name] for name in names if name in CONVERTER_CLASSES), None)


def base(language: str) -> str:
    """de of de-CH."""
    return language.split("-")[0].lower()


def region(language: str) -> str:
    """CH of de-CH, "" where there is none."""
    found = re.search(r"-([A-Za-z]{2}|\d{3})(?=-|$)", re.split(r"-\w-", language)[0])  # -u-co- and the like are extensions
    return found[1].upper() if found else ""


def _is_in(table: dict[str, str], digits: str, language: str) -> bool:
    pattern = _of(table, language)
    return pattern is not None and re.search(pattern, digits) is not None


def _of(table: dict[str, Any], language: str) -> Any:
    """What a table has for the region of a language, else for the language."""
    own = base(language)
    return table.get(f"{own}-{region(language)}", table.get("no" if own == "nb" else own))
