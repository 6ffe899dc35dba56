"""The hypotheses of a variant, piece by piece: what one process recognizes at a time, and what a killed run need not redo."""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from pipeline.common.files import write_json
from pipeline.evaluate.noise import Noise, snr_db
from pipeline.recognition import gpu
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.corpus import Corpus, open_corpus
from pipeline.speech.live import Live
from pipeline.speech.shards import Utterance

PIECE = 128  # utterances

Piece = tuple[Path, Path, str, list[int], int | None, bool, Path, Live | Noise | None]


def planned(
    variant: Path,
    corpus: Corpus,
    utterances: Sequence[Utterance],
    threads: int | None,
    on_gpu: bool,
    folder: Path,
    condition: Live | Noise | None = None,
) -> Iterator[Piece]:
    """The arguments of `recognize` for each piece of these utterances of one split, in order."""
    for start in range(0, len(utterances), PIECE):
        chosen = utterances[start : start + PIECE]
        split, rows = chosen[0].split, [utterance.row for utterance in chosen]
        content = f"{corpus.utterances(split).info['digest']} {split} {rows} {condition or ''}".strip()
        name = blake2b(content.encode(), digest_size=16).hexdigest()
        yield variant, corpus.folder, split, rows, threads, on_gpu, folder / f"{name}.json", condition


def recognize(
    variant: Path,
    corpus: Path,
    split: str,
    rows: list[int],
    threads: int | None,
    on_gpu: bool,
    out: Path,
    condition: Live | Noise | None = None,
) -> Path:
    """Write [[hypothesis, signal-to-noise ratio in dB or null], ...] of these rows; where it is written already, do nothing.

    On a CPU utterances are transcribed one by one, as in the benchmark: what is scored is what is timed, and batches would gain
    2%. A GPU gets batches of similar lengths, in which padding has no effect (see Recognizer).
    `condition`: each is heard in chunks, or with more noise.
    """
    if not out.is_file():
        recognizer, opened = _recognizer(variant, threads, on_gpu), open_corpus(corpus)
        sounds = (opened.audio(opened.utterances(split)[row]) for row in rows)
        if isinstance(condition, Noise):
            sounds = (condition.added(samples, row) for samples, row in zip(sounds, rows, strict=True))
        if isinstance(condition, Live):
            write_json(out, [[_heard(recognizer, samples, condition), None] for samples in sounds])
            return out
        batches = [list(sounds)] if on_gpu else ([samples] for samples in sounds)
        found = [
            [text, snr_db(samples)]
            for audios in batches
            for text, samples in zip(recognizer.transcribe_batch(audios), audios, strict=True)
        ]
        write_json(out, found)
    return out


def _heard(recognizer: Recognizer, samples: np.ndarray, live: Live) -> str:
    """The text of an utterance that is heard live."""
    stream = recognizer.stream_live(live)
    parts = stream.feed(samples) + stream.end()
    return recognizer.text(np.concatenate([part.settled for part in parts])) if parts else ""


def read(piece: Path) -> Iterator[tuple[str, float | None]]:
    yield from json.loads(piece.read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _recognizer(variant: Path, threads: int | None, on_gpu: bool) -> Recognizer:
    return Recognizer.load(variant, threads, gpu.CUDA if on_gpu else "cpu")
