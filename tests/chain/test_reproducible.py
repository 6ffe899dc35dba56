"""The same seed on the same machine gives the same weights, the same hypotheses and so the same WERs, file by file."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.chain.conftest import VARIANTS, fresh_project, run_dvc


@pytest.mark.slow
def test_two_runs_of_the_chain_give_the_same_files(project, tmp_path):
    """Two runs from nothing, with caches of their own; what may differ are times, energy and what holds them."""
    again = fresh_project(tmp_path / "again")
    run_dvc(again, "repro", *(f"evaluate@{variant.replace('.', '-')}" for variant in VARIANTS))

    first, second = hashes(project), hashes(again)
    assert len(first) > 10 and first == second


def hashes(folder: Path) -> dict[str, str]:
    """The hash of each file that holds weights or logits, and of the hypotheses and errors of each that holds scores."""
    files = [*folder.glob("models/*/model.safetensors"), *folder.glob("corpora/*/*.jsonl"), *folder.glob("logits/*/*")]
    files += [*folder.glob("variants/*/model.onnx"), *folder.glob("variants/*/model.bin")]
    contents = {file: file.read_bytes() for file in files}
    for file in folder.glob("scores/*.json"):  # which also name the variant by its seal, and that covers the hours of training
        contents[file] = json.dumps(json.loads(file.read_text())["sets"]).encode()
    return {str(file.relative_to(folder)): hashlib.sha256(content).hexdigest() for file, content in contents.items()}
