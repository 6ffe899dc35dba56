"""Words of the greedy path: the text that text.greedy gives, with frames and confidences as calculated by hand."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.apps.transcription.words import Word, WordDecoder
from pipeline.speech import text

VOCAB = ["", "", " ", "a", "b", "", "'"]
INFO = {"vocab": VOCAB, "blank": 0, "sample_rate": 16_000, "conv_strides": [5, 2, 2, 2, 2, 2, 2]}


def decoded(logits: np.ndarray, cuts: list[int] | None = None, info: dict = INFO) -> list[Word]:
    decoder = WordDecoder(info)
    parts = np.split(logits, sorted(cuts or []))
    return [word for part in parts for word in decoder.decode(part)] + decoder.end()


def likely(path: list[int], probabilities: list[float]) -> np.ndarray:
    """Logits in which each frame's token has that probability, and the other tokens share the rest."""
    logits = np.zeros((len(path), len(VOCAB)), dtype=np.float32)
    for row, token, probability in zip(logits, path, probabilities, strict=True):
        row[token] = math.log(probability * (len(VOCAB) - 1) / (1 - probability))
    return logits + 3.0  # softmax is the same wherever logits lie


def test_words_have_the_frames_of_their_tokens_and_the_mean_of_their_tokens_peaks():
    path = [0, 3, 3, 0, 3, 2, 0, 4, 0, 6]
    probabilities = [0.9, 0.5, 0.8, 0.9, 0.6, 0.9, 0.9, 0.4, 0.9, 0.7]
    first, second = decoded(likely(path, probabilities))

    assert (first.word, first.start, first.end) == ("aa", 0.02, 0.1)
    assert (second.word, second.start, second.end) == ("b'", 0.14, 0.2)
    assert (first.confidence, second.confidence) == (0.7, 0.55)  # (0.8 + 0.6) / 2, (0.4 + 0.7) / 2


def test_frames_are_as_long_as_the_models_strides_make_them():
    slow = INFO | {"conv_strides": [5, 2, 2, 2, 2, 2, 4]}
    assert [(word.start, word.end) for word in decoded(likely([0, 3, 0, 4, 2, 3], [0.9] * 6), info=slow)] == [
        (0.04, 0.16), (0.2, 0.24)
    ]  # fmt: skip


@given(st.lists(st.sampled_from(range(len(VOCAB))), max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_the_words_are_those_of_the_text_wherever_the_parts_are_cut(path, cuts):
    logits = likely(path, [0.3 + 0.02 * (n % 30) for n in range(len(path))])
    whole = decoded(logits)

    assert " ".join(word.word for word in whole) == text.greedy(path, VOCAB, 0)
    assert decoded(logits, [min(cut, len(path)) for cut in cuts]) == whole
    times = [time for word in whole for time in (word.start, word.end)]
    assert times == sorted(times) and all(word.start < word.end for word in whole)


def test_silence_has_no_words():
    assert decoded(np.zeros((0, len(VOCAB)), dtype=np.float32)) == decoded(likely([0, 0, 2, 0], [0.9] * 4)) == []
