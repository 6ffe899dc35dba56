"""Words of a beam search: its own text, with the times and confidences that the greedy path would give it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.apps.transcription.searched import SearchedWords, aligned
from pipeline.apps.transcription.words import WordDecoder
from pipeline.recognition import decoding
from pipeline.recognition.decoding import BeamDecoder
from tests.apps.transcription.test_words import INFO, VOCAB, likely

pytestmark = pytest.mark.skipif(not decoding.is_installed(), reason="needs the extra lm: make lm")
PATHS = st.lists(st.sampled_from(range(len(VOCAB))), min_size=1, max_size=40)


def search(beam: int = 64) -> BeamDecoder:
    return BeamDecoder(INFO | {"decoding": {"file": "", "alpha": 0.0, "beta": 0.0, "beam": beam}})


@settings(deadline=None)
@given(PATHS)
def test_where_the_text_is_that_of_the_greedy_path_so_are_times_and_confidences(path):
    logits = likely(path, [0.55 + 0.01 * (n % 30) for n in range(len(path))])
    greedy, searched = WordDecoder(INFO), SearchedWords(INFO, search())
    expected, found = [*greedy.decode(logits), *greedy.end()], [*searched.decode(logits), *searched.end()]
    if [word.word for word in found] == [word.word for word in expected]:
        assert found == expected


@settings(deadline=None)
@given(PATHS, st.integers(0, 2**32 - 1))
def test_the_words_are_those_of_the_text_in_the_order_of_time(path, seed):
    logits = likely(path, [0.4] * len(path)) + np.random.default_rng(seed).normal(0, 1, (len(path), len(VOCAB)))
    decoder = search()
    searched = SearchedWords(INFO, decoder, ["ab'"])
    words = [*searched.decode(logits), *searched.end()]
    assert " ".join(word.word for word in words) == decoder.text(logits, ["ab'"])
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times) and all(word.start < word.end for word in words)
    assert all(0 < word.confidence <= 1 for word in words)


def test_a_word_that_a_hot_word_put_there_keeps_the_confidence_of_its_sound():
    logits = likely([0, 3, 4, 0, 2, 4, 0], [0.9] * 7)
    logits[2] = likely([4], [0.5])[0]
    logits[2, 6] = logits[2, 4] - 0.5  # ab, or less likely a'
    plain, hot = SearchedWords(INFO, search()), SearchedWords(INFO, search(), ["a'"])
    before, after = ([*each.decode(logits), *each.end()] for each in (plain, hot))
    assert [word.word for word in before] == ["ab", "b"] and [word.word for word in after] == ["a'", "b"]
    assert [(word.start, word.end) for word in before] == [(word.start, word.end) for word in after]
    assert after[0].confidence < before[0].confidence and after[1].confidence == before[1].confidence


def test_a_text_takes_the_frames_that_it_needs():
    texts = ["", " ", "a", "ab"]
    piece = np.log(np.full((4, 4), 0.25, dtype=np.float32))
    piece[:, 3] = np.log(0.4)
    assert aligned(piece, ["a", "ab"], texts)[1][0][2] == pytest.approx(0.4), "the longest token first"
    spans = aligned(piece[:3], ["aa"], texts)[0]
    assert [span[:2] for span in spans] == [(0, 1), (2, 3)], "equal letters have a blank between them"


def test_times_go_on_over_pieces():
    word = [3, 3, 4, 2]
    logits = likely([0] + word * 900, [0.9] * 3601)  # 72 s
    searched = SearchedWords(INFO, search(8))
    words = [*searched.decode(logits[:2000]), *searched.decode(logits[2000:]), *searched.end()]
    greedy = WordDecoder(INFO)
    assert words == [*greedy.decode(logits), *greedy.end()] and len(words) == 900
