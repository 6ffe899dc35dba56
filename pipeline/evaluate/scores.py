"""The results of `evaluate` for one variant, from one utterance to all sets, and their file, scores/VARIANT.json.

The file uses the names of these objects: {"variant": ..., "sets": {"dev": {"wer": ..., "hypotheses": [{"id": ...}]}}}.
It is sealed, as timings.json is (`pipeline.common.files`), so that an edited figure is found. How long it took is in a file of
its own, durations/VARIANT.json, because a score depends on no clock.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from pipeline.common import shapes
from pipeline.common.files import sealed, write_json
from pipeline.common.objects import read_object
from pipeline.speech.scoring import Objective


@dataclass(frozen=True)
class Hypothesis:
    """The text that a variant recognized in one utterance, with the reference, whose `words` and `characters` are counted.

    `errors` are wrong words, `duration` is in seconds, `snr_db` is the signal-to-noise ratio (None: unknown).
    """

    id: str
    speaker: str
    recording: str
    duration: float
    reference: str
    hypothesis: str
    errors: int
    words: int
    character_errors: int
    characters: int
    snr_db: float | None

    def counts(self, objective: Objective) -> tuple[int, int]:
        """(errors, length of the reference) in the objective's unit, words or characters."""
        return (self.errors, self.words) if objective == "wer" else (self.character_errors, self.characters)


@dataclass(frozen=True)
class SetScore:
    """The score of one set: WER and CER are fractions; low and high are the ends of their 95% intervals (None: unknown).

    `unit` is what the intervals resample: speakers, recordings or utterances.
    """

    utterances: int
    words: int
    characters: int
    wer: float
    cer: float
    wer_low: float | None
    wer_high: float | None
    cer_low: float | None
    cer_high: float | None
    substitutions: int
    deletions: int
    insertions: int
    unit: str
    hypotheses: list[Hypothesis]


@dataclass(frozen=True)
class LiveScore:
    """The first test set heard live with one right context: WER and CER, and what they have more than those of whole files.

    The rise, of the error rate that decides, is a fraction with its 95% interval, paired by utterance. `chunk`, `left` and
    `right` are seconds.
    """

    chunk: float
    left: float
    right: float
    wer: float
    cer: float
    rise: float
    rise_low: float
    rise_high: float


@dataclass(frozen=True)
class NoisyScore:
    """The first test set with white noise `snr_db` below each utterance: WER and CER with the ends of their 95% intervals."""

    snr_db: float
    wer: float
    cer: float
    wer_low: float | None
    wer_high: float | None
    cer_low: float | None
    cer_high: float | None


@dataclass(frozen=True)
class Score:
    """The score of one variant: dev, gate and every test set, by name. `files` is the mark of the variant's seal."""

    variant: str
    model: str
    scheme: str
    files: str | None
    first_test: str
    sets: dict[str, SetScore]
    live: list[LiveScore] = field(default_factory=list)
    noisy: list[NoisyScore] = field(default_factory=list)


def read(path: Path, slug: str) -> Score:
    """The score of the variant with this slug; raises BigfootError where the file is missing, broken or too old."""
    return read_object(path, Score, f"dvc repro evaluate@{slug}")


def write(path: Path, score: Score) -> None:
    write_json(path, sealed(asdict(score)))


class Duration(TypedDict):
    """Seconds from a variant's files to its score; None where a killed run had done a part of it."""

    seconds: float | None


def read_seconds(path: Path, slug: str) -> float | None:
    """The duration of the evaluation of the variant with this slug; raises BigfootError as `read` does."""
    return shapes.read(path, Duration, f"dvc repro evaluate@{slug}")["seconds"]


def write_seconds(path: Path, seconds: float | None) -> None:
    write_json(path, {"seconds": seconds})
