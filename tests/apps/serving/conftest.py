"""A tiny variant, a server of it in a process of its own, and clients."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from pipeline.quantize.run import quantize
from tests import tiny

ROOT = Path(__file__).parents[3]


class Served:
    """A running server."""

    def __init__(self, variant: Path, *options: str, **environment: str):
        command = [sys.executable, "-m", "pipeline.cli", "serve", str(variant), "--port", "0", *options]
        names = os.environ | {"PYTHONPATH": str(ROOT)} | environment
        self.process = subprocess.Popen(command, cwd=variant.parent, env=names, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        found = re.search(r"http://(\S+)", line)
        assert found, line + self.process.stderr.read().decode()
        self.address = found[1]

    def get(self, path: str) -> requests.Response:
        return requests.get(f"http://{self.address}{path}", timeout=60)

    def post(self, content: bytes, name: str = "a.wav", **fields: str) -> requests.Response:
        files = {"file": (name, content, "audio/wav")}
        return requests.post(f"http://{self.address}/v1/audio/transcriptions", files=files, data=fields, timeout=120)

    def stream(self) -> ClientConnection:
        return connect(f"ws://{self.address}/v1/live", compression=None, open_timeout=60, ping_interval=None, max_queue=1)

    def figure(self, name: str) -> float:
        """A line of /metrics."""
        lines = self.get("/metrics").text.splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " ")), 0.0)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err.decode()


def pcm(audio: np.ndarray) -> bytes:
    return np.round(audio * 32767).astype("<i2").tobytes()


def said(stream: ClientConnection, content: bytes, size: int = 3_201) -> list[dict]:
    """What a stream answers to PCM in messages of `size` bytes and the end."""
    for at in range(0, len(content), size):
        stream.send(content[at : at + size])
    stream.send('{"type": "end"}')
    return rest(stream)


def rest(stream: ClientConnection) -> list[dict]:
    """What a stream still answers, until the server closes it for whatever reason."""
    answers = []
    with suppress(ConnectionClosed):
        while True:
            answers.append(json.loads(stream.recv(timeout=120)))
    return answers


def final(answers: list[dict]) -> str:
    return " ".join(answer["text"] for answer in answers if answer["type"] == "final")


@pytest.fixture(scope="session")
def variant(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    quantize("fp32-onnx", {}, tiny.save_model(folder / "tiny"), None, folder / "tiny.fp32-onnx")
    return folder / "tiny.fp32-onnx"


@pytest.fixture(scope="module")
def server(variant):
    served = Served(variant, BIGFOOT_SERVE_MAX_MB="2", BIGFOOT_SERVE_MAX_SECONDS="60", BIGFOOT_SERVE_MAX_STREAMS="3")
    yield served
    assert served.stop() == (0, "")
