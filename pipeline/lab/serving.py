"""What a server of one variant carries: live streams at the pace of speech, and many clients with files, all of them real.

    python -m pipeline.lab.serving CORPUS VARIANT [STREAMS [SECONDS [CLIENTS]]]

First each of STREAMS (20) clients says SECONDS (30) of the first test set's utterances to `bigfoot serve --workers 2`, in
blocks of 0.1 s. `behind_s` is how much audio was sent and not yet recognized, for each stream; `answer_ms` are from the arrival
of a block to its text, waiting for other streams included. Then CLIENTS (50) post one utterance after the other, five each,
without a pause. Texts are compared with those of the recognizer alone. Times hold for this machine and what else ran on it: its
load is stated beside them.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle, islice

import numpy as np
import psutil
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pipeline.apps.live.pcm import Pcm
from pipeline.apps.live.session import Session
from pipeline.apps.serving.uploads import PATH
from pipeline.common.command import stage_main
from pipeline.common.errors import BigfootError
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import audio
from pipeline.speech.corpus import Corpus, open_corpus
from pipeline.speech.live import Live

RATE, BLOCK_SECONDS, WORKERS, FILES_EACH = 16_000, 0.1, 2, 5


def main(corpus: str = "", variant: str = "", streams: int = 20, seconds: float = 30, clients: int = 50) -> None:
    """Print what was measured as JSON; raises BigfootError where the corpus or the variant is missing."""
    opened, recognizer = open_corpus(corpus), Recognizer.load(variant, threads=1)
    with _server(variant, streams, clients) as (address, process):
        print(json.dumps({"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}), flush=True)
        contents = _contents(opened, streams, seconds)
        print(json.dumps({"live": _live(address, contents, recognizer, process)}), flush=True)
        print(json.dumps({"files": _files(address, opened, clients, recognizer)}), flush=True)


@contextmanager
def _server(variant: str, streams: int, clients: int) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a server and its process."""
    command = [sys.executable, "-m", "pipeline.cli", "serve", variant, "--port", "0", "--workers", str(WORKERS)]
    limits = {"BIGFOOT_SERVE_MAX_STREAMS": str(streams), "BIGFOOT_SERVE_MAX_WAITING": str(clients)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | limits) as server:
        try:
            found = re.search(r"http://(\S+)", server.stdout.readline() if server.stdout else "")
            if not found:
                raise BigfootError(f"{variant} can't be served")
            yield found[1], psutil.Process(server.pid)
        finally:
            server.terminate()


def _contents(corpus: Corpus, streams: int, seconds: float) -> list[bytes]:
    """PCM for each stream: the utterances from another one on, one after the other."""
    utterances = list(corpus.utterances(corpus.test_sets[0]))
    sounds = (
        np.concatenate([corpus.audio(each) for each in islice(cycle(utterances), at, at + len(utterances))])
        for at in range(streams)
    )
    return [np.round(sound[: int(seconds * RATE)] * 32767).astype("<i2").tobytes() for sound in sounds]


def _live(address: str, contents: Sequence[bytes], recognizer: Recognizer, server: psutil.Process) -> dict:
    sent, behind, cpu = [0.0] * len(contents), [], sum(server.cpu_times()[:2])
    with ThreadPoolExecutor(len(contents)) as pool:
        speaking = [pool.submit(_spoken, address, content, sent, number) for number, content in enumerate(contents)]
        while not all(each.done() for each in speaking):
            time.sleep(0.5)
            heard = _figure(address, 'bigfoot_audio_seconds_total{kind="live"}')
            behind.append(max(0.0, sum(sent) - heard) / len(contents))
    texts, alone = [each.result() for each in speaking], [_alone(recognizer, content) for content in contents]
    seconds, answers = sum(map(len, contents)) / 2 / RATE, _figure(address, "bigfoot_chunk_seconds_count")
    return {
        "streams": len(contents), "audio_s": round(seconds, 1),
        "texts_equal": sum(a == b for a, b in zip(texts, alone, strict=True)),
        "behind_s": {"median": round(float(np.median(behind)), 3), "most": round(max(behind), 3)},
        "answer_ms": {
            "mean": round(1000 * _figure(address, "bigfoot_chunk_seconds_sum") / answers, 2),
            "within_100_ms": round(_figure(address, 'bigfoot_chunk_seconds_bucket{le="0.1"}') / answers, 4),
        },
        "cpu_s_per_audio_s": round((sum(server.cpu_times()[:2]) - cpu) / seconds, 4),
        "server_mb": round(server.memory_info().rss / 1e6),
    }  # fmt: skip


def _spoken(address: str, content: bytes, sent: list[float], number: int) -> str:
    """The text that a client gets which speaks `content`; `sent` holds how many seconds it has said."""
    step, start = int(BLOCK_SECONDS * RATE) * 2, time.monotonic()
    answers = []
    with connect(f"ws://{address}/v1/live", compression=None, ping_interval=None) as stream:
        for at in range(0, len(content), step):
            time.sleep(max(0.0, start + at / 2 / RATE - time.monotonic()))
            stream.send(content[at : at + step])
            sent[number] = min(len(content), at + step) / 2 / RATE
        stream.send('{"type": "end"}')
        with suppress(ConnectionClosed):
            while True:
                answers.append(json.loads(stream.recv()))
    return " ".join(each["text"] for each in answers if each["type"] == "final")


def _alone(recognizer: Recognizer, content: bytes) -> str:
    session = Session(recognizer, Live())
    found = session.feed(Pcm().feed(content)) + session.end()
    return " ".join(each.text for each in found if each.is_final)


def _files(address: str, corpus: Corpus, clients: int, recognizer: Recognizer) -> dict:
    utterances = list(islice(cycle(corpus.utterances(corpus.test_sets[0])), clients * FILES_EACH))
    contents = [corpus.flac(utterance) for utterance in utterances]

    def post(content: bytes) -> tuple[float, str | None]:
        start = time.perf_counter()
        answer = requests.post(f"http://{address}{PATH}", files={"file": ("a.flac", content)}, timeout=600)
        return time.perf_counter() - start, answer.json().get("text")

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(post, contents))
    seconds, expected = time.perf_counter() - start, [recognizer.transcribe(audio.read(content)) for content in contents]
    return {
        "clients": clients, "files": len(contents), "per_second": round(len(contents) / seconds, 1),
        "texts_equal": sum(text == alone for (_, text), alone in zip(answers, expected, strict=True)),
        "ms": {f"p{each}": round(1000 * float(np.percentile([took for took, _ in answers], each))) for each in (50, 95)},
    }  # fmt: skip


def _figure(address: str, name: str) -> float:
    """A line of /metrics."""
    lines = requests.get(f"http://{address}/metrics", timeout=60).text.splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " ")), 0.0)


if __name__ == "__main__":
    stage_main(main)
