"""The load test compares texts with those of a recognizer alone, for streams and files, and says how far it is behind."""

import json
import subprocess
import sys

from pipeline.quantize.run import quantize
from tests.planted import ROOT
from tests.tiny import noise_corpus, save_model


def test_two_streams_and_three_clients_are_measured(tmp_path):
    noise_corpus(tmp_path / "noise", "one")
    quantize("fp32-onnx", {}, save_model(tmp_path / "tiny"), None, tmp_path / "tiny.fp32-onnx")
    command = [sys.executable, "-m", "pipeline.lab.serving", tmp_path / "noise", tmp_path / "tiny.fp32-onnx", "2", "2", "3"]
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    about, live, files = map(json.loads, done.stdout.splitlines())
    live, files = live["live"], files["files"]
    assert about["cores"] and (live["streams"], live["audio_s"], live["texts_equal"]) == (2, 4.0, 2), done.stderr
    assert 0 <= live["behind_s"]["most"] <= 2 and live["answer_ms"]["mean"] > 0 and live["cpu_s_per_audio_s"] > 0
    assert (files["clients"], files["files"], files["texts_equal"]) == (3, 15, 15) and files["ms"]["p50"] <= files["ms"]["p95"]
