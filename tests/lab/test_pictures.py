"""`make pictures` says what it needs before it starts anything, and its pictures are small and true in color."""

import io
import subprocess
import sys

import numpy as np
from PIL import Image

from pipeline.lab.pictures import _smaller
from tests.planted import ROOT, plant


def test_without_a_run_or_a_page_it_says_how_to_get_them(tmp_path):
    plant(tmp_path)
    command = [sys.executable, "-m", "pipeline.lab.pictures"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 1 and "run `dvc repro` and `make web` first" in done.stderr and not (tmp_path / "docs").exists()


def test_a_picture_gets_smaller_and_keeps_its_colors():
    colors = np.random.default_rng(0).integers(0, 255, (16, 3), dtype=np.uint8)
    screen = colors[np.arange(64 * 64).reshape(64, 64) % 16]
    content = io.BytesIO()
    Image.fromarray(screen).save(content, "PNG", compress_level=0)
    small = _smaller(content.getvalue())
    assert len(small) < len(content.getvalue()) / 2
    assert np.abs(np.asarray(Image.open(io.BytesIO(small)).convert("RGB")).astype(int) - screen).max() <= 2
