"""Beam search: the likeliest text of all, language models and hot words that change it, and pieces of long recordings."""

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.quantize import ngrams
from pipeline.quantize.ngrams import BEGIN, END
from pipeline.recognition import decoding
from pipeline.recognition.decoding import BeamDecoder
from pipeline.speech import text

needs_library = pytest.mark.skipif(not decoding.is_installed(), reason="needs the extra lm: make lm")
VOCAB = ["", "", " ", "a", "b"]  # a blank, and a special token that writes nothing
INFO = {"vocab": VOCAB, "blank": 0, "sample_rate": 16_000, "conv_strides": [5, 2, 2, 2, 2, 2, 2]}
SHORT = st.integers(1, 5).flatmap(
    lambda frames: st.lists(st.lists(st.floats(-1.5, 1.5, width=32), min_size=5, max_size=5), min_size=frames, max_size=frames)
)


def decoder(folder=None, **changes) -> BeamDecoder:
    return BeamDecoder(INFO | {"decoding": {"file": "lm.arpa", "alpha": 1.0, "beta": 0.0, "beam": 1000} | changes}, folder)


def likelihoods(logits: np.ndarray) -> dict[str, float]:
    """The probability of each text: the sum over all paths of frames that write it."""
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    found: dict[str, float] = defaultdict(float)
    for path in itertools.product(range(len(VOCAB)), repeat=len(logits)):
        found[text.greedy(path, VOCAB, 0)] += math.prod(row[token] for row, token in zip(shares, path, strict=True))
    return found


def likely(path: list[int], probability: float = 0.9) -> np.ndarray:
    """Logits in which each frame's token has this probability, and the other tokens share the rest."""
    logits = np.full((len(path), len(VOCAB)), math.log((1 - probability) / (len(VOCAB) - 1)), dtype=np.float32)
    logits[np.arange(len(path)), path] = math.log(probability)
    return logits


@needs_library
@settings(max_examples=60, deadline=None)
@given(SHORT)
def test_a_wide_beam_finds_the_text_that_a_search_of_all_paths_finds(rows):
    logits = np.array(rows, dtype=np.float32)
    of_texts = likelihoods(logits)
    best, second, *_ = [*sorted(of_texts.values(), reverse=True), 0.0]
    assume(best - second > 1e-4)
    assert of_texts[decoder().text(logits)] == best


@needs_library
@settings(max_examples=60, deadline=None)
@given(SHORT)
def test_a_beam_never_finds_a_less_likely_text_than_the_greedy_path(rows):
    logits = np.array(rows, dtype=np.float32)
    of_texts = likelihoods(logits)
    assert of_texts[decoder().text(logits)] >= of_texts[text.greedy(logits.argmax(-1), VOCAB, 0)] - 1e-5


@needs_library
@settings(max_examples=60, deadline=None)
@given(SHORT, st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_hot_words_without_weight_change_nothing(rows, hot_words):
    logits = np.array(rows, dtype=np.float32)
    assert decoder().text(logits, hot_words, weight=0.0) == decoder().text(logits)


@needs_library
def test_a_hot_word_wins_where_the_sound_is_in_doubt():
    logits = likely([3, 4, 0, 3])
    logits[3] = np.log([0.1, 0.05, 0.05, 0.42, 0.38])  # aba, or abb
    assert decoder().text(logits) == "aba"
    assert decoder().text(logits, ["abb"]) == "abb"
    assert decoder().text(logits, ["bbbb"]) == "aba", "one that nobody can hear says nothing"


MODEL = ngrams.estimate(["a b", "ab a", "ab", "aba b", "b", "b ab", "bb"], 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variant")
    MODEL.write(folder / "lm.arpa")
    return folder


@needs_library
@settings(max_examples=100, deadline=None)
@given(SHORT, st.sampled_from([0.3, 1.0]), st.sampled_from([0.0, 1.5]))
def test_with_a_language_model_the_text_with_the_highest_sum_is_found(folder, rows, alpha, beta):
    logits = np.array(rows, dtype=np.float32)

    def total(found: str, likelihood: float) -> float:
        words, logs = found.split(), math.log(likelihood)
        for at, word in enumerate((*words, END)):
            logs += alpha * math.log(MODEL.probability(word, (BEGIN, *words[:at])))
        return logs + beta * len(words)

    of_texts = likelihoods(logits)
    known = {found: total(found, value) for found, value in of_texts.items() if MODEL.words.issuperset(found.split())}
    best, second, *_ = sorted(known.values(), reverse=True)
    assume(best - second > 1e-3)
    found = decoder(folder, alpha=alpha, beta=beta).text(logits)
    assert MODEL.words.issuperset(found.split()) and known[found] == best


@needs_library
@pytest.mark.parametrize("suffix", [".arpa", ".arpa.gz"])
def test_the_language_model_decides_where_the_sound_is_in_doubt(tmp_path, suffix):
    ngrams.estimate(["aba ab", "aba ab", "abb a", "b"], 2).write(tmp_path / f"lm{suffix}")
    logits = likely([3, 4, 0, 3, 2, 3, 4])
    logits[3] = np.log([0.1, 0.05, 0.05, 0.38, 0.42])
    assert decoder().text(logits) == "abb ab"
    assert decoder(tmp_path, file=f"lm{suffix}").text(logits) == "aba ab"
    assert decoder(tmp_path, file=f"lm{suffix}", alpha=0.0).text(logits) == "abb ab", "without weight it says nothing"


@needs_library
def test_a_hot_word_that_the_language_model_doesnt_know_wins_too(tmp_path):
    ngrams.estimate(["aba ab", "aba", "ab"], 2).write(tmp_path / "lm.arpa")
    logits = likely([3, 4, 0, 3])
    logits[3] = np.log([0.1, 0.05, 0.05, 0.4, 0.4])
    assert decoder(tmp_path).text(logits) == "aba" and decoder(tmp_path).text(logits, ["abb"]) == "abb"


@needs_library
def test_a_hot_word_that_the_language_model_doesnt_know_gives_others_no_larger_bonus(tmp_path):
    ngrams.estimate(["aba ab", "aba", "ab"], 2).write(tmp_path / "lm.arpa")
    logits = likely([3, 4, 3, 3])
    logits[2:] = np.log([0.0075, 0.0005, 0.001, 0.99, 0.001])  # "ab" has e^10 times less of it than "aba"
    assert decoder(tmp_path).text(logits) == "aba"
    for hot_words in (["ab"], ["ab", "bbb"]):
        assert decoder(tmp_path).text(logits, hot_words) == "aba"


@needs_library
def test_hot_words_of_both_kinds_are_found_in_a_long_text(tmp_path):
    ngrams.estimate(["aba bab", "bab bab", "bb bab", "aba"], 2).write(tmp_path / "lm.arpa")
    name, word, pause = (likely(path, 0.999) for path in ([3, 4, 0, 3, 2], [4, 3, 4, 2], [0] * 40 + [2]))
    name[3] = np.log([0.005, 0.001, 0.001, 0.575, 0.418])  # aba or, unknown, abb
    word[1] = np.log([0.2975, 0.0005, 0.001, 0.7, 0.001])  # bab or bb
    logits = np.concatenate([name, *[pause, word] * 12])
    search = decoder(tmp_path, alpha=0.5, beam=64)
    assert search.text(logits) == " ".join(["aba", *["bab"] * 12])
    assert search.text(logits, ["abb", "bb"]) == " ".join(["abb", *["bb"] * 12])


@needs_library
def test_with_hot_words_of_both_kinds_no_word_is_cut(tmp_path):
    ngrams.estimate(["aba bab", "bab bab", "bb bab", "aba"], 2).write(tmp_path / "lm.arpa")
    slow = [3] * 4 + [0] * 20 + [4] * 4 + [0] * 20 + [3] * 4 + [2]  # blanks within the word, and none between two
    search = decoder(tmp_path, alpha=0.5, beam=64)
    for path in (slow * 12, ([3] * 20 + [4] * 20) * 9):
        logits = likely(path, 0.999)
        assert search.text(logits, ["bab", "rr"]) == search.text(logits, ["bab"])


@needs_library
def test_hot_words_of_one_text_are_forgotten_for_the_next(tmp_path):
    ngrams.estimate(["aba ab", "aba", "ab"], 2).write(tmp_path / "lm.arpa")
    logits, search = likely([3, 4, 0, 3]), decoder(tmp_path)
    logits[3] = np.log([0.1, 0.05, 0.05, 0.4, 0.4])
    asked = [["abb"], [], ["bbb"], ["abb"], []]
    assert [search.text(logits, hot_words) for hot_words in asked] == ["abb", "aba", "aba", "abb", "aba"]


@needs_library
def test_nothing_is_heard_in_nothing():
    assert decoder().text(np.zeros((0, len(VOCAB)), dtype=np.float32)) == ""
    assert decoder().text(likely([0, 0, 2, 0])) == ""


# ---------------------------------------------------------------- long recordings


@needs_library
@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 5000), max_size=3), st.integers(0, 2**32 - 1))
def test_a_long_recording_has_the_same_text_however_its_logits_come(cuts, seed):
    rng = np.random.default_rng(seed)
    path = np.repeat(rng.choice(len(VOCAB), 1700, p=[0.5, 0.05, 0.15, 0.15, 0.15]), 3)[:5000].tolist()
    logits, search = likely(path), decoder(beam=8)
    pieces = decoding.Pieces(search)
    texts = []
    for part in np.split(logits, sorted(cuts)):
        texts += [search.piece_text(piece) for piece in pieces.add(part)]
    texts += [search.piece_text(piece) for piece in pieces.end()]
    assert len(texts) >= 4 and " ".join(" ".join(texts).split()) == search.text(logits)


@needs_library
def test_a_long_recording_is_cut_in_its_longest_pause_and_no_word_with_it():
    word = [3, 3, 4, 4, 3, 2]
    path = word * 150 + [0] * 40 + word * 200  # 0.8 s of silence at 18 s, within the second half of the first 30 s
    search = decoder(beam=8)
    pieces = [*(cut := decoding.Pieces(search)).add(likely(path)), *cut.end()]
    assert [len(piece) for piece in pieces][0] == 920 and sum(map(len, pieces)) == len(path)
    assert search.text(likely(path)).split() == ["aba"] * 350


# ---------------------------------------------------------------- what is refused


@needs_library
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["aB", "Zoe"], "hot word 'Zoe': the model doesn't write 'Z', only a b"),
        ([""], "hot word '': has to have 1 to 50 letters"),
        (["a" * 51], "has to have 1 to 50 letters"),
        (["a"] * 101, "101 hot words, more than the 100 accepted"),
        (["a\0b"], r"doesn't write '\\x00'"),
        (["a\ud800"], r"doesn't write '\\ud800'"),
    ],
)
def test_hot_words_that_the_model_cant_write_are_refused(words, complaint):
    with pytest.raises(BigfootError, match=complaint):
        decoder().checked(words)


@needs_library
def test_hot_words_take_over_the_models_case():
    assert decoder().checked(["AB a", "b"]) == ["ab a", "b"]


@needs_library
@pytest.mark.parametrize("letters", ["\u00e4", "a\u0308"])
@pytest.mark.parametrize("word", ["\u00e4b", "a\u0308B"])
def test_hot_words_are_taken_in_either_form_of_unicode(letters, word):
    found = BeamDecoder(INFO | {"vocab": ["", "", " ", "b", *letters]}).checked([word])
    assert found == [f"{letters}b"]


@needs_library
def test_what_kenlm_cant_read_is_one_line(tmp_path):
    (tmp_path / "lm.arpa").write_text("\\data\\\nngram 1=3\n\n\\1-grams:\nno number\ta\n\n\\end\\\n")
    with pytest.raises(BigfootError, match="can't be read as a language model") as raised:
        decoder(tmp_path)
    assert "\n" not in str(raised.value)


@needs_library
def test_a_model_without_word_gaps_has_no_beam_search():
    with pytest.raises(BigfootError, match="writes no gaps between words"):
        BeamDecoder(INFO | {"vocab": ["", "a", "b"]})


def test_without_the_library_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setattr(decoding, "find_spec", lambda name: None)
    with pytest.raises(BigfootError, match="is not installed: `make lm` installs the extra `lm`, .* glibc 2.35") as raised:
        BeamDecoder(INFO)
    assert "\n" not in str(raised.value)
