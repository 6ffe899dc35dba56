"""Trains a model to do with the context that live recognition gives it (training.chunk).

In half of the batches, drawn from the seed and the step, the transformer sees each utterance in windows: a chunk, whose length
is drawn too, and `Live.left` seconds before it, but nothing after it. So a frame's right context is what is left of its chunk,
as at the end of a live window. In the other half it sees whole utterances, so that one model serves files and streams (dynamic
chunks: Zhang et al. 2020, U2).

Decision: windows instead of an attention mask. They limit the positional convolution too, which looks both ways (0.32 s ahead
in the quickstart's models), are the same for every family, and are what is computed at inference; the price is that the left
context is computed once per chunk. The feature encoder hears whole utterances.
"""

import math
from functools import partial

import numpy as np
import torch
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutput

from pipeline.common.errors import BigfootError
from pipeline.models.forward import frames_per_second
from pipeline.speech.live import Live

WHOLE = 0.5  # of the batches


def check(config, chunk: tuple[float, float] | None, name: str) -> None:
    """Raise BigfootError where the model called `name` can't be trained in chunks."""
    if chunk is not None and config.model_type == "data2vec-audio":
        raise BigfootError(f"{name}: training.chunk can't limit data2vec's several positional convolutions: leave it out")


def use_chunks(model, chunk: tuple[float, float] | None, seed: int, step: int) -> None:
    """Let the transformer of a CTC model see what it may see at this step of training; `chunk`: the shortest and longest, s."""
    encoder = model.base_model.encoder
    encoder.__dict__.pop("forward", None)
    rng = np.random.default_rng((seed, step))
    if chunk is None or rng.random() < WHOLE:
        return
    rate = frames_per_second(model.config)
    encoder.forward = partial(_in_windows, encoder, max(1, round(rng.uniform(*chunk) * rate)), round(Live.left * rate))


def _in_windows(encoder, chunk: int, left: int, hidden, attention_mask=None, **options) -> BaseModelOutput:
    """transformers' encoder on windows of `left` + `chunk` frames: hidden [batch, frames, n], mask [batch, frames]."""
    if not encoder.training:
        return type(encoder).forward(encoder, hidden, attention_mask, **options)
    batch, frames, width = hidden.shape
    chunk = min(chunk, frames)
    real = torch.ones(batch, frames, device=hidden.device) if attention_mask is None else attention_mask
    count = math.ceil(frames / chunk)
    around = (left, count * chunk - frames)
    windows = functional.pad(hidden, (0, 0, *around)).unfold(1, left + chunk, chunk).transpose(2, 3).flatten(0, 1)
    inside = functional.pad(real.bool(), around).unfold(1, left + chunk, chunk).flatten(0, 1)
    is_needed = inside[:, left:].any(1)  # attention to nothing has no value
    seen = type(encoder).forward(encoder, windows[is_needed], inside[is_needed], **options).last_hidden_state
    out = seen.new_zeros(batch * count, chunk, width)
    out[is_needed] = seen[:, left:]
    return BaseModelOutput(last_hidden_state=out.reshape(batch, count * chunk, width)[:, :frames])
