"""The hypotheses of a variant, piece by piece: what one process recognizes at a time, and what a killed run need not redo."""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from pipeline.common.files import write_json
from pipeline.evaluate.noise import snr_db
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.corpus import Corpus, open_corpus
from pipeline.speech.shards import Utterance

PIECE = 128  # utterances

Piece = tuple[Path, Path, str, list[int], int | None, Path]


def planned(
    variant: Path, corpus: Corpus, utterances: Sequence[Utterance], threads: int | None, folder: Path
) -> Iterator[Piece]:
    """The arguments of `recognize` for each piece of these utterances of one split, in order."""
    for start in range(0, len(utterances), PIECE):
        chosen = utterances[start : start + PIECE]
        split, rows = chosen[0].split, [utterance.row for utterance in chosen]
        name = blake2b(f"{corpus.utterances(split).info['digest']} {split} {rows}".encode(), digest_size=16).hexdigest()
        yield variant, corpus.folder, split, rows, threads, folder / f"{name}.json"


def recognize(variant: Path, corpus: Path, split: str, rows: list[int], threads: int | None, out: Path) -> Path:
    """Write [[hypothesis, signal-to-noise ratio in dB or null], ...] of these rows; where it is written already, do nothing.

    Utterances are transcribed one by one, as in the benchmark: what is scored is what is timed, and padding has no effect.
    """
    if not out.is_file():
        recognizer, opened = _recognizer(variant, threads), open_corpus(corpus)
        sounds = (opened.audio(opened.utterances(split)[row]) for row in rows)
        write_json(out, [[recognizer.transcribe(samples), snr_db(samples)] for samples in sounds])
    return out


def read(piece: Path) -> Iterator[tuple[str, float | None]]:
    yield from json.loads(piece.read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _recognizer(variant: Path, threads: int | None) -> Recognizer:
    return Recognizer.load(variant, threads=threads)
