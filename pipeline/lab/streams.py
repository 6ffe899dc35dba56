"""How many live streams a server of one variant carries at once: real clients, each at the pace of speech.

    python -m pipeline.lab.streams CORPUS VARIANT [STREAMS [SECONDS]]

Each of STREAMS (20) clients says SECONDS (30) of the first test set's utterances to `bigfoot serve --workers 2`, in blocks of
0.1 s, and each text is compared with that of a stream alone. `behind_s` is how much audio was sent and not yet recognized, for
each stream; `answer_ms` are from the arrival of a block to its text, waiting for other streams included. Times hold for this
machine and what else ran on it: its load is stated beside them.
"""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle, islice

import numpy as np
import psutil
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pipeline.apps.live.pcm import Pcm
from pipeline.apps.live.session import Session
from pipeline.common.command import stage_main
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.corpus import open_corpus
from pipeline.speech.live import Live

RATE, BLOCK_SECONDS, WORKERS = 16_000, 0.1, 2


def main(corpus: str = "", variant: str = "", streams: str = "20", seconds: str = "30") -> None:
    """Print what was measured as JSON; raises BigfootError where the corpus or the variant is missing."""
    opened = open_corpus(corpus)
    utterances = list(opened.utterances(opened.test_sets[0]))
    sounds = [
        _pcm(np.concatenate([opened.audio(each) for each in islice(cycle(utterances), at, at + len(utterances))]))
        for at in range(int(streams))
    ]
    contents = [sound[: int(float(seconds) * RATE) * 2] for sound in sounds]
    recognizer = Recognizer.load(variant, threads=1)
    alone = [_alone(recognizer, content) for content in contents]
    command = [sys.executable, "-m", "pipeline.cli", "serve", variant, "--port", "0", "--workers", str(WORKERS)]
    environment = os.environ | {"BIGFOOT_SERVE_MAX_STREAMS": streams}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            found = re.search(r"http://(\S+)", server.stdout.readline() if server.stdout else "")
            print(json.dumps(_measured(found[1] if found else "", contents, alone, psutil.Process(server.pid)), indent=1))
        finally:
            server.terminate()


def _measured(address: str, contents: list[bytes], alone: list[str], server: psutil.Process) -> dict:
    sent, behind, load = [0.0] * len(contents), [], os.getloadavg()[0]
    cpu = sum(server.cpu_times()[:2])
    with ThreadPoolExecutor(len(contents)) as pool:
        speaking = [pool.submit(_spoken, address, content, sent, number) for number, content in enumerate(contents)]
        while not all(each.done() for each in speaking):
            time.sleep(0.5)
            heard = _figure(address, 'bigfoot_audio_seconds_total{kind="live"}')
            behind.append(max(0.0, sum(sent) - heard) / len(contents))
    texts = [each.result() for each in speaking]
    seconds = sum(len(content) for content in contents) / 2 / RATE
    answers = _figure(address, "bigfoot_chunk_seconds_count")
    return {
        "streams": len(contents), "audio_s": round(seconds, 1), "cores": os.cpu_count(), "load_before": round(load, 2),
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
    finals = []
    with connect(f"ws://{address}/v1/live", compression=None, ping_interval=None) as stream:
        for at in range(0, len(content), step):
            time.sleep(max(0.0, start + at / 2 / RATE - time.monotonic()))
            stream.send(content[at : at + step])
            sent[number] = min(len(content), at + step) / 2 / RATE
        stream.send('{"type": "end"}')
        with suppress(ConnectionClosed):
            while True:
                finals.append(json.loads(stream.recv()))
    return " ".join(each["text"] for each in finals if each["type"] == "final")


def _alone(recognizer: Recognizer, content: bytes) -> str:
    session = Session(recognizer, Live())
    found = session.feed(Pcm().feed(content)) + session.end()
    return " ".join(each.text for each in found if each.is_final)


def _pcm(samples: np.ndarray) -> bytes:
    return np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def _figure(address: str, name: str) -> float:
    """A line of /metrics."""
    lines = requests.get(f"http://{address}/metrics", timeout=60).text.splitlines()
    return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " ")), 0.0)


if __name__ == "__main__":
    stage_main(main)
