"""Quantization-aware training: a student's front end hears itself in int8 while it learns, and learns the ranges.

Plain int8 convolutions ruin a trained group-norm front end: early features follow the waveform's amplitude, and a uniform
grid wipes out quiet sounds. So a student may go on learning with the rounding in place: in every convolution but the first,
which hears the raw waveform and stays in float, the input is rounded to 256 steps between two learned ends and the weights
to 127 steps an output channel. Rounding passes gradients on as if it weren't there (straight-through; Bengio et al. 2013),
and the ends are learned by what the rounding with them does (after Esser et al. 2020, LSQ).

Decision: the model folder stays what it would be, float weights that AutoModelForCTC loads, with the ends beside them in
int8_ranges.json; the scheme int8qat-openvino makes real int8 convolutions of both. Weights take 7 of 8 bits, because CPUs
without VNNI add two products in 16 bits.
"""

import json
from pathlib import Path

import torch
from torch import nn

from pipeline.common.errors import BigfootError

FILE = "int8_ranges.json"
LEVELS = 256  # of what enters a convolution
WEIGHT_STEPS = 63  # of a weight, to either side of zero
OUTLIERS = 1e-4  # of what was heard may lie beyond either end at the start


class Rounded(nn.Module):
    """Its input, rounded to LEVELS evenly spaced values from `low` to `high`; one of them is zero."""

    def __init__(self, low: float, high: float):
        super().__init__()
        self.low, self.high = (nn.Parameter(torch.tensor(float(end))) for end in (low, high))

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        step, zero = grid(self.low, self.high)
        return (_round(signal.float() / step) + zero).clamp(0, LEVELS - 1).sub(zero).mul(step)


def grid(low: torch.Tensor, high: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(step, the level that is zero) of the LEVELS values from low to high, moved so that zero is one of them."""
    step = (high - low).clamp(min=1e-6) / (LEVELS - 1)
    return step, _round(-low / step).clamp(0, LEVELS - 1)


def rounded_weight(weight: torch.Tensor) -> torch.Tensor:
    """A convolution's weight [out, in, kernel], rounded to WEIGHT_STEPS on either side of zero, an output channel by itself."""
    step = weight.detach().abs().amax((1, 2), keepdim=True).clamp(min=1e-8) / WEIGHT_STEPS
    return _round(weight / step) * step


def _round(x: torch.Tensor) -> torch.Tensor:
    return x + (x.round() - x).detach()


def attach(model, waveforms: list[torch.Tensor]) -> None:
    """Make the front end of a Wav2Vec2ForCTC hear itself in int8 from now on; `waveforms`, each [1, samples], set the ends.

    Its `conv_layers.N` for N > 0 get a parameter module `int8`, which `detach` takes off again. Raises BigfootError where
    there is no audio.
    """
    if not waveforms:
        raise BigfootError("quantize_aware needs training audio to see what ranges the front end has: importance_utterances")
    for layer, values in zip(_layers(model), _heard(model, waveforms), strict=True):
        ends = torch.quantile(values, torch.tensor([OUTLIERS, 1 - OUTLIERS]))
        layer.int8 = Rounded(min(float(ends[0]), 0.0), max(float(ends[1]), 0.0)).to(layer.conv.weight.device)
        layer.conv.forward = _Convolution(layer)


def detach(model) -> dict[str, dict[str, float]]:
    """Take the rounding off again: {convolution: {"low", "high"}}, with which its input was rounded last."""
    ranges = {}
    for number, layer in enumerate(_layers(model), start=1):
        step, zero = (float(value) for value in grid(layer.int8.low.detach(), layer.int8.high.detach()))
        ranges[f"conv_layers.{number}"] = {"low": -zero * step, "high": (LEVELS - 1 - zero) * step}
        del layer.int8, layer.conv.forward
    return ranges


def save(ranges: dict, folder: Path) -> None:
    (folder / FILE).write_text(json.dumps(ranges, indent=1) + "\n", encoding="utf-8")


class _Convolution:
    """What a layer's convolution does instead of its own forward."""

    def __init__(self, layer: nn.Module):
        self.layer = layer

    def __call__(self, signal: torch.Tensor) -> torch.Tensor:
        conv = self.layer.conv
        with torch.autocast(signal.device.type, enabled=False):
            weight = rounded_weight(conv.weight.float())
            return nn.functional.conv1d(self.layer.int8(signal), weight, conv.bias, conv.stride)


def _layers(model) -> list[nn.Module]:
    """The front end's layers that may be int8: all but the first."""
    return list(model.wav2vec2.feature_extractor.conv_layers)[1:]


@torch.no_grad()
def _heard(model, waveforms: list[torch.Tensor]) -> list[torch.Tensor]:
    """What enters each of these layers' convolutions: [values], at most a few million of them."""
    heard: list[list[torch.Tensor]] = [[] for _ in _layers(model)]
    most = 4_000_000 // len(waveforms)

    def note(place: int):
        return lambda module, args: heard[place].append(args[0].flatten()[:: 1 + args[0].numel() // most])

    hooks = [layer.conv.register_forward_pre_hook(note(i)) for i, layer in enumerate(_layers(model))]
    training = model.training
    model.eval()
    for waveform in waveforms:
        model.wav2vec2.feature_extractor(waveform)
    model.train(training)
    for hook in hooks:
        hook.remove()
    # torch.quantile takes 16 million values at most.
    return [torch.cat(values).float() for values in heard]
