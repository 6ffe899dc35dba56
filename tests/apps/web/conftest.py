"""A project whose models hear letters as pitches, so that it is known what a page has to show, and the page of it."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.apps.web.build import build
from pipeline.common.files import sealed
from pipeline.compare.run import compare
from pipeline.recognition import seal
from pipeline.speech import audio
from tests import corpora
from tests.planted import ROOT, plant, write

PITCHES = {" ": 400, "e": 800, "n": 1200, "o": 1600, "t": 2000, "w": 2400}  # Hz, all multiples of the frame rate
TOKENS = ["", *PITCHES]
FIELD, HOP = 400, 320
FIGURES = {"teacher.fp32": (20, 8.0, 40.0), "half.fp32-onnx": (20, 2.0, 8.0), "thin.fp32-onnx": (220, 0.5, 4.0)}
DEAF = "w"  # thin's ear


def speak(text: str, seed: int = 0) -> np.ndarray:
    """A tone of 0.1 s for each letter, and a gap of 0.04 s, in faint noise: float32 [samples] at 16 kHz."""
    shape = np.minimum(1, np.minimum(np.arange(1600), np.arange(1600)[::-1]) / 80)
    tones = [np.sin(2 * np.pi * PITCHES[letter] * np.arange(1600) / 16000) * shape for letter in text]
    waves = np.concatenate([np.append(0.3 * tone, np.zeros(640)) for tone in tones])
    return (waves + silence(len(waves) / 16000, seed)).astype(np.float32)


def silence(seconds: float, seed: int = 0) -> np.ndarray:
    return (3e-4 * np.random.default_rng(seed).standard_normal(round(16000 * seconds))).astype(np.float32)


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    """A compared project: half hears every letter, thin all but one; the test set's audio is what its texts say."""
    root = tmp_path_factory.mktemp("project")
    params = plant(root, FIGURES, utterances=50)
    for name in ("half.fp32-onnx", "thin.fp32-onnx"):
        _ear(root, name, deaf=DEAF if name.startswith("thin") else "")
    corpora.rewrite(root / "corpora" / params.corpus.name, _sound)
    compare(params, root, root / "reports")
    return root


def _sound(splits: dict[str, list[corpora.Row]]) -> None:
    splits["test"] = [(utterance, audio.flac(speak(utterance.text))) for utterance, _ in splits["test"]]


def _ear(root: Path, name: str, deaf: str) -> None:
    """A variant whose score of a letter is the energy at its pitch."""
    folder = root / "variants" / name
    shutil.rmtree(folder)
    folder.mkdir()
    onnx.save(_graph(deaf), folder / "model.onnx")
    model, _, scheme = name.partition(".")
    info = {
        "version": seal.VERSION,
        "variant": name, "model": model, "scheme": scheme, "runtime": "onnxruntime", "file": "model.onnx", "vocab": TOKENS,
        "blank": 0, "normalize": True, "padding": "mask", "precision": "f32", "sample_rate": 16_000,
        "conv_kernels": [FIELD], "conv_strides": [HOP], "files": seal.seal(folder),
    }  # fmt: skip
    info = sealed(info)
    write(folder / "variant.json", info)
    for file in (root / "scores" / f"{name}.json", root / "timings.json"):
        content = json.loads(file.read_text())
        (content if "files" in content else content["variants"][name])["files"] = seal.mark(info)
        write(file, content)


def _graph(deaf: str) -> onnx.ModelProto:
    times, window = np.arange(FIELD) / 16000, np.hanning(FIELD) / 100
    angles = [2 * np.pi * pitch * times for pitch in PITCHES.values()]
    waves = np.stack([wave(angle) * window for angle in angles for wave in (np.cos, np.sin)])[:, None]
    sums = np.zeros((len(TOKENS), 2 * len(PITCHES), 1))
    for token, letter in enumerate(PITCHES, start=1):
        sums[token, 2 * token - 2 : 2 * token] = letter != deaf
    values = {"axis": np.array([1]), "feature_extractor.conv_layers.0.conv.weight": waves, "sums": sums,
              "least": np.eye(len(TOKENS))[0] * 0.5}  # fmt: skip
    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "axis"], ["channel"]),
        helper.make_node("Conv", ["channel", "feature_extractor.conv_layers.0.conv.weight"], ["parts"], strides=[HOP]),
        helper.make_node("Mul", ["parts", "parts"], ["squares"]),
        helper.make_node("Conv", ["squares", "sums", "least"], ["scores"]),
        helper.make_node("Transpose", ["scores"], ["logits"], perm=[0, 2, 1]),
    ]
    taken = [
        helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
    ]
    given = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "frames", len(TOKENS)])]
    constants = [
        numpy_helper.from_array(value if name == "axis" else value.astype(np.float32), name) for name, value in values.items()
    ]
    graph = helper.make_graph(nodes, "ear", taken, given, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="session")
def page(project, tmp_path_factory) -> Path:
    """The built page, with the runtime that package-lock.json pins."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("chromium"):
        pytest.skip("no npm or no chromium here")
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(ROOT / name, project / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=300)
    out = tmp_path_factory.mktemp("page") / "web"
    build(project, [], out)
    return out
