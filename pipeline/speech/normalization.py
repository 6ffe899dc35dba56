"""Text rules (params: corpus.text) that write references and training targets, in the language of the corpus.

`normalize` never guesses. What its rules can't turn into spoken words (symbols such as $ or %, "1st", a date) stays as it is,
and `unspellable` lists its words, so that `prepare` reports it. The rules in their order:

- Characters that are not seen. A zero-width space becomes a space. So does a zero-width non-joiner between letters of Arabic
  script, where it separates parts of words (Persian, Urdu, Kurdish); elsewhere it only forbids a ligature and vanishes. Soft
  hyphens, joiners, marks of direction, other format characters and Arabic's tatweel, which stretches a word, vanish.
- replace: the user's table. A key of one character is replaced wherever it is (look-alike letters), a longer one only as a
  whole word: beside letters and digits it is not, whatever it ends in. The longest first, each place once. Keys are compared
  in NFC, before case and punctuation change. `replace_in_hypothesis` takes each key as the other rules write it, and still as
  a whole word where it was longer than a character.
- apostrophes: all forms become '. keep keeps those inside words ("don't") and drops quotes; drop removes them ("dont"). So it
  is with the other marks inside words, Catalan's · (col·lecció) and Hebrew's gershayim (also typed as ").
- digits: spell writes numbers as words, see pipeline/speech/numerals.py. keep leaves them.
- case: lower, upper or keep, by the language's rules: Turkish and Azerbaijani i and ı are two letters, a Greek sigma that ends
  a word is ς. The capital of ß is ẞ and never SS; who wants SS replaces ß by ss.
- punctuation: drop turns it into word gaps ("well-known" -> "well known"), except in and beside numbers that were not spelled:
  a date stays a date and does not become three numbers. Armenian's marks of tone, inside words, vanish. keep leaves it,
  apostrophes included.
- form: Unicode's NFC (é is one character) or NFD (e and an accent), as the model's vocabulary has it.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pipeline.speech import numerals
from pipeline.speech.replacement import Key, replaced

_APOSTROPHES = str.maketrans({c: "'" for c in "\u2018\u2019\u201b\u02bc\uff07`\u00b4\u05f3"} | {"\u0149": "'n"})
_SPOKEN_PUNCTUATION = "%&@#\u2030\u066a"  # Unicode classifies them as punctuation, but they are read aloud
_GERSHAYIM = "\u05f4"
_INSIDE_WORDS = {"ca": "\u00b7", "oc": "\u00b7", "he": _GERSHAYIM, "yi": _GERSHAYIM}  # like the apostrophe, in a language
_TYPED_GERSHAYIM = re.compile('(?<=[\u05d0-\u05ea])["\u201c\u201d](?=[\u05d0-\u05ea])')
_TONES = "\u055b\u055c\u055e"  # Armenian's, over a letter
_ZERO_WIDTH_SPACE, _NON_JOINER, _TATWEEL = "\u200b", "\u200c", "\u0640"
_DOTTED = ("tr", "az")


@dataclass(frozen=True)
class TextRules:
    """How references and training targets are written; stored in corpus.json. In params.yaml pydantic validates it.

    `replace` is the table itself, or the path of a CSV in corpus.data with the columns from and to; in corpus.json it is
    always the table. `replace_hypotheses`: whether it also applies to what a variant recognized, when that is scored.
    """

    __pydantic_config__: ClassVar[dict] = {"extra": "forbid"}

    case: Literal["lower", "upper", "keep"] = "lower"
    punctuation: Literal["drop", "keep"] = "drop"
    digits: Literal["spell", "keep"] = "spell"
    apostrophes: Literal["keep", "drop"] = "keep"
    form: Literal["NFC", "NFD"] = "NFC"
    replace: dict[str, str] | str = field(default_factory=dict)
    replace_hypotheses: bool = False

    def __post_init__(self) -> None:
        if "" in self.replace and not isinstance(self.replace, str):
            raise ValueError("replace: an empty string can't be replaced")


def normalize(text: str, rules: TextRules, language: str) -> str:
    """The text after the rules, its words separated by one space.

    `language` is a BCP 47 tag. Without a table of replacements, applying it twice gives the same as once.
    """
    text = replaced(unicodedata.normalize("NFC", _without_unseen(text)), _table(rules))
    text = text.translate(_APOSTROPHES)
    marks = _INSIDE_WORDS.get(language.split("-")[0].lower(), "")
    if marks == _GERSHAYIM:
        text = _TYPED_GERSHAYIM.sub(_GERSHAYIM, text)
    if rules.apostrophes == "drop":
        text = re.sub(f"['{marks}]", "", text)
    if rules.digits == "spell":
        text = numerals.spelled(text, language)
    text = _cased(text, rules.case, language)
    if rules.punctuation == "drop":
        text = re.sub(r"\S+", lambda match: _without_punctuation(match[0], rules, "'" + marks), text)
    return unicodedata.normalize(rules.form, " ".join(text.split()))


def replace_in_hypothesis(text: str, rules: TextRules, language: str) -> str:
    """What a variant recognized, after the table of replacements, whose both sides are written by the other rules first."""
    plain = TextRules(rules.case, rules.punctuation, rules.digits, rules.apostrophes)
    table = {}
    for key, new in _table(rules).items():
        if written := normalize(key.text, plain, language):
            is_word = key.is_word or len(written) > len(key.text)  # "2", which is a word once it is spelled
            table[Key(written, is_word)] = normalize(new, plain, language)
    return unicodedata.normalize(rules.form, " ".join(replaced(unicodedata.normalize("NFC", text), table).split()))


def unspellable(text: str, rules: TextRules) -> list[str]:
    """The words of a normalized text with characters that no CTC alphabet should include: symbols, and remaining digits."""
    return [word for word in text.split() if not all(_is_spellable(c, rules) for c in word)]


def described(rules: Mapping[str, object]) -> str:
    """The rules of a corpus.json for readers: "case lower, punctuation drop, ..."; of a table only its size."""
    shown = {rule: f"{len(value)} strings" if isinstance(value, Mapping) else value for rule, value in rules.items()}
    kept = {rule: value for rule, value in shown.items() if rules[rule] not in ({}, False)}
    return ", ".join(f"{rule} {'yes' if value is True else value}" for rule, value in kept.items())


def _without_unseen(text: str) -> str:
    return "".join(_seen(text, at) for at in range(len(text)))


def _seen(text: str, at: int) -> str:
    """A character as it is; " " or "" for one that can't be seen."""
    c = text[at]
    if c == _ZERO_WIDTH_SPACE or (c == _NON_JOINER and _is_arabic(text[at - 1 : at]) and _is_arabic(text[at + 1 : at + 2])):
        return " "
    if c == _TATWEEL or (unicodedata.category(c) in ("Cc", "Cf") and not c.isspace()):
        return ""
    return c


def _is_arabic(c: str) -> bool:
    return c != "" and unicodedata.name(c, "").startswith("ARABIC")


def _table(rules: TextRules) -> dict[Key, str]:
    assert isinstance(rules.replace, dict), "prepare reads the table from its CSV first"
    keys = ((unicodedata.normalize("NFC", old), new) for old, new in rules.replace.items())
    return {Key(old, len(old) > 1 and any(map(str.isalnum, old))): new for old, new in keys}


def _cased(text: str, case: str, language: str) -> str:
    dotted = language.split("-")[0].lower() in _DOTTED
    if case == "lower":
        return (text.replace("I\u0307", "i").replace("İ", "i").replace("I", "ı") if dotted else text).lower()
    if case == "upper":
        return (text.replace("i", "İ") if dotted else text).replace("ß", "ẞ").upper()
    return text


def _without_punctuation(word: str, rules: TextRules, inside: str) -> str:
    """A word with gaps for its punctuation, except from one character before to one after digits that are not to be kept.

    `inside`: the marks that stay between letters.
    """
    word = re.sub(rf"(?<!\d)[{_TONES}](?!\d)", "", word)  # between digits it would make one number of two
    digits = [at for at, c in enumerate(word) if c.isdecimal()] if rules.digits == "spell" else []
    kept = range(digits[0] - 1, digits[-1] + 2) if digits else range(0)
    return "".join(" " if at not in kept and _is_dropped(word, at, inside) else c for at, c in enumerate(word))


def _is_dropped(word: str, at: int, inside: str) -> bool:
    """Whether the character is punctuation that is not read aloud; one of the marks `inside` words only at their edges."""
    c = word[at]
    if c in inside:
        return not (_is_letter(word[at - 1 : at]) and _is_letter(word[at + 1 : at + 2]))
    return unicodedata.category(c).startswith("P") and c not in _SPOKEN_PUNCTUATION


def _is_letter(c: str) -> bool:
    return c != "" and unicodedata.category(c)[0] in "LM"


def _is_spellable(c: str, rules: TextRules) -> bool:
    if c in f" '{''.join(_INSIDE_WORDS.values())}" or _is_letter(c):
        return True
    category = unicodedata.category(c)
    if category == "Nd":
        return rules.digits == "keep"
    return category.startswith("P") and rules.punctuation == "keep"
