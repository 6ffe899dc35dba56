"""Texts with more characters than a model has frames: CTC can't write them, and leaves them out of its loss without a word.

`prepare` drops what doesn't fit into wav2vec 2.0's 50 frames per second. A model with fewer has texts of its own that don't
fit, also where audio is played faster. `bigfoot check` and the start of a training count them.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.models.forward import frame_count, frames_per_second
from pipeline.params import Distillation, Student, Teacher
from pipeline.params.learning import is_used
from pipeline.speech.audio import SAMPLE_RATE
from pipeline.speech.shards import Utterance
from pipeline.speech.text import frames_needed

LABELS_ALONE = Distillation(kl_weight=0.0)  # what a teacher learns from


def frames(config, seconds: np.ndarray) -> np.ndarray:
    """int [utterances]: the frames of a model with this config."""
    return frame_count(config, np.round(seconds * SAMPLE_RATE).astype(int))


def frames_needed_by(utterances: Iterable[Utterance]) -> np.ndarray:
    """int [utterances]: the fewest frames in which CTC can write each text."""
    return np.array([frames_needed(utterance.text) for utterance in utterances], dtype=int)


def note(
    name: str, settings: Teacher | Student, config, seconds: np.ndarray, needed: np.ndarray, stored: Sequence[float] = (1.0,)
) -> str | None:
    """One line: how many texts don't fit into the frames of a model with this config, and what their utterances still teach.

    `seconds`, `needed`: [utterances], their audio and the frames that their texts need; `stored`: the speeds of the teacher's
    stored logits. None where all fit, or labels don't teach.
    """
    training, learns = settings.training, settings.distillation if isinstance(settings, Student) else LABELS_ALONE
    if training is None or not is_used(learns.ctc_weight):
        return None
    speeds = training.augment.speed or (stored if learns.reads_store else [1.0])
    count = int((frames(config, seconds / max(speeds)) < needed).sum())
    if not count:
        return None
    faster = f", where it is played {max(speeds):g} times as fast" if max(speeds) > 1 else ""
    return (
        f"{name}: {count:,} of {len(needed):,} texts of train have more characters than their audio has frames{faster}, "
        f"{frames_per_second(config):g} per second: CTC leaves them out, "
        + ("the teacher's outputs still teach their audio" if is_used(learns.kl_weight) else "they teach nothing")
    )
