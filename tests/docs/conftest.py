"""A clone with a minute of noise as somebody's own speech, and a tiny model as their own teacher."""

import csv
import zlib
from pathlib import Path

import pytest

from pipeline.speech import audio
from tests import tiny
from tests.docs import shell

SIZES = {"train": 12, "dev": 4, "test": 4}
WORDS = "one two six five nine".split()
# What the own-data guide's profile is shortened by: nothing has to be learned here.
TRAINED = "batch_seconds: 16, learning_rate: {rate}, evaluate_every: {every}"
SHORT = {
    "profiles/own.yaml": {
        **{
            f"steps: {steps}, {TRAINED.format(rate=rate, every=every)}": f"steps: 2, {TRAINED.format(rate=rate, every=1)}"
            for steps, rate, every in ((400, "5.0e-5", 100), (400, "5.0e-4", 100), (800, "1.0e-3", 200))
        },
        "calibration_utterances: 64": "calibration_utterances: 4",
        "utterances: 20, rounds: 10, turn: 6": "utterances: 2, rounds: 2, turn: 1, energy_seconds: 0",
    }
}


def own_audio(folder: Path) -> None:
    """One CSV per split and its WAVs, of noise; texts as people write them."""
    (folder / "audio").mkdir(parents=True)
    for split, size in SIZES.items():
        with (folder / f"{split}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["audio", "text", "speaker"])
            for i in range(size):
                name = f"audio/{split}-{i}.wav"
                audio.write(folder / name, tiny.speech(1.0 + 0.1 * i, seed=zlib.crc32(name.encode())))
                table.writerow([name, f"{WORDS[i % 5].capitalize()}, {WORDS[(i + 2) % 5]}.", f"{split}{i % 3}"])


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A clone, not yet run, with data/own and data/own-model in it."""
    folder = shell.clone(tmp_path_factory.mktemp("docs") / "bigfoot")
    own_audio(folder / "data/own")
    tiny.save_model(folder / "data/own-model", layers=4, hidden=192, heads=4, channels=64)
    return folder
