"""Tiny "speech" for tests: tones and noise in real audio files, corpora of them, and where real speech lies, if it does."""

import json
import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import params
from pipeline.prepare import run

RATE = 16_000
SPEECH = Path(os.environ.get("BIGFOOT_SPEECH", Path(__file__).parents[1].parent / "shared" / "speech"))


def tone(seconds: float = 0.5, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """A tone of a random pitch in faint noise: float32 [seconds * rate] within [-0.35, 0.35]."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * rng.uniform(150, 600) * time) + 0.01 * rng.standard_normal(time.size)
    return wave.astype(np.float32)


def sound(path: Path, seconds: float = 0.5, seed: int = 0, rate: int = RATE) -> Path:
    """A tone as a file, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, seed, rate), rate)
    return path


def with_stated_frames(flac: bytes, frames: int) -> bytes:
    """The FLAC file with another number of samples in its header (36 bits from bit 172 on); streaming encoders write 0."""
    data = bytearray(flac)
    data[18:26] = (int.from_bytes(data[18:26], "big") >> 36 << 36 | frames).to_bytes(8, "big")
    return bytes(data)


def streamed(flac: Path, path: Path) -> Path:
    """A FLAC file as a streaming encoder writes it: without its length."""
    path.write_bytes(with_stated_frames(flac.read_bytes(), 0))
    return path


def lines(path: Path, rows: list[dict]) -> Path:
    """Rows as JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def folder(data: Path, each: int = 2) -> Path:
    """A folder that the `folder` source reads: `each` tones for each of train, dev and test, nothing shared."""
    words = map("".join, product("abc", "bca", "cab"))  # 27 words; the first, in train, has the whole alphabet
    for split, first in (("train", 0), ("dev", 100), ("test", 200)):
        numbers = range(first, first + each)
        for n in numbers:
            sound(data / "audio" / f"{split}{n}.wav", seed=n)
        rows = [{"audio": f"audio/{split}{n}.wav", "text": next(words), "speaker": f"{split}{n}"} for n in numbers]
        lines(data / f"{split}.jsonl", rows)
    return data


def change(manifest: Path, number: int, **columns: object) -> None:
    """Overwrite columns of one line of a JSONL manifest."""
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    rows[number].update(columns)
    lines(manifest, rows)


def corpus(data: Path, source: dict | None = None, **sections: object) -> params.Corpus:
    """The params of a corpus made of `data`, by default by the `folder` source."""
    facts = {"name": "tiny", "data": str(data), "license": "CC0-1.0", "language": "en", **sections}
    return params.Corpus(source=source or {"kind": "folder"}, **facts)


def real(name: str) -> Path:
    """A folder of real speech; the test skips where it is not there."""
    if not (SPEECH / name).is_dir():
        pytest.skip(f"no {name} in {SPEECH} (set BIGFOOT_SPEECH)")
    return SPEECH / name


def prepare(corpus: params.Corpus, out: Path, workers: int | None = None) -> dict:
    """A corpus of what lies in its own `data`."""
    return run.prepare(corpus, Path(corpus.data), out, out.with_name(f"{out.name}.parts"), workers)
