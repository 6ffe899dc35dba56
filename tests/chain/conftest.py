"""A fresh checkout with params so small that the whole chain runs in a minute or two."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
VARIANTS = ("teacher.fp32", "teacher.int8-onnx", "half.int8qat-openvino", "half.int8-torch", "half.fp16-onnx-cuda")


OPENED = "opened.txt"  # lines of "STAGE PATH"
LIVED = "lived.txt"  # lines of "STAGE SECONDS", one of each process
# Python imports this module at the start of every process.
TRACE = f"""\"\"\"Notes every file of this folder that a stage's processes open for reading, and how long they live.\"\"\"
import atexit, os, sys, time

stage, here, seen = os.environ.get("DVC_STAGE"), os.path.dirname(__file__) + os.sep, set()

def note(event, details):
    if event == "open" and isinstance(details[0], (str, os.PathLike)) and not details[2] & (os.O_WRONLY | os.O_RDWR):
        path = os.path.abspath(details[0])
        if path.startswith(here) and path not in seen:
            seen.add(path)
            line(notes, path.removeprefix(here))

def line(file, text):
    os.write(file, (stage + " " + text + os.linesep).encode())

def opened(name):
    return os.open(here + name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

if stage:
    notes, lives, began = opened("{OPENED}"), opened("{LIVED}"), time.monotonic()
    sys.addaudithook(note)
    atexit.register(lambda: line(lives, str(time.monotonic() - began)))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Such a checkout, `dvc repro` done, with the files that its stages opened in OPENED, and times in LIVED."""
    folder = fresh_project(tmp_path_factory.mktemp("chain") / "project")
    trace = folder / "sitecustomize.py"
    trace.write_text(TRACE)
    run_dvc(folder, "repro")
    trace.unlink()
    return folder


def fresh_project(folder: Path) -> Path:
    """What git tracks, as it is on disk, with tiny params, committed."""
    copy_tracked(folder)
    yaml = YAML(typ="safe")
    chosen = yaml.load(folder / "params.yaml")
    chosen["corpus"]["source"] |= {"train_utterances": 40, "dev_utterances": 8, "test_utterances": 8}
    chosen["teacher"]["config"] |= {"conv_dim": [16] * 7, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    chosen["teacher"]["config"] |= {"conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2]}
    run = {"steps": 6, "batch_seconds": 10, "learning_rate": 1e-3, "evaluate_every": 3}
    chosen["teacher"]["training"] = run
    half = {"from": "teacher", "layers": 1, "conv_merge": [2, 2, 2, 1], "frame_rate": 25, "quantize_aware": True}
    chosen["students"] = {"half": {**half, "training": dict(run)}}  # a copy: YAML would make the two one
    chosen["logits"]["speeds"] = [1.0, 0.9]
    split = [name.split(".") for name in VARIANTS]
    chosen["variants"] = {f"{model}-{scheme}": {"model": model, "scheme": scheme} for model, scheme in split}
    chosen["schemes"] = {scheme: {} for _, scheme in split}
    chosen["exports"] = {"teacher.int8-onnx": ["onnx"]}
    chosen["benchmark"] |= {
        "utterances": 3, "restarts": 2, "rounds": 2, "max_rounds": 2, "turn": 2, "batch": 2, "lengths": [1], "cold_starts": 1,
        "energy_seconds": 1.0, "energy_rounds": 2,
    }  # fmt: skip
    yaml.dump(chosen, folder / "params.yaml")
    return committed(folder)


def copy_tracked(folder: Path) -> None:
    """What git tracks, as it is on disk, without what any stage has made."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)


def committed(folder: Path) -> Path:
    """The folder as a repository with all of it in one commit."""
    for command in (
        ["git", "init", "-q"],
        ["git", "add", "-A"],
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    return folder


def run_dvc(folder: Path, *arguments: str) -> str:
    environment = os.environ | {
        "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
