"""A number with one reading becomes words of its language; everything else in digits stays as it is."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.speech import numerals

AS_SPOKEN = [
    ("en", "1,200 and 3.5", "one thousand two hundred and three point five"),
    ("en", "007 at -5", "zero zero seven at minus five"),
    ("en", "covid-19, a 5-year plan, room 5.", "covid-nineteen, a five-year plan, room five."),
    ("en", "six nine three 1 8", "six nine three one eight"),
    ("en-GB", "101", "one hundred one"),
    ("de", "um 8 Uhr", "um acht Uhr"),
    ("de", "ich habe 3 Hunde", "ich habe drei Hunde"),
    ("de", "1.200 Euro", "eintausendzweihundert Euro"),
    ("de", "1\u202f200 Euro", "eintausendzweihundert Euro"),
    ("de", "3,5 Grad", "drei Komma fünf Grad"),
    ("de", "1.200,05 oder -4", "eintausendzweihundert Komma null fünf oder minus vier"),
    ("de-CH", "1’200", "eintausendzweihundert"),
    ("de", "(21)", "(einundzwanzig)"),
    ("fr", "1\u202f200 et 3,5", "mille deux cents et trois virgule cinq"),
    ("fr-CH", "99", "nonante-neuf"),
    ("es", "1.200 y 3,5", "mil doscientos y tres coma cinco"),
    ("es-MX", "1,200 y 3.5", "mil doscientos y tres punto cinco"),
    ("pt-BR", "1.205", "mil duzentos e cinco"),
    ("it", "3,5", "tre virgola cinque"),
    ("tr", "21 ve 3,05", "yirmi bir ve üç virgül sıfır beş"),
    ("tr", "1.212.816", "bir milyon iki yüz on iki bin sekiz yüz on altı"),
    ("ar", "٣ و 1200", "ثلاثة و ألف ومئتان"),
    ("ar", "٣٫٥", "ثلاثة فاصلة خمسة"),
    ("pl", "-5", "minus pięć"),
    ("nb", "7", "syv"),
    ("kk", "7", "жеті"),
    ("ru", "1\u00a0200", "одна тысяча двести"),
]
AS_THEY_ARE = [
    ("en", "2024-05-01"), ("en", "5/1/2024"), ("en", "14:30"), ("en", "the 1st"), ("en", "the 90's"), ("en", "1.2.3"),
    ("en", "9,999,999,999"), ("en", "on 3.3.33"), ("en", "v1.2"), ("en", "5-10"), ("en", "5–10"), ("en", "0170 1234567"),
    ("en", "555-1234"), ("en", "1 200"), ("en", "24/7"), ("en", "1,20"), ("en", "0,123"), ("en", "3.org"), ("en", "mp3"),
    ("de", "1.5.2024"), ("de", "am 3. Mai"), ("de", "der 3."), ("de", "14:30"), ("de", "14.30 Uhr"), ("de", "2024-05-01"),
    ("de", "5-jährig"), ("de", "3.5"), ("de", "1,200.5"), ("de-CH", "1.200"), ("fr", "le 1er"), ("fr", "1 200"),
    ("fr", "1.200"), ("ru", "5-й"), ("ru", "3,5"), ("tr", "5'te"), ("fa", "۳٫۵"), ("am", "1200"), ("ko", "3시"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "text", "spoken"), AS_SPOKEN)
@pytest.mark.accepts(
    "Languages and text", "numbers, with the decimal mark and grouping of the language", "written as words by num2words"
)
def test_a_number_with_one_reading_is_spelled_in_its_language(language, text, spoken):
    assert numerals.spelled(text, language) == spoken


@pytest.mark.parametrize(("language", "text"), AS_THEY_ARE)
@pytest.mark.refuses(
    "Languages and text",
    "dates, times, ordinals, versions, phone numbers in training text",
    "the utterance is dropped and reported; in dev and test it is scored as it is",
)
def test_what_has_another_reading_is_not_mangled(language, text):
    assert numerals.spelled(text, language) == text


@given(st.integers(0, 999_999_999))
def test_english_words_mean_the_number(number):
    values = {numerals.cardinal(n, "en"): n for n in [*range(20), *range(20, 100, 10)]}
    total = group = 0
    for word in numerals.cardinal(number, "en").split():
        if word == "hundred":
            group *= 100
        elif word in ("thousand", "million"):
            total, group = total + group * {"thousand": 1_000, "million": 1_000_000}[word], 0
        else:
            group += values[word]
    assert total + group == number


def test_languages_are_known_by_their_codes_and_scripts():
    assert all(map(numerals.is_spoken, ("de", "DE-at", "pt-BR", "en-US", "sr-Latn-RS", "nb", "kk")))
    assert not any(map(numerals.is_spoken, ("zh", "el", "hi", "sr", "sr-Cyrl", "nn", "tlh")))


@pytest.mark.parametrize("language", sorted(numerals.MARKS))
def test_every_language_with_marks_is_spoken(language):
    tag = "sr-Latn" if language == "sr" else language
    assert numerals.is_spoken(tag) and numerals.cardinal(7, tag)


def test_recognition_does_not_load_num2words():
    code = "import sys, pipeline.recognition.recognizer, pipeline.speech.normalization; print('num2words' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
