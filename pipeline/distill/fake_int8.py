"""Quantization-aware training: a student trains with its feature encoder rounded to int8, and learns the ranges.

Int8 convolutions without such training ruin a group-norm feature encoder: early features follow the waveform's amplitude,
and a uniform grid erases quiet sounds. So a student may train with the rounding in place. The first convolution, whose input
is the raw waveform, stays in float. In every other convolution the input is rounded to 256 steps between two learned ends,
and the weights to 127 steps per output channel. Gradients pass through the rounding unchanged (straight-through; Bengio et
al. 2013), and the ends are trained through the rounding error (after Esser et al. 2020, LSQ).

Decision: the model folder is a normal one, with float weights that AutoModelForCTC loads; the ends are beside them in
int8_ranges.json. The scheme int8qat-openvino makes real int8 convolutions from both. Weights use 7 of 8 bits, because CPUs
without VNNI add two products in 16 bits.
"""

import json
from pathlib import Path

import torch
from torch import nn

from pipeline.models.int8_ranges import LEVELS, RANGES, WEIGHT_STEPS, Range

OUTLIERS = 1e-4  # the part of the observed values that may lie beyond each end at the start


class Rounded(nn.Module):
    """Rounds its input to LEVELS evenly spaced values from `low` to `high`; one of them is zero."""

    def __init__(self, low: float, high: float):
        super().__init__()
        self.low, self.high = (nn.Parameter(torch.tensor(float(end))) for end in (low, high))

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        step, zero = grid(self.low, self.high)
        return (_round(signal.float() / step) + zero).clamp(0, LEVELS - 1).sub(zero).mul(step)


def grid(low: torch.Tensor, high: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(step, index of the level that is zero) of the LEVELS values from low to high, shifted so that one of them is zero."""
    step = (high - low).clamp(min=1e-6) / (LEVELS - 1)
    return step, _round(-low / step).clamp(0, LEVELS - 1)


def rounded_weight(weight: torch.Tensor) -> torch.Tensor:
    """A convolution's weight [out, in, kernel], rounded to WEIGHT_STEPS on either side of zero, one step per output channel."""
    step = weight.detach().abs().amax((1, 2), keepdim=True).clamp(min=1e-8) / WEIGHT_STEPS
    return _round(weight / step) * step


def _round(x: torch.Tensor) -> torch.Tensor:
    return x + (x.round() - x).detach()


def attach(model, waveforms: list[torch.Tensor]) -> None:
    """Make the feature encoder of a Wav2Vec2ForCTC round to int8 from now on; `waveforms`, each [1, samples], set the ends.

    Its `conv_layers.N` for N > 0 get a module `int8` with the ends as parameters, which `detach` removes.
    """
    for layer, values in zip(_layers(model), _inputs(model, waveforms), strict=True):
        ends = torch.quantile(values, torch.tensor([OUTLIERS, 1 - OUTLIERS]))
        layer.int8 = Rounded(min(float(ends[0]), 0.0), max(float(ends[1]), 0.0)).to(layer.conv.weight.device)
        layer.conv.forward = _Convolution(layer)


def detach(model) -> dict[str, Range]:
    """Remove the rounding and return each convolution's last range: {convolution: {"low", "high"}}."""
    ranges: dict[str, Range] = {}
    for number, layer in enumerate(_layers(model), start=1):
        step, zero = (float(value) for value in grid(layer.int8.low.detach(), layer.int8.high.detach()))
        ranges[f"conv_layers.{number}"] = {"low": -zero * step, "high": (LEVELS - 1 - zero) * step}
        del layer.int8, layer.conv.forward
    return ranges


def save(ranges: dict[str, Range], folder: Path) -> None:
    (folder / RANGES).write_text(json.dumps(ranges, indent=1) + "\n", encoding="utf-8")


class _Convolution:
    """Replaces the forward pass of a layer's convolution."""

    def __init__(self, layer: nn.Module):
        self.layer = layer

    def __call__(self, signal: torch.Tensor) -> torch.Tensor:
        conv = self.layer.conv
        with torch.autocast(signal.device.type, enabled=False):
            weight = rounded_weight(conv.weight.float())
            return nn.functional.conv1d(self.layer.int8(signal), weight, conv.bias, conv.stride)


def _layers(model) -> list[nn.Module]:
    """The feature encoder's layers that may be int8: all but the first."""
    return list(model.base_model.feature_extractor.conv_layers)[1:]


@torch.no_grad()
def _inputs(model, waveforms: list[torch.Tensor]) -> list[torch.Tensor]:
    """The input values of each of these layers' convolutions: [values], at most a few million per layer."""
    inputs: list[list[torch.Tensor]] = [[] for _ in _layers(model)]
    most = 4_000_000 // len(waveforms)

    def record(place: int):
        return lambda module, args: inputs[place].append(args[0].flatten()[:: 1 + args[0].numel() // most])

    hooks = [layer.conv.register_forward_pre_hook(record(i)) for i, layer in enumerate(_layers(model))]
    training = model.training
    model.eval()
    for waveform in waveforms:
        model.base_model.feature_extractor(waveform)
    model.train(training)
    for hook in hooks:
        hook.remove()
    # torch.quantile accepts 16 million values at most.
    return [torch.cat(values).float() for values in inputs]
