"""The files of language models that are read, and those that are refused before KenLM's C++ sees them."""

import gzip

import pytest

from pipeline.common.errors import BigfootError
from pipeline.quantize.ngrams import estimate
from pipeline.recognition import language_model
from pipeline.recognition.language_model import BINARY

NONE = "is not a language model: give an ARPA file"


@pytest.fixture
def arpa(tmp_path) -> str:
    estimate(["a b", "b é"], 2).write(tmp_path / "lm.arpa")
    return (tmp_path / "lm.arpa").read_text()


def test_the_words_are_those_of_the_file_without_the_special_ones(arpa, tmp_path):
    assert language_model.words(tmp_path / "lm.arpa") == ["a", "b", "é"]
    (tmp_path / "lm.arpa.gz").write_bytes(gzip.compress(arpa.encode()))
    assert language_model.words(tmp_path / "lm.arpa.gz") == ["a", "b", "é"]


def test_a_kenlm_binary_has_its_words_beside_it(tmp_path):
    (tmp_path / "lm.bin").write_bytes(BINARY + b" format version 5\n\0" + bytes(100))
    with pytest.raises(BigfootError, match="a KenLM binary, which keeps no words: put them into .*unigrams.txt"):
        language_model.words(tmp_path / "lm.bin")
    (tmp_path / "unigrams.txt").write_text("<s>\na\né\n")
    assert language_model.words(tmp_path / "lm.bin") == ["a", "é"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ngram 2=", "ngram 2=-"),  # KenLM crashes
        ("ngram 1=6", "ngram 1=many"),
        ("ngram 1=", "ngram 3="),
        ("\\data\\", "data"),
        ("\\1-grams:", ""),
        ("a", "\ud800"),
    ],
)
def test_what_is_no_arpa_file_is_refused(arpa, tmp_path, before, after):
    assert before in arpa
    (tmp_path / "lm.arpa").write_bytes(arpa.replace(before, after, 1).encode(errors="surrogatepass"))
    with pytest.raises(BigfootError, match=NONE):
        language_model.words(tmp_path / "lm.arpa")


@pytest.mark.parametrize(
    "content", [b"", b"hello", bytes(range(256)), b"\x1f\x8b\x08\x00broken", gzip.compress(b"hello", mtime=0)]
)
def test_neither_is_anything_else(tmp_path, content):
    (tmp_path / "lm.arpa").write_bytes(content)
    with pytest.raises(BigfootError, match=NONE):
        language_model.words(tmp_path / "lm.arpa")
    with pytest.raises(BigfootError, match="none.arpa is missing"):
        language_model.words(tmp_path / "none.arpa")
