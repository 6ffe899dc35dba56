"""Environments in which other runtimes run without Bigfoot, made when a test first needs them, and their versions.

They are kept, several GB, in .bigfoot/environments, or in the folder that BIGFOOT_ENVIRONMENTS names.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.common.test_lock import versions
from tests.planted import ROOT

MAIN, PEERS = versions("requirements.lock"), versions("requirements-peers.lock")
SOUNDFILE = f"soundfile=={MAIN['soundfile']}"
PYTHON = {
    "sherpa-onnx": [f"sherpa-onnx=={PEERS['sherpa-onnx']}", SOUNDFILE],
    "onnxruntime": [f"onnxruntime=={MAIN['onnxruntime']}", SOUNDFILE],
    "optimum-onnx": ["optimum-onnx[onnxruntime]==0.1.0", "transformers==4.57.6", SOUNDFILE],
    "optimum-intel": ["optimum-intel[openvino]==2.2.0", "transformers==5.5.4", "datasets==5.0.1", SOUNDFILE],
    "executorch": [f"executorch=={PEERS['executorch']}", f"torch=={MAIN['torch']}", SOUNDFILE],
    "ai-edge-litert": [f"ai-edge-litert=={PEERS['ai-edge-litert']}", SOUNDFILE],
    "onnx-asr": ["onnx-asr[cpu]==0.12.0", SOUNDFILE],
}
NODE = {"@huggingface/transformers": "4.3.2", "sherpa-onnx": "1.13.8", "sherpa-onnx-node": "1.13.8"}
PACKAGES = {"sherpa-onnx-wasm": "sherpa-onnx"}  # of NODE, where its name is that of a Python environment
PLACE = Path(os.environ.get("BIGFOOT_ENVIRONMENTS", ROOT / ".bigfoot/environments"))


def python(name: str) -> str:
    """The interpreter of a virtual environment with PYTHON[name]."""
    folder = PLACE / name
    if not _is_made(folder, PYTHON[name]):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", *PYTHON[name]], check=True)
        _note(folder, PYTHON[name])
    return str(folder / "bin/python")


def node() -> Path:
    """The node_modules of NODE; skips where there is no Node."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node is not installed")
    folder = PLACE / "node"
    if not _is_made(folder, NODE):
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": NODE}))
        environment = os.environ | {"ONNXRUNTIME_NODE_INSTALL": "skip"}  # its CUDA libraries
        subprocess.run(["npm", "install", "--silent"], cwd=folder, check=True, env=environment)
        _note(folder, NODE)
    return folder / "node_modules"


def label(name: str) -> str:
    """An environment, or a package of NODE, with its version."""
    version = PYTHON[name][0].partition("==")[2] if name in PYTHON else NODE[PACKAGES.get(name, name)]
    return f"{name.replace('@huggingface/transformers', 'transformers.js')} {version}"


def _is_made(folder: Path, wanted: object) -> bool:
    """Whether the environment is there and holds what is wanted; another one is removed."""
    note = folder / "wanted.json"
    if note.is_file() and json.loads(note.read_text()) == wanted:
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _note(folder: Path, wanted: object) -> None:
    (folder / "wanted.json").write_text(json.dumps(wanted))
