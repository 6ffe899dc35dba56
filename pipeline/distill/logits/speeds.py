"""A corpus played at several speeds, since stored logits forbid that a student's audio is played at any other."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pipeline.speech import audio
from pipeline.speech.corpus import UNLABELLED, Corpus, durations, speakers_of
from pipeline.speech.shards import Utterance

SPLITS = ("train", UNLABELLED)  # the audio that students learn from


class AtSpeeds:
    """A corpus with its training utterances, with text and without, at several speeds, each as an utterance: ID, ID@0.9.

    Other splits are unchanged. A change of speed is a resampling, so it also changes pitch.
    """

    def __init__(self, corpus: Corpus, speeds: list[float]):
        self.corpus, self.speeds = corpus, speeds
        self.folder, self.rules = corpus.folder, corpus.rules

    def utterances(self, split: str) -> Sequence[Utterance]:
        utterances = self.corpus.utterances(split)
        return EachAtSpeeds(utterances, self.speeds) if split in SPLITS else utterances

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

    @property
    def speakers(self) -> np.ndarray:
        """int32 [utterances], each speaker's number; -1 where the speaker is unknown."""
        return np.tile(speakers_of(self._utterances), len(self._speeds))

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
