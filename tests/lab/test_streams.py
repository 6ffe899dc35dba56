"""The load test of live streams counts texts that equal a single stream's, and how far the server is behind."""

import json
import subprocess
import sys

from pipeline.quantize.run import quantize
from tests.planted import ROOT
from tests.tiny import noise_corpus, save_model


def test_two_streams_are_measured(tmp_path):
    noise_corpus(tmp_path / "noise", "one")
    quantize("fp32-onnx", {}, save_model(tmp_path / "tiny"), None, tmp_path / "tiny.fp32-onnx")
    command = [sys.executable, "-m", "pipeline.lab.streams", tmp_path / "noise", tmp_path / "tiny.fp32-onnx", "2", "2"]
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert (found["streams"], found["audio_s"], found["texts_equal"]) == (2, 4.0, 2), done.stderr
    assert 0 <= found["behind_s"]["most"] <= 2 and found["answer_ms"]["mean"] > 0 and found["cpu_s_per_audio_s"] > 0
