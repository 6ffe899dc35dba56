"""Words of a beam search: its own text, with the times and confidences that the greedy path would give it."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.apps.transcription import transcribe_file
from pipeline.apps.transcription.searched import SearchedWords, aligned
from pipeline.apps.transcription.words import WordDecoder
from pipeline.quantize import ngrams
from pipeline.recognition import decoding
from pipeline.recognition.decoding import BeamDecoder
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import audio
from tests.apps.serving.conftest import Served
from tests.apps.transcription.test_words import INFO, VOCAB, likely
from tests.planted import bigfoot
from tests.tiny import speech

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


# ---------------------------------------------------------------- bigfoot transcribe


@pytest.fixture(scope="module")
def decoded(variant, tmp_path_factory):
    """The variant, with a decoding; and a recording of three pieces, with the words that its greedy path has."""
    folder = tmp_path_factory.mktemp("decoded")
    soundfile.write(folder / "a.wav", speech(70.0), 16_000)
    words = Recognizer.load(variant).transcribe(audio.read(folder / "a.wav")).split()
    shutil.copytree(variant, folder / "local.fp32-onnx+lm")
    ngrams.estimate([" ".join(words[at : at + 8]) for at in range(0, len(words) // 2, 8)], 2).write(
        folder / "local.fp32-onnx+lm/lm.arpa.gz"
    )
    path = folder / "local.fp32-onnx+lm/variant.json"
    info = json.loads(path.read_text()) | {"variant": "local.fp32-onnx+lm"}
    path.write_text(json.dumps(info | {"decoding": {"file": "lm.arpa.gz", "alpha": 0.5, "beta": 0.0, "beam": 8}}))
    return folder


def test_a_long_recordings_words_are_those_of_the_beam_search(variant, decoded):
    folder = decoded / "local.fp32-onnx+lm"
    transcript = transcribe_file(folder, decoded / "a.wav", threads=1)
    assert transcript.text == Recognizer.load(folder).transcribe(audio.read(decoded / "a.wav"))
    assert transcript.text != transcribe_file(variant, decoded / "a.wav", threads=1).text and transcript.words[-1].start > 65


def test_a_server_has_the_words_of_the_beam_search(decoded):
    folder = decoded / "local.fp32-onnx+lm"
    served = Served(folder)
    answer = served.post((decoded / "a.wav").read_bytes())
    assert answer.json()["text"] == Recognizer.load(folder).transcribe(audio.read(decoded / "a.wav"))
    assert served.stop() == (0, "")


def test_hot_words_come_from_the_command_line_and_what_cant_be_written_is_one_line(variant, decoded):
    done = bigfoot("transcribe", variant, decoded / "a.wav", "--hot-word", "Zoe", "--hot-word", "anna", cwd=decoded)
    expected = transcribe_file(variant, decoded / "a.wav", threads=1, hot_words=["zoe", "anna"])
    assert (done.returncode, done.stdout) == (0, f"{expected.text}\n")
    assert expected.text != transcribe_file(variant, decoded / "a.wav", threads=1).text
    done = bigfoot("transcribe", variant, decoded / "a.wav", decoded / "a.wav", "--hot-word", "Zoë", cwd=decoded)
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.count("\n") == 1
    assert "hot word 'Zoë': the model doesn't write 'ë', only ' a b" in done.stderr
