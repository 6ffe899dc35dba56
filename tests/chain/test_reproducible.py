"""The same seed on the same machine gives the same weights, the same hypotheses and so the same WERs, file by file."""

import hashlib
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
    """The hash of each file that holds weights, logits or hypotheses."""
    files = [*folder.glob("scores/*.json"), *folder.glob("models/*/model.safetensors"), *folder.glob("corpora/*/*.jsonl")]
    files += [*folder.glob("logits/*/*"), *folder.glob("variants/*/model.onnx"), *folder.glob("variants/*/model.bin")]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
