"""Live audio gives the logits of a file, whatever blocks it comes in, in bounded memory and time; pauses are blank."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.live import Live
from tests.recognition.test_recognizer import HOP, INFO, local_frames
from tests.tiny import speech

RATE = 16_000
HOURS = 2


def spoken(seconds: float, seed: int = 0) -> np.ndarray:
    """Speech that falls silent for 0.1 s twice a second, so that none of the rest is taken for background."""
    audio = speech(seconds, seed)
    audio[np.arange(audio.size) % 8_000 < 1_600] = 0
    return audio


def heard(recognizer: Recognizer, audio: np.ndarray, live: Live, sizes=(1_600,)) -> np.ndarray:
    """The settled logits of audio that comes in blocks of `sizes`, repeated."""
    stream, parts, at, turn = recognizer.stream_live(live), [], 0, 0
    while at < audio.size:
        parts += stream.feed(audio[at : at + sizes[turn % len(sizes)]])
        at, turn = at + sizes[turn % len(sizes)], turn + 1
    parts += stream.end()
    return np.concatenate([np.zeros((0, 4), dtype=np.float32), *(part.settled for part in parts)])


@settings(max_examples=60, deadline=None)
@given(
    seconds=st.floats(0.0, 4.0),
    chunk=st.floats(0.02, 1.0),
    left=st.floats(0.0, 2.0),
    right=st.floats(0.0, 1.0),
    sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=4),
)
def test_a_model_without_context_gives_the_frames_of_a_file_in_any_chunks_and_blocks(seconds, chunk, left, right, sizes):
    audio, recognizer = spoken(seconds), Recognizer(INFO, local_frames)
    sizes = [max(size, 100) for size in sizes]
    frames = heard(recognizer, audio, Live(chunk, left, right), sizes)
    whole = recognizer.logits(audio)

    assert len(frames) == len(whole)
    assert recognizer.text(frames) == recognizer.text(whole)


@given(st.lists(st.integers(100, 30_000), min_size=1, max_size=5), st.booleans())
@settings(max_examples=20, deadline=None)
def test_what_is_heard_does_not_depend_on_the_blocks(sizes, normalize):
    audio, recognizer = spoken(3.0), Recognizer(INFO | {"normalize": normalize}, local_frames)

    np.testing.assert_array_equal(heard(recognizer, audio, Live(), sizes), heard(recognizer, audio, Live(), [audio.size]))


def test_where_the_right_context_covers_all_there_is_one_pass_and_the_text_is_the_files():
    passes = []

    def run(waveforms, lengths):
        passes.append(waveforms.shape[1])
        return local_frames(waveforms)

    audio = spoken(5.3)
    frames = heard(Recognizer(INFO, run), audio, Live(right=6.0))
    np.testing.assert_array_equal(frames, local_frames(audio[None])[0])
    assert passes == [audio.size]


def test_each_chunk_has_its_contexts_and_is_settled_once_the_right_one_is_there():
    windows, stream_frames = [], []

    def run(waveforms, lengths):
        windows.append(waveforms[0])
        return local_frames(waveforms)

    audio, live = spoken(4.0), Live(chunk=0.32, left=0.64, right=0.16)
    stream = Recognizer(INFO, run).stream_live(live)
    for at in range(0, audio.size, HOP):
        for part in stream.feed(audio[at : at + HOP]):
            stream_frames.append(len(part.settled))
            assert len(part.tentative) in (0, 8)  # none in a pause
            spoken_until, settled_until = at + HOP, sum(stream_frames) * HOP
            assert spoken_until - settled_until <= (0.16 + 0.04) * RATE
    assert set(stream_frames) == {16} and len(stream_frames) > 9
    longest = (16 + 32 + 8 - 1) * HOP + 400
    assert max(map(len, windows)) == longest and len(windows[0]) == (16 + 8 - 1) * HOP + 400
    np.testing.assert_array_equal(windows[5], audio[3 * 16 * HOP :][:longest])


def test_the_running_mean_and_variance_come_to_those_of_the_file():
    windows = []

    def run(waveforms, lengths):
        windows.append(waveforms[0])
        return local_frames(waveforms)

    audio = spoken(20.0) * np.float32(0.3) + np.float32(0.01)
    heard(Recognizer(INFO | {"normalize": True}, run), audio, Live())
    last = np.concatenate(windows[-10:-1])
    assert abs(last.mean()) < 0.1 and 0.8 < last.std() < 1.3


def test_a_word_that_is_said_softly_stays_softer_than_the_others():
    windows = []

    def run(waveforms, lengths):
        windows.append(waveforms[0])
        return local_frames(waveforms)

    audio = spoken(20.0)
    audio[10 * RATE : 12 * RATE] *= np.float32(0.25)
    heard(Recognizer(INFO | {"normalize": True}, run), audio, Live(left=0.0))
    loud, soft = (np.concatenate([windows[round(at / 0.32)] for at in times]).std() for times in ((9, 9.3), (10.7, 11)))
    assert 0.2 < soft / loud < 0.35


@pytest.mark.parametrize("background", [0.0, 0.0003, 0.003])
def test_pauses_are_blank_and_cost_no_pass(background):
    passes = []

    def run(waveforms, lengths):
        passes.append(waveforms.shape[1])
        logits = local_frames(waveforms)
        logits[..., 0] = -100  # it hears a letter in everything
        return logits

    audio = np.concatenate([spoken(3.0), np.zeros(20 * RATE, dtype=np.float32), spoken(3.0)])
    audio += np.random.default_rng(0).standard_normal(audio.size).astype(np.float32) * np.float32(background)
    recognizer = Recognizer(INFO, run)
    frames = heard(recognizer, audio, Live())
    pause = frames[4 * 50 : 22 * 50].argmax(-1)
    assert (pause == INFO["blank"]).all() and len(passes) < 30
    assert (frames[: 2 * 50].argmax(-1) != INFO["blank"]).mean() > 0.9 < (frames[-100:].argmax(-1) != INFO["blank"]).mean()


def test_hours_need_the_memory_and_the_work_of_seconds():
    """Two hours, of which a fifth is speech, at full speed."""
    work = 0

    def run(waveforms, lengths):
        nonlocal work
        work += waveforms.shape[1]
        return np.zeros((1, waveforms.shape[1] // HOP, 4), dtype=np.float32)

    minute = np.concatenate([spoken(12.0), np.full(48 * RATE, 1e-3, dtype=np.float32)])
    stream = Recognizer(INFO | {"normalize": True}, run).stream_live()
    frames = 0

    def minutes(number: int) -> int:
        nonlocal frames
        for _ in range(number):
            for at in range(0, minute.size, 8_000):
                frames += sum(len(part.settled) for part in stream.feed(minute[at : at + 8_000]))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early, late = minutes(2), minutes(60 * HOURS - 2)
    finally:
        tracemalloc.stop()
    assert abs(frames * HOP - HOURS * 3600 * RATE) < RATE
    assert abs(late - early) < 200_000
    assert work < 6.1 * HOURS * 3600 * RATE


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.array([0.1, np.nan], dtype=np.float32), "NaN"),
        (np.zeros((2, 8), dtype=np.float32), "one channel"),
        (np.zeros(8, dtype=np.int16), "int16"),
    ],
)
def test_samples_of_the_wrong_kind_are_an_error(samples, message):
    with pytest.raises(BigfootError, match=message):
        Recognizer(INFO, local_frames).stream_live().feed(samples)


@pytest.mark.parametrize("wrong", [{"chunk": 0.0}, {"left": -1.0}, {"right": float("nan")}, {"silence": 0.0}, {"longest": 1e9}])
def test_settings_have_bounds(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Live(**wrong)


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 719, 720, 5_000])
def test_short_audio_gives_the_frames_of_a_file(samples):
    audio, recognizer = spoken(1.0)[1_600 : 1_600 + samples], Recognizer(INFO, local_frames)
    np.testing.assert_array_equal(heard(recognizer, audio, Live()), recognizer.logits(audio))


def test_a_variant_with_a_language_model_is_refused_by_name():
    recognizer = Recognizer(INFO, local_frames)
    recognizer.info = INFO | {"variant": "thin.int8-onnx+lm", "decoding": {}}  # to open one needs the extra lm
    with pytest.raises(BigfootError, match=r"^thin.int8-onnx\+lm decodes with a language model, .*: take thin.int8-onnx$"):
        recognizer.stream_live()
