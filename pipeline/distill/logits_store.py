"""The teacher's frame logits, kept once on disk for all students.

Decision: the logits of every training utterance are stored in half precision, one after the other in one memory-mapped
file, so that no student ever has the teacher in memory. The price is 2 bytes x alphabet x 50 frames a second, 11 MB an
hour for 30 characters, and that a student's audio may not be moved in time (noise and SpecAugment are fine): what it is to
hear at other speeds the teacher hears at those speeds too, beforehand.

What the teacher's front end gives can be kept likewise, for students that take it over as it is and let it be: they then
learn without hearing. It is much more, 2 bytes x channels x 50 frames a second, 184 MB an hour for 512 channels, one and
a half times the audio.
"""

import json
import logging
import os
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.models.folder import load_model
from pipeline.params import Logits
from pipeline.speech import audio
from pipeline.speech.corpus import Corpus, Utterance

STORE_VERSION = 3
log = logging.getLogger(__name__)


class AtSpeeds:
    """A corpus whose training utterances are heard at several speeds, each as an utterance of its own: ID, ID@0.9, ID@1.1.

    Other splits are the corpus's own. Speed changes pitch too, as resampling does.
    """

    def __init__(self, corpus: Corpus, speeds: list[float]):
        self.corpus, self.speeds, self.folder = corpus, speeds, corpus.folder
        self._origin: dict[str, tuple[Utterance, float]] = {}

    def utterances(self, split: str) -> list[Utterance]:
        found = self.corpus.utterances(split)
        if split != "train":
            return found
        self._origin = {_at(one, speed).id: (one, speed) for speed in self.speeds for one in found}
        return [_at(*origin) for origin in self._origin.values()]

    def audio(self, utterance: Utterance) -> np.ndarray:
        original, speed = self._origin.get(utterance.id, (utterance, 1.0))
        return audio.change_rate(self.corpus.audio(original), audio.SAMPLE_RATE * speed, audio.SAMPLE_RATE)


def _at(utterance: Utterance, speed: float) -> Utterance:
    if speed == 1.0:
        return utterance
    return replace(utterance, id=f"{utterance.id}@{speed:g}", duration=utterance.duration / speed)


class LogitsStore:
    """Frame logits by utterance: logits.bin (half precision, frames x vocabulary) and index.json (id -> first, frames).

    `speeds`: those at which the teacher heard the corpus, see AtSpeeds. `channels`: of its front end, whose output is then
    in front_end.bin (half precision, frames x channels); None where it wasn't kept.

    >>> store[utterance_id].shape        # e.g. (181, 14): 3.6 s of audio, 14 tokens
    """

    def __init__(self, folder: Path):
        index = Path(folder) / "index.json"
        if not index.is_file():
            raise BigfootError(f"{folder} holds no logits (index.json is missing): run `dvc repro teacher_logits`")
        meta = json.loads(index.read_text())
        if meta["version"] != STORE_VERSION:
            raise BigfootError(f"{index} has version {meta['version']}, not {STORE_VERSION}: `dvc repro -f teacher_logits`")
        self.vocabulary: int = meta["vocabulary"]
        self.speeds: list[float] = meta["speeds"]
        self.channels: int | None = meta["channels"]
        self._index: dict[str, list[int]] = meta["utterances"]
        self._logits = np.memmap(Path(folder) / "logits.bin", np.float16, "r").reshape(-1, self.vocabulary)
        if self.channels:
            self._front_end = np.memmap(Path(folder) / "front_end.bin", np.float16, "r").reshape(-1, self.channels)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, utterance: str) -> bool:
        return utterance in self._index

    def __getitem__(self, utterance: str) -> np.ndarray:
        """float16 [frames, vocabulary] of one utterance."""
        first, frames = self._index[utterance]
        return self._logits[first : first + frames]

    def front_end(self, utterance: str) -> np.ndarray:
        """float16 [frames, channels]: what the front end gave of one utterance."""
        first, frames = self._index[utterance]
        return self._front_end[first : first + frames]


def store_logits(settings: Logits, model_folder: Path, corpus: Corpus, out: Path) -> None:
    """Write the teacher's logits of train at each speed of `settings`, in batches and in half precision.

    With `settings.front_end` what its front end gives as well.
    """
    from pipeline.models.inference import device_of_choice, frame_logits_and_front_end

    model, processor = load_model(model_folder)
    model.to(device_of_choice())
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    index: dict[str, list[int]] = {}
    first = 0
    channels = model.config.conv_dim[-1] if settings.front_end else None
    heard = AtSpeeds(corpus, settings.speeds)
    also = (unfinished / "front_end.bin").open("wb") if settings.front_end else nullcontext()
    with (unfinished / "logits.bin").open("wb") as file, also as front_end_file:
        for utterance, logits, given in frame_logits_and_front_end(
            model, processor, heard, heard.utterances("train"), "teacher logits"
        ):
            logits.astype(np.float16).tofile(file)
            if front_end_file:
                given.half().cpu().numpy().tofile(front_end_file)
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
