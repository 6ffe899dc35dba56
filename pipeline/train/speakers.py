"""The speakers that training.augment.join needs: a corpus that names none is refused, by `bigfoot check` once it is made."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.params import Params
from pipeline.speech.corpus import open_corpus, speakers_of
from pipeline.speech.shards import Utterance


def check(params: Params, corpus: Path) -> None:
    """Raise BigfootError where a training is to join utterances of a corpus without speakers.

    The teacher's stage doesn't see the students' settings: without this a student would be refused hours later.
    """
    trainings = {"teacher": params.teacher.training, **{name: student.training for name, student in params.students.items()}}
    joining = [name for name, training in trainings.items() if training and training.augment.join > 1]
    if not joining:
        return
    try:
        train = open_corpus(corpus).utterances("train")
    except BigfootError:  # `prepare` is yet to make it, or to make it anew
        return
    known(train, joining[0])


def known(utterances: Sequence[Utterance], model: str) -> np.ndarray:
    """`speakers_of` the utterances that this model's training joins; raises BigfootError where none is known."""
    numbers = speakers_of(utterances)
    if numbers.max(initial=-1) < 0:
        raise BigfootError(
            f"{model}: training.augment.join joins utterances of one speaker, but the corpus names none: "
            "leave it out, or name speakers in the source"
        )
    return numbers
