"""The teacher's frame logits, stored on disk once for all students.

Decision: the logits of every training utterance are stored in half precision, one after the other in one memory-mapped file,
so that no student needs the teacher in memory. This costs disk: 2 bytes x alphabet x 50 frames per second, or 11 MB per hour
for 30 characters. It also forbids changes of timing in a student's audio (noise and SpecAugment are fine): for training at
other speeds, the teacher's logits at those speeds are computed and stored too.

The teacher's feature-encoder output can be stored in the same way, for students that keep the encoder unchanged: they then
train without computing it. This takes much more disk: 2 bytes x channels x 50 frames per second, or 184 MB per hour for 512
channels, one and a half times the audio.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.models.folder import load_model
from pipeline.params import Logits
from pipeline.speech import audio
from pipeline.speech.corpus import UNLABELLED, Corpus, Utterance

STORE_VERSION = 3
log = logging.getLogger(__name__)


class AtSpeeds:
    """A corpus with its training utterances, with text and without, at several speeds, each as an utterance: ID, ID@0.9.

    Other splits are unchanged. A change of speed is a resampling, so it also changes pitch.
    """

    def __init__(self, corpus: Corpus, speeds: list[float]):
        self.corpus, self.speeds = corpus, speeds
        self.folder, self.info = corpus.folder, corpus.info
        self._origin: dict[str, tuple[Utterance, float]] = {}

    def utterances(self, split: str) -> list[Utterance]:
        utterances = self.corpus.utterances(split)
        if split not in ("train", UNLABELLED):
            return utterances
        at_speeds = {_at(original, speed).id: (original, speed) for speed in self.speeds for original in utterances}
        self._origin |= at_speeds
        return [_at(*origin) for origin in at_speeds.values()]

    def audio(self, utterance: Utterance) -> np.ndarray:
        original, speed = self._origin.get(utterance.id, (utterance, 1.0))
        return audio.change_rate(self.corpus.audio(original), audio.SAMPLE_RATE * speed, audio.SAMPLE_RATE)


def _at(utterance: Utterance, speed: float) -> Utterance:
    if speed == 1.0:
        return utterance
    return replace(utterance, id=f"{utterance.id}@{speed:g}", duration=utterance.duration / speed)


class LogitsStore(Mapping[str, np.ndarray]):
    """Frame logits of each utterance: logits.bin (half precision, frames x vocabulary), index.json (id -> first row, frames).

    `speeds`: the speeds at which logits were computed, see AtSpeeds. `channels`: the width of the stored feature-encoder output
    in features.bin (half precision, frames x channels); None where it isn't stored.

    >>> store[utterance_id].shape        # e.g. (181, 14): 3.6 s of audio, 14 tokens
    """

    def __init__(self, folder: Path):
        index = Path(folder) / "index.json"
        if not index.is_file():
            raise BigfootError(f"{folder} has no logits (index.json is missing): run `dvc repro teacher_logits`")
        meta = json.loads(index.read_text())
        if meta["version"] != STORE_VERSION:
            raise BigfootError(f"{index} has version {meta['version']}, not {STORE_VERSION}: run `dvc repro -f teacher_logits`")
        self.vocabulary: int = meta["vocabulary"]
        self.speeds: list[float] = meta["speeds"]
        self.channels: int | None = meta["channels"]
        self._index: dict[str, list[int]] = meta["utterances"]
        self._logits = np.memmap(Path(folder) / "logits.bin", np.float16, "r").reshape(-1, self.vocabulary)
        if self.channels:
            self._features = np.memmap(Path(folder) / "features.bin", np.float16, "r").reshape(-1, self.channels)

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, utterance: object) -> bool:
        return utterance in self._index

    def __getitem__(self, utterance: str) -> np.ndarray:
        """float16 [frames, vocabulary] of one utterance."""
        first, frames = self._index[utterance]
        return self._logits[first : first + frames]

    def features(self, utterance: str) -> np.ndarray:
        """float16 [frames, channels]: the feature encoder's output for one utterance."""
        first, frames = self._index[utterance]
        return self._features[first : first + frames]


def store_logits(settings: Logits, model_folder: Path, corpus: Corpus, out: Path) -> None:
    """Write the teacher's logits for all training audio, with text or without, at each speed of `settings`, in half precision.

    With `settings.features`, write the output of its feature encoder too.
    """
    from pipeline.models.inference import device_of_choice, frame_logits_and_features

    model, processor = load_model(model_folder)
    model.to(device_of_choice())
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    index: dict[str, list[int]] = {}
    first = 0
    channels = model.config.conv_dim[-1] if settings.features else None
    at_speeds = AtSpeeds(corpus, settings.speeds)
    utterances = [u for split in ("train", UNLABELLED) if split in corpus.info["splits"] for u in at_speeds.utterances(split)]
    opened = (unfinished / "features.bin").open("wb") if settings.features else nullcontext()
    with (unfinished / "logits.bin").open("wb") as logits_file, opened as features_file:
        for utterance, logits, features in frame_logits_and_features(model, processor, at_speeds, utterances, "teacher logits"):
            if utterance.id in index:
                raise BigfootError(f"two utterances are called {utterance.id}, in train and in {UNLABELLED}: rename one")
            logits_file.write(logits.astype(np.float16).tobytes())  # numpy's tofile says nothing where the disk is full
            if features_file:
                features_file.write(features.half().cpu().numpy().tobytes())
            index[utterance.id] = [first, len(logits)]
            first += len(logits)
    meta = {"version": STORE_VERSION, "speeds": settings.speeds, "vocabulary": model.config.vocab_size, "channels": channels}
    meta["utterances"] = index
    (unfinished / "index.json").write_text(json.dumps(meta))
    shutil.rmtree(out, ignore_errors=True)
    os.replace(unfinished, out)
    log.info(
        "teacher logits: %d utterances, %.1f MB", len(index), first * (model.config.vocab_size + (channels or 0)) * 2 / 1e6
    )
