"""`/v1/live`: the text of `transcribe --live`, and a server that outlives whatever its clients do."""

import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pipeline.apps.live.pcm import Pcm
from pipeline.apps.live.session import Session
from pipeline.apps.serving.streams import IDLE_SECONDS
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.live import Live
from tests import tiny
from tests.apps.serving.conftest import Served, final, pcm, rest, said

AUDIO = tiny.speech(4.0)


@pytest.fixture(scope="module")
def expected(variant):
    session = Session(Recognizer.load(variant), Live())
    utterances = session.feed(Pcm().feed(pcm(AUDIO))) + session.end()
    return " ".join(each.text for each in utterances if each.is_final)


@pytest.mark.parametrize("size", [333, 3_201, 100_000])
def test_a_stream_has_partial_and_final_text_with_the_times_of_words(server, expected, size):
    with server.stream() as stream:
        answers = said(stream, pcm(AUDIO), size)
    assert final(answers) == expected and expected
    assert {answer["type"] for answer in answers} == {"partial", "final"} and answers[-1]["type"] == "final"
    assert stream.close_code == 1000
    for answer in answers:
        assert set(answer) == {"type", "text", "start", "end", "words"}
        assert answer["text"] == " ".join(word["word"] for word in answer["words"])
        assert all(set(word) == {"word", "start", "end", "confidence"} for word in answer["words"])


def test_silence_is_answered_with_nothing(server):
    with server.stream() as stream:
        assert said(stream, bytes(320_000)) == [] and stream.close_code == 1000


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("hello", "only text message"),
        ("[" * 100_000, "only text message"),
        ('{"type": "config"}', "only text message"),
        (b"OggS" + bytes(100), "Ogg"),
        (b"RIFF" + bytes(70_000), "header is damaged"),
    ],
    ids="text deep other ogg wav".split(),
)
def test_what_is_no_pcm_is_named_and_ends_the_stream(server, message, named):
    with server.stream() as stream:
        stream.send(message)
        answers = rest(stream)
        assert [answer["type"] for answer in answers] == ["error"] and named in answers[0]["message"]
        assert stream.close_code == 1003


def test_a_message_that_is_too_long_ends_the_stream(server):
    with server.stream() as stream, pytest.raises(ConnectionClosed):
        stream.send(bytes((1 << 20) + 1))
        stream.recv()
    assert stream.close_code == 1009


def test_clients_that_vanish_leave_nothing_behind(server, expected):
    for _ in range(3):
        stream = server.stream()
        stream.send(pcm(AUDIO))
        stream.socket.close()  # without a word
    until(lambda: server.figure("bigfoot_streams") == 0)
    for _ in range(3):
        with server.stream() as stream:
            stream.send(pcm(AUDIO)[:1_001])
    until(lambda: server.figure("bigfoot_streams") == 0)
    with server.stream() as stream:
        assert final(said(stream, pcm(AUDIO))) == expected


def until(holds, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)


def test_more_streams_than_the_limit_are_refused_at_once_and_welcome_later(server, expected):
    until(lambda: server.figure("bigfoot_streams") == 0)
    streams = [server.stream() for _ in range(3)]
    with pytest.raises(InvalidStatus) as refused:
        server.stream()
    assert refused.value.response.status_code == 503 and b"3 streams" in refused.value.response.body
    assert server.figure("bigfoot_streams") == 3
    for stream in streams:
        stream.close()
    until(lambda: server.figure("bigfoot_streams") == 0)
    with server.stream() as stream:
        assert final(said(stream, pcm(AUDIO))) == expected


def test_a_client_that_does_not_read_holds_up_itself_alone(server, expected):
    slow = server.stream()
    slow.send(pcm(AUDIO))
    with server.stream() as stream:
        assert final(said(stream, pcm(AUDIO))) == expected
    slow.socket.close()


def test_what_is_heard_is_counted(server):
    before = server.figure('bigfoot_audio_seconds_total{kind="live"}')
    with server.stream() as stream:
        said(stream, pcm(AUDIO))
    assert server.figure('bigfoot_audio_seconds_total{kind="live"}') - before == pytest.approx(4.0)


def test_a_stop_gives_a_stream_its_last_utterance_and_refuses_the_next(variant, expected):
    served = Served(variant)
    stream = served.stream()
    stream.send(pcm(AUDIO))
    answers = [json.loads(stream.recv(timeout=60))]
    until(lambda: served.figure('bigfoot_audio_seconds_total{kind="live"}') >= 3.99)
    stopped_at = time.monotonic()
    returned, err = served.stop()
    answers += rest(stream)
    assert time.monotonic() - stopped_at < IDLE_SECONDS - 5  # at once, not when the stream is given up
    assert (returned, err) == (0, "") and stream.close_code == 1001
    assert final(answers) == expected


def test_a_stop_ends_a_stream_that_sends_faster_than_it_is_heard(variant):
    served = Served(variant)
    stream = served.stream()
    content, ended = pcm(tiny.speech(20.0)), threading.Event()

    def send() -> None:
        with contextlib.suppress(ConnectionClosed):
            while not ended.is_set():
                stream.send(content)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        until(lambda: served.figure('bigfoot_audio_seconds_total{kind="live"}') >= 20)
        stopped_at = time.monotonic()
        assert served.stop() == (0, "")
        assert time.monotonic() - stopped_at < IDLE_SECONDS - 5
    finally:
        ended.set()
        thread.join(10)


@pytest.mark.slow
def test_twenty_streams_at_once_give_each_its_own_text_and_do_not_fall_behind(variant):
    """Twenty microphones of ten seconds each, at the pace of speech, for two workers."""
    served = Served(variant, "--workers", "2")
    recognizer, block = Recognizer.load(variant, threads=1), 6_400
    sounds = [tiny.speech(10.0, seed=seed) for seed in range(20)]
    sent = [0.0] * len(sounds)

    def speak(number: int) -> list[dict]:
        content, start = pcm(sounds[number]), time.monotonic()
        with served.stream() as stream:
            for at in range(0, len(content), block):
                time.sleep(max(0.0, start + at / 32_000 - time.monotonic()))
                stream.send(content[at : at + block])
                sent[number] = (at + block) / 32_000
            stream.send('{"type": "end"}')
            return rest(stream)

    with ThreadPoolExecutor(len(sounds)) as pool:
        speaking = [pool.submit(speak, number) for number in range(len(sounds))]
        behind = []  # seconds of audio that were sent and not yet heard, of all streams
        while not all(each.done() for each in speaking):
            behind.append(sum(sent) - served.figure('bigfoot_audio_seconds_total{kind="live"}'))
            time.sleep(0.5)
    third = len(behind) // 3
    assert np.mean(behind[-third:]) < np.mean(behind[:third]) + 10 and max(behind) < 40, behind
    for answers, sound in zip(speaking, sounds, strict=True):
        session = Session(recognizer, Live())
        alone = session.feed(Pcm().feed(pcm(sound))) + session.end()
        assert final(answers.result()) == " ".join(each.text for each in alone if each.is_final)
    assert served.stop() == (0, "")
