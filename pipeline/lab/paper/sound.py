"""What the models of the paper's scale hear: utterances of one length, SYNTHETIC speech where espeak-ng is there, else noise.

Nothing is learned or scored on it. Times depend on the length alone; the ranges that int8-openvino calibrates mean nothing
in a model that has learned nothing, they only have to be there.
"""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipeline.lab.paper.settings import Audio
from pipeline.prepare.raw import seeded
from pipeline.prepare.synthetic import VOICES, WORDS, Spoken
from pipeline.speech import audio
from pipeline.speech.corpus import Utterance, write_manifest

WORDS_A_SECOND = 5  # more than any voice says, so that cutting leaves no silence


def about() -> str:
    """One sentence for whoever reads the figures; it is also what decides which of the two is made."""
    if find_spec("espeakng_loader"):
        return "SYNTHETIC speech: digit strings by espeak-ng's voices, cut to one length"
    return "noise, no speech at all: espeak-ng is not installed"


def make(settings: Audio, utterances: int, folder: Path) -> None:
    """A corpus of `utterances` to time (split test) and some to calibrate on (train), as `open_corpus` reads it."""
    splits = {}
    for split, count in (("train", settings.calibration), ("dev", 0), ("test", utterances)):
        (folder / "audio" / split).mkdir(parents=True)
        rows = []
        for number, sound in enumerate(_sounds(settings, split, count)):
            name = f"audio/{split}/{number}.flac"
            audio.write(folder / name, sound)
            rows.append(Utterance(f"{split}-{number}", name, "", "", settings.seconds))
        write_manifest(folder / f"{split}.jsonl", rows)
        splits[split] = {"utterances": count, "seconds": count * settings.seconds}
    info = {"name": "paper_scale", "about": about(), "splits": splits}
    (folder / "corpus.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


def _sounds(settings: Audio, split: str, count: int) -> list[np.ndarray]:
    """`count` times float32 [seconds x 16,000]."""
    samples = round(settings.seconds * audio.SAMPLE_RATE)
    rngs = [seeded(settings.seed, split, number) for number in range(count)]
    if not count or not find_spec("espeakng_loader"):
        return [(0.1 * rng.standard_normal(samples)).astype(np.float32).clip(-1, 1) for rng in rngs]
    recipes = [
        Spoken(
            text=" ".join(rng.choice(WORDS, round(WORDS_A_SECOND * settings.seconds))),
            voice=VOICES[split][number % len(VOICES[split])], seed=settings.seed, id=f"{split}-{number}",
        )
        for number, rng in enumerate(rngs)
    ]  # fmt: skip
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:  # GPL-3: in a process of its own
        return [np.resize(speech, samples) for speech in pool.map(Spoken.make, recipes)]
