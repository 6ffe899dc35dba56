"""Utterances: partial text while it is spoken, final text at a pause or at the longest length, all of it the file's text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.apps.live.session import Session, Utterance
from pipeline.apps.transcription.words import WordDecoder
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.live import Live
from tests.recognition.test_recognizer import HOP, INFO

TEXT = INFO | {"vocab": ["", " ", *"abcdefgh"]}
CHARACTERS = ["_", " ", *"abcdefgh"]


def spelled(text: str) -> np.ndarray:
    """Audio whose frames' loudness says one character each; _ is blank, and as silent as three of them have to be at the start,
    so that nothing is taken for background noise. A model that reads it is `reads`."""
    levels = np.array([CHARACTERS.index(character) for character in text], dtype=np.float32)
    return np.concatenate([np.repeat(levels / 10, HOP), np.zeros(400 - HOP, dtype=np.float32)])


def reads(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    starts = waveforms[:, : waveforms.shape[1] - 399 : HOP]
    return 20 * np.eye(len(CHARACTERS), dtype=np.float32)[np.rint(starts * 10).astype(int)]


def heard(text: str, live: Live = Live(), block: int = 1_600) -> list[Utterance]:  # noqa: B008
    session, audio = Session(Recognizer(TEXT, reads), live), spelled(text)
    found = [each for at in range(0, audio.size, block) for each in session.feed(audio[at : at + block])]
    return found + session.end()


def finals(utterances: list[Utterance]) -> list[str]:
    return [utterance.text for utterance in utterances if utterance.is_final]


def whole(text: str) -> str:
    decoder = WordDecoder(TEXT)
    return " ".join(word.word for word in decoder.decode(reads(spelled(text)[None], None)[0]) + decoder.end())


def test_a_pause_ends_an_utterance_and_words_have_the_streams_times():
    utterances = [each for each in heard("aabb cc" + "_" * 60 + "dd" + "_" * 100) if each.is_final]

    assert [each.text for each in utterances] == ["ab c", "d"]
    assert [(word.word, word.start, word.end) for word in utterances[0].words] == [("ab", 0, 0.08), ("c", 0.1, 0.14)]
    assert (utterances[1].words[0].start, utterances[1].words[0].end) == (1.34, 1.38)
    assert utterances[1].words[0].confidence == 1


def test_partial_text_grows_and_is_said_once_each():
    utterances = heard("aa__ bb__ " * 10 + "_" * 60)
    partial = [each.text for each in utterances[: [each.is_final for each in utterances].index(True)]]

    assert len(partial) == len(set(partial)) > 4 and partial == sorted(partial, key=len)
    assert all(partial[-1].startswith(text) for text in partial)
    assert finals(utterances) == [" ".join(["a", "b"] * 10)]


def test_partial_text_has_the_right_context_before_it_is_settled():
    first = heard("abc" + "_" * 29, Live(chunk=0.02, right=0.1))[0]
    assert not first.is_final and len(first.text) > 1


@given(st.text(CHARACTERS, max_size=120), st.integers(1, 40), st.integers(1, 60), st.integers(100, 9_000))
@settings(max_examples=150, deadline=None)
def test_the_utterances_together_are_the_text_of_the_file(text, chunk, longest, block):
    utterances = heard("___a" + text, Live(chunk=chunk / 50, silence=100, longest=max(longest, 10) / 50), block)
    joined, file = "".join(finals(utterances)).replace(" ", ""), whole("___a" + text).replace(" ", "")
    assert joined == file
    assert utterances[-1].is_final


@pytest.mark.parametrize("longest", [0.9, 0.92, 0.94, 0.96, 0.98, 1.0])
def test_the_longest_utterance_ends_between_words(longest):
    found = finals(heard("___" + "abc def gh_ " * 30, Live(longest=longest)))

    assert " ".join(found) == " ".join(["abc", "def", "gh"] * 30)
    assert len(found) > 6 and all(len(text) <= 50 for text in found)


@given(st.lists(st.text("abc", min_size=1, max_size=12), min_size=4, max_size=12), st.integers(15, 50))
@settings(max_examples=100, deadline=None)
def test_no_utterance_of_several_words_lasts_longer(words, longest):
    for each in heard("___" + "_".join(" ".join(words)) + "___", Live(silence=100, longest=longest / 50)):
        if each.is_final and len(each.words) > 1:
            assert each.words[-1].end - each.words[0].start <= longest / 50 + 1e-6


@pytest.mark.parametrize("frames", range(10, 30))
def test_the_word_that_was_under_way_ends_at_the_next_pause(frames):
    session, audio = Session(Recognizer(TEXT, reads), Live(longest=frames / 50)), spelled("___abc def gh abc def" + "_" * 99)
    assert " ".join(finals(session.feed(audio))) == "abc def gh abc def"


def test_without_gaps_between_words_an_utterance_is_cut_at_its_longest():
    found = finals(heard("___" + "aabbccdd" * 45, Live(longest=1.0)))
    assert "".join(found) == "abcd" * 45 and max(map(len, found)) <= 26


def test_a_letter_that_is_cut_is_written_once():
    assert finals(heard("___" + "a" * 200, Live(longest=1.0))) == ["a"]


@pytest.mark.parametrize("text", ["", "_" * 200, " " * 200])
def test_silence_says_nothing(text):
    assert heard(text) == []


def test_what_is_kept_does_not_grow():
    session, audio = Session(Recognizer(TEXT, reads), Live()), spelled("___aa bb " * 20)
    for _ in range(300):
        for each in session.feed(audio):
            assert len(each.words) < 400
    assert len(session._words) < 400
