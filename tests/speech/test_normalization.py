"""Promises of pipeline/speech/normalization.py."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.speech.normalization import TextRules, described, normalize, replace_in_hypothesis, unspellable

ALL_RULES = st.builds(
    TextRules,
    case=st.sampled_from(["lower", "upper", "keep"]),
    punctuation=st.sampled_from(["drop", "keep"]),
    digits=st.sampled_from(["spell", "keep"]),
    apostrophes=st.sampled_from(["keep", "drop"]),
    form=st.sampled_from(["NFC", "NFD"]),
)
RAW = st.one_of(st.text(max_size=30), st.text(alphabet="ab AB.,'’ŉ-019 $%|\nßéİI\u200c\u202fم٣·״\"ה՞", max_size=30))
LANGUAGE = st.sampled_from(["en", "de", "tr", "fr", "ar", "th", "ca", "he"])


@given(RAW, ALL_RULES, LANGUAGE)
def test_normalizing_twice_is_normalizing_once(raw, rules, language):
    once = normalize(raw, rules, language)
    assert normalize(once, rules, language) == once


@given(RAW, ALL_RULES, LANGUAGE)
def test_words_end_up_one_space_apart_and_in_the_form(raw, rules, language):
    once = normalize(raw, rules, language)
    assert once == " ".join(once.split()) and unicodedata.is_normalized(rules.form, once)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Hello, World!", "hello world"),
        ("It’s the dog's — 'really' well-known", "it's the dog's really well known"),
        ("In 1,200 days, 7.05 km", "in one thousand two hundred days seven point zero five km"),
        ("agent 007 at -5 degrees", "agent zero zero seven at minus five degrees"),
        ("room 5.", "room five"),
        ("cafe\u0301\u200b", "café"),
    ],
)
def test_english_is_spelled_out_as_spoken(raw, expected):
    assert normalize(raw, TextRules(), "en") == expected


@pytest.mark.parametrize(
    ("language", "raw", "expected"),
    [
        ("de", "Um 8 Uhr: 1.200 Euro, 3,5 Grad!", "um acht uhr eintausendzweihundert euro drei komma fünf grad"),
        ("fr", "23 amis", "vingt trois amis"),
        ("tr", "IĞDIR İL", "ığdır il"),
        ("af", "ŉ Hond", "n hond"),
        ("el", "ΟΔΟΣ ΣΟΦΟΣ", "οδος σοφος".replace("οσ", "ος")),
        ("fa", "می\u200cروم", "می روم"),
        ("ar", "كتـــاب\u200f", "كتاب"),
        ("th", "สวัสดี\u200bครับ", "สวัสดี ครับ"),
        ("hi", "क्\u200cष", "क्ष"),
        ("de", "Auf\u200clage Fuß\u00adball", "auflage fußball"),
    ],
)
@pytest.mark.accepts(
    "Languages and text",
    "non-joiners, zero-width spaces, tatweel, soft hyphens",
    "word gaps where they separate words, else nothing",
)
def test_each_language_has_its_own_rules(language, raw, expected):
    assert normalize(raw, TextRules(digits="keep" if language in ("el", "hi") else "spell"), language) == expected


@pytest.mark.accepts("Languages and text", "case by the language (Turkish i, Greek ς, ß)", "`corpus.text.case`")
def test_capitals_follow_the_language_and_no_letter_becomes_two():
    upper = TextRules(case="upper")
    assert normalize("diyarbakır", upper, "tr") == "DİYARBAKIR" and normalize("hi", upper, "en") == "HI"
    assert normalize("Straße", upper, "de") == "STRAẞE"


def test_each_rule_can_be_turned_off():
    raw = "Don't stop at 5, OK?"
    by_rule = {key: normalize(raw, TextRules(**{key: value}), "en") for key, value in (
        ("case", "keep"), ("punctuation", "keep"), ("digits", "keep"), ("apostrophes", "drop"),
    )}  # fmt: skip
    assert by_rule == {
        "case": "Don't stop at five OK", "punctuation": "don't stop at five, ok?", "digits": "don't stop at 5 ok",
        "apostrophes": "dont stop at five ok",
    }  # fmt: skip
    assert normalize(raw, TextRules(case="upper"), "en") == "DON'T STOP AT FIVE OK"


@pytest.mark.parametrize(
    ("raw", "odd"),
    [("costs $5", ["$five"]), ("5%", ["five%"]), ("the 1st", ["1st"]), ("9,999,999,999", ["9,999,999,999"]), ("a|b c", ["a|b"]),
     ("on 3.3.33", ["3.3.33"]), ("call 0170 1234.", ["0170", "1234."]), ("at 14:30", ["14:30"]), ("٣٪", ["three٪"])],
)  # fmt: skip
def test_words_that_no_rule_spells_are_listed_and_not_guessed(raw, odd):
    assert unspellable(normalize(raw, TextRules(), "en"), TextRules()) == odd


def test_letters_of_any_language_are_spellable_and_kept_marks_too():
    assert unspellable("größe δύο दो don't", TextRules()) == []
    assert unspellable("well, 5", TextRules(punctuation="keep", digits="keep")) == []


@pytest.mark.accepts("Languages and text", "vocabularies in NFD", "`corpus.text.form: NFD`")
def test_the_form_is_the_one_of_the_vocabulary():
    assert normalize("é", TextRules(), "fr") == "\u00e9" and normalize("é", TextRules(form="NFD"), "fr") == "e\u0301"


@pytest.mark.accepts("Languages and text", "look-alike letters, abbreviations, class names", "a table: `corpus.text.replace`")
def test_the_table_replaces_letters_everywhere_and_words_as_a_whole_before_the_other_rules():
    rules = TextRules(replace={"ي": "ی", "OK": "okay", "Dr.": "Doktor", "Dr. Dr.": "Doktor Doktor", "ß": "ss", "你好": "您好"})
    assert normalize("BOOK OK", rules, "en") == "book okay"
    assert normalize("Dr. Dr. Groß, Dr. Li", rules, "de") == "doktor doktor gross doktor li"
    assert normalize("علي", rules, "fa") == "علی"
    assert normalize("我你好吗", rules, "ja") == "我您好吗"  # no gaps, so no words to be a whole of


def test_a_key_that_ends_or_begins_in_a_mark_is_a_whole_word_too():
    rules = TextRules(replace={"Dr.": "Doktor", "u.": "und", "--": " ", "'n": "ein", "राम": "रवि"})
    assert normalize("Dr.Müller u.a. Dr. Groß u. Li", rules, "de") == "dr müller u a doktor groß und li"
    assert normalize("Haus--Hof, 'n Hund, d'n", rules, "de") == "haus hof ein hund d'n"
    assert normalize("राम रामी", rules, "bn") == "रवि रामी"


def test_a_key_that_shrinks_to_a_letter_stays_a_whole_word_in_hypotheses():
    rules = TextRules(replace={"u.": "und", "S.": "Seite", "é": "e", "e": "e"}, replace_hypotheses=True)
    assert replace_in_hypothesis("du und ich suchen sieben café", rules, "de") == "du und ich suchen sieben cafe"
    assert replace_in_hypothesis("s sieben u acht", rules, "de") == "seite sieben und acht"
    both = TextRules(replace={"u.": "und", "u": "o"})
    assert replace_in_hypothesis("u du", both, "de") == "und do"


@pytest.mark.parametrize(
    ("language", "raw", "kept", "dropped"),
    [
        ("ca", "La col·lecció · l'home", "la col·lecció l'home", "la collecció lhome"),
        ("he", "צה״ל", "צה״ל", "צהל"),
        ("he", 'צה"ל "שלום"', "צה״ל שלום", "צהל שלום"),
        ("he", "ז׳קט", "ז'קט", "זקט"),
        ("hy", "ինչո՞ւ", "ինչու", "ինչու"),
        ("es", "a·b", "a b", "a b"),
    ],
)
@pytest.mark.accepts(
    "Languages and text",
    "marks inside words (Catalan ·, Hebrew gershayim, Armenian marks of tone)",
    "no gaps: kept, or left out",
)
def test_marks_inside_words_are_no_gaps(language, raw, kept, dropped):
    def by(apostrophes):
        rules = TextRules(digits="keep", apostrophes=apostrophes)
        text = normalize(raw, rules, language)
        assert unspellable(text, rules) == [] and normalize(text, rules, language) == text
        return text

    assert (by("keep"), by("drop")) == (kept, dropped)


def test_hypotheses_meet_the_table_as_the_other_rules_write_it():
    rules = TextRules(replace={"OK": "O.K.", "é": "e"}, form="NFD")
    assert replace_in_hypothesis("ok cafe\u0301", rules, "en") == "o k cafe"


def test_rules_are_described_in_one_line():
    rules = {"case": "lower", "replace": {"a": "b"}, "replace_hypotheses": True}
    assert described(rules) == "case lower, replace 1 strings, replace_hypotheses yes"
    assert described({"case": "lower", "replace": {}, "replace_hypotheses": False}) == "case lower"


def test_a_digit_in_the_table_is_a_whole_word_in_hypotheses():
    rules = TextRules(replace={"2": "zwo"}, replace_hypotheses=True)
    assert replace_in_hypothesis("zwei zweifel", rules, "de") == "zwo zweifel"
