"""What one training run is made of, for the Trainer and for the examples that it learns from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from pipeline.params import Training
from pipeline.speech.corpus import AudioCorpus
from pipeline.speech.shards import Utterance
from pipeline.train.bookkeeping import Bookkeeping


@dataclass(frozen=True)
class Job:
    """One training run: the model, its data, its settings and its loss.

    `loss`: (model, batch, finished part of the run, 0 to 1) -> loss; None: CTC on the labels. `teacher_logits`: the teacher's
    [frames, vocabulary] for an utterance, which each batch then holds; None where the loss needs none.
    `unlabelled`: the share of batches that hold audio without text; `pseudo_labels`: the labels that such an utterance gets.
    `features`: the feature encoder's output [frames, channels] for an utterance. The model then gets this instead of waveforms,
    and its feature encoder is not trained. `finish`: writes what else belongs to the model into its folder.
    """

    model: torch.nn.Module
    processor: Any
    corpus: AudioCorpus
    training: Training
    settings: BaseModel
    fingerprint: str
    bookkeeping: Bookkeeping
    teacher_logits: Callable[[Utterance], np.ndarray] | None = None
    unlabelled: float = 0.0
    pseudo_labels: Callable[[Utterance], list[int]] | None = None
    features: Callable[[Utterance], np.ndarray] | None = None
    loss: Callable[[torch.nn.Module, dict, float], torch.Tensor] | None = None
    finish: Callable[[Path], None] = lambda out: None
