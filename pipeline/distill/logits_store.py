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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Required, TypedDict

import numpy as np

from pipeline.common import shapes
from pipeline.common.errors import BigfootError
from pipeline.common.files import again, sealed
from pipeline.models.folder import load_model
from pipeline.params import Logits
from pipeline.speech import audio
from pipeline.speech.corpus import UNLABELLED, Corpus, durations
from pipeline.speech.shards import Utterance

STORE_VERSION = 3
COMMAND = "dvc repro teacher_logits"  # what makes a store
log = logging.getLogger(__name__)


class Index(TypedDict, total=False):
    """index.json: {utterance: [first row, frames]}, and what `LogitsStore` says of the other keys."""

    version: Required[int]
    vocabulary: int
    speeds: list[float]
    channels: int | None
    utterances: dict[str, list[int]]


class AtSpeeds:
    """A corpus with its training utterances, with text and without, at several speeds, each as an utterance: ID, ID@0.9.

    Other splits are unchanged. A change of speed is a resampling, so it also changes pitch.
    """

    def __init__(self, corpus: Corpus, speeds: list[float]):
        self.corpus, self.speeds = corpus, speeds
        self.folder, self.rules = corpus.folder, corpus.rules

    def utterances(self, split: str) -> Sequence[Utterance]:
        utterances = self.corpus.utterances(split)
        return EachAtSpeeds(utterances, self.speeds) if split in ("train", UNLABELLED) else utterances

    def audio(self, utterance: Utterance) -> np.ndarray:
        if not isinstance(utterance, AtSpeed):
            return self.corpus.audio(utterance)
        return audio.change_rate(self.corpus.audio(utterance.original), audio.SAMPLE_RATE * utterance.speed, audio.SAMPLE_RATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtSpeed(Utterance):
    """An utterance played at a speed."""

    original: Utterance
    speed: float


class EachAtSpeeds(Sequence[Utterance]):
    """All utterances at the first speed, then all at the next; nothing is held of them but their durations."""

    def __init__(self, utterances: Sequence[Utterance], speeds: list[float]):
        self._utterances, self._speeds = utterances, speeds
        self.durations = np.concatenate([durations(utterances) / speed for speed in speeds])

    def __len__(self) -> int:
        return len(self._utterances) * len(self._speeds)

    def __getitem__(self, at):
        if isinstance(at, slice):
            return [self[row] for row in range(len(self))[at]]
        speed, row = divmod(range(len(self))[at], len(self._utterances))
        return _at(self._utterances[row], self._speeds[speed])


def _at(utterance: Utterance, speed: float) -> Utterance:
    if speed == 1.0:
        return utterance
    changed = {"id": f"{utterance.id}@{speed:g}", "duration": utterance.duration / speed}
    return AtSpeed(**asdict(utterance) | changed, original=utterance, speed=speed)


class LogitsStore(Mapping[str, np.ndarray]):
    """Frame logits of each utterance: logits.bin (half precision, frames x vocabulary), index.json (id -> first row, frames).

    `speeds`: the speeds at which logits were computed, see AtSpeeds. `channels`: the width of the stored feature-encoder output
    in features.bin (half precision, frames x channels); None where it isn't stored.

    >>> store[utterance_id].shape        # e.g. (181, 14): 3.6 s of audio, 14 tokens
    """

    def __init__(self, folder: Path):
        index = Path(folder) / "index.json"
        meta = shapes.read(index, Index, COMMAND)
        if meta["version"] != STORE_VERSION:
            raise BigfootError(f"{index} has version {meta['version']}, not {STORE_VERSION}: {again(COMMAND)}")
        self.vocabulary: int = meta["vocabulary"]
        self.speeds: list[float] = meta["speeds"]
        self.channels: int | None = meta["channels"]
        self._index: dict[str, list[int]] = meta["utterances"]
        places = np.array([place if len(place) == 2 else (-1, -1) for place in self._index.values()], dtype=np.int64)
        if not self._index or places.min() < 0 or places.sum(axis=1).max() != places[:, 1].sum():
            raise BigfootError(f"{index} doesn't name the rows of its utterances: {again(COMMAND)}")
        self._frames = int(places[:, 1].sum())
        self._logits = self._rows(Path(folder) / "logits.bin", self.vocabulary)
        if self.channels is not None:
            self._features = self._rows(Path(folder) / "features.bin", self.channels)

    def _rows(self, file: Path, width: int) -> np.ndarray:
        """float16 [frames, width], memory-mapped; raises BigfootError where the file has not the frames of the index."""
        size, expected = file.stat().st_size if file.is_file() else 0, 2 * self._frames * width
        if size == 0 or size != expected:
            raise BigfootError(f"{file} has {size:,} bytes, not the {expected:,} of its index: {again(COMMAND)}")
        return np.memmap(file, np.float16, "r").reshape(self._frames, width)

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
    utterances = [u for split in ("train", UNLABELLED) for u in at_speeds.utterances(split)]
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
    (unfinished / "index.json").write_text(json.dumps(sealed(meta | {"utterances": index})))
    shutil.rmtree(out, ignore_errors=True)
    os.replace(unfinished, out)
    log.info(
        "teacher logits: %d utterances, %.1f MB", len(index), first * (model.config.vocab_size + (channels or 0)) * 2 / 1e6
    )
