"""The n-gram model of texts: probabilities that sum to one, and the file that others read."""

import gzip
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.quantize.ngrams import BEGIN, END, UNKNOWN, estimate

TEXTS = ["a b a", "a b c", "b c", "a a b", "c", "a b a c d"] * 2 + ["d e f"]


@given(
    texts=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=30),
    order=st.integers(1, 4),
    least_count=st.integers(1, 3),
)
def test_after_every_context_the_probabilities_of_all_words_sum_to_one(texts, order, least_count):
    model = estimate(texts, order, least_count)
    contexts = {gram for grams in model.probabilities[:-1] for gram in grams if gram[-1] not in (END, UNKNOWN)}
    for context in [(), ("z",), *contexts]:
        total = sum(model.probability(word, context) for word in (*model.words, END, UNKNOWN))
        assert total == pytest.approx(1, abs=1e-9), context


def test_a_shorter_ngram_counts_the_words_before_it():
    """`san francisco` is frequent, but `francisco` follows one word alone; `town` follows two."""
    model = estimate(["san francisco"] * 9 + ["old town", "new town"], 2)
    assert model.probability("town", ("x",)) > model.probability("francisco", ("x",))
    assert model.probability("francisco", ("san",)) > 0.8


def test_what_occurs_less_often_than_the_least_count_is_left_out():
    kept = estimate(TEXTS, 3, 2).probabilities
    assert ("d", "e") not in kept[1] and ("a", "b") in kept[1] and ("e",) in kept[0]
    assert all(gram[1:] in kept[1] and gram[:-1] in kept[1] for gram in kept[2])


def test_perplexity_is_that_of_the_probabilities_and_unknown_words_are_counted():
    model = estimate(TEXTS, 2)
    own = model.probability("a", (BEGIN,)) * model.probability("b", ("a",)) * model.probability(END, ("b",))
    assert model.perplexity(["a b"]) == (pytest.approx(math.exp(-math.log(own) / 3)), 0.0)
    assert model.perplexity(["a zebra"])[1] == 0.5


def test_the_same_texts_give_the_same_file(tmp_path):
    for name in ("one.arpa.gz", "two.arpa.gz", "plain.arpa"):
        estimate(TEXTS, 3).write(tmp_path / name)
    assert (tmp_path / "one.arpa.gz").read_bytes() == (tmp_path / "two.arpa.gz").read_bytes()
    text = (tmp_path / "plain.arpa").read_text()
    assert gzip.decompress((tmp_path / "one.arpa.gz").read_bytes()).decode() == text
    assert text.startswith("\\data\\\nngram 1=9\n") and text.endswith("\\end\\\n")
