"""Calibration inputs: training utterances, evenly spread over train, prepared as the recognizer prepares them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from pipeline.common.errors import BigfootError
from pipeline.models.description import describe
from pipeline.quantize.base import Scheme

if TYPE_CHECKING:
    from pipeline.speech.corpus import Corpus


class Calibrated(Scheme):
    """A scheme that measures the ranges of activations on training audio, when the variant is made."""

    calibration_utterances: int = Field(
        64, ge=1, le=1_000_000, description="spread evenly over train; fewer where train has fewer"
    )

    def inputs(self, corpus: "Corpus | None", model_folder: Path) -> list[dict[str, np.ndarray]]:
        """The graph's inputs, one utterance per item."""
        return calibration(corpus, self.calibration_utterances, describe(model_folder))


def calibration(corpus: "Corpus | None", count: int, info: dict) -> list[dict[str, np.ndarray]]:
    """The graph's inputs for `count` training utterances; `info` is the model's part of variant.json."""
    from pipeline.recognition.recognizer import Recognizer
    from pipeline.speech.corpus import spread

    utterances = corpus.utterances("train") if corpus else []
    if corpus is None or not utterances:
        raise BigfootError("the scheme calibrates on training audio, but the corpus has none: run prepare first")
    recognizer = Recognizer(info, run=_never)  # for its `waveform` alone
    waveforms = [recognizer.waveform(corpus.audio(utterance)) for utterance in spread(utterances, count)]
    return [{"waveform": waveform[None], "lengths": np.array([waveform.size], dtype=np.int64)} for waveform in waveforms]


def _never(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    raise NotImplementedError("calibration runs no model")
