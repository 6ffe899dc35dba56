"""A model as one module from raw audio to logits, for runtimes whose programs can't be rewired once they are made.

    audio float32 [1, samples], padded with zeros; length int64 [1] (samples without padding)
    -> logits float32 [1, frames or more, vocabulary]

It does what pipeline.exports.graph adds to an ONNX graph: normalizes where the model was trained so, hears audio that is too
short for a frame, and lets the blank win wherever a token wins that writes nothing. How much padding there is changes nothing.
"""

import math
from typing import TYPE_CHECKING

from pipeline.models.forward import inside, padding_invariant
from pipeline.recognition import seal
from pipeline.recognition.recognizer import WINDOW_SECONDS

if TYPE_CHECKING:
    from torch import nn


def hop(info: dict) -> int:
    """Samples from a frame to the next; `info`: variant.json, or the model's part of it."""
    return math.prod(info["conv_strides"])


def longest(info: dict) -> int:
    """The most samples that a program takes: the recognizer's window."""
    return round(WINDOW_SECONDS * info["sample_rate"])


def module(model: "nn.Module", info: dict) -> "nn.Module":
    """The module of a CTC model."""
    import torch

    from pipeline.exports.graph import NEVER, silent_tokens

    silent, ids, field = silent_tokens(info), torch.arange(len(info["vocab"])), seal.receptive_field(info)

    class RawAudio(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = padding_invariant(model)
            self.register_buffer("is_blank", ids == info["blank"])
            self.register_buffer("is_silent", torch.isin(ids, torch.tensor(silent, dtype=ids.dtype)))
            self.register_buffer("writes_nothing", torch.tensor([info["blank"], *silent]))

        def forward(self, audio: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
            signal = self.normalized(audio, length) if info["normalize"] else audio
            scores = self.scores(signal, length.clamp(min=field))
            best = scores.index_select(2, self.writes_nothing).amax(2, keepdim=True)
            return torch.where(self.is_blank, best, torch.where(self.is_silent, NEVER, scores))

        def normalized(self, audio, length):
            """Padding, which is counted out of the variance, isn't zero any more, but for what the first frame hears."""
            count = length[:, None].float().clamp(min=1)
            mean = audio.sum(1, keepdim=True) / count
            centered = audio - mean
            squares = (centered * centered).sum(1, keepdim=True) - (audio.shape[1] - count) * mean * mean
            signal = centered * torch.rsqrt(squares / count + 1e-7)
            return torch.cat([signal[:, :field] * inside(field, length), signal[:, field:]], 1)

    return RawAudio().eval()
