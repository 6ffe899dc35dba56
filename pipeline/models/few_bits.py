"""Weights in few bits: blocks of a Linear's inputs share a scale; used while a student trains for it, and by `int4w-onnx`.

Decision: the scale is fitted: of some that clip a block's largest weights by more or less, the one with the smallest squared
error. Rounding to the range alone, as ONNX Runtime's own tool does, wastes levels on single large weights. It depends on the
weights alone, so a model that was trained with this rounding needs only the bits of each Linear beside its weights
(few_bits.json) to be rounded to the same again.
"""

import json
from pathlib import Path
from typing import TypedDict

import torch
from torch import nn

from pipeline.common import shapes
from pipeline.models.folder import FEW_BITS, write_sums

CLIPS = torch.linspace(1.0, 0.65, 8).tolist()  # the largest weight of a block, relative to the range


@torch.no_grad()
def fitted(weight: torch.Tensor, bits: int, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight float32 [outputs, inputs] as (levels [outputs, blocks, block], scales [outputs, blocks, 1]), both float32.

    A weight is (level - 2^(bits - 1)) * scale; inputs are filled up with zeros to whole blocks.
    """
    middle, most = 2 ** (bits - 1), 2**bits - 1
    blocks = nn.functional.pad(weight, (0, -weight.shape[1] % block)).unflatten(1, (-1, block))
    largest = blocks.gather(2, blocks.abs().argmax(2, keepdim=True))
    scales = torch.where(largest == 0, 1.0, largest / -middle)  # the side with one level more is the largest weight's
    best, levels, chosen = torch.full_like(scales, torch.inf), torch.empty_like(blocks), scales
    for clip in CLIPS:
        tried = (blocks / (scales * clip)).round_().add_(middle).clamp_(0, most)
        error = tried.sub(middle).mul_(scales * clip).sub_(blocks).square_().sum(2, keepdim=True)
        is_better = error < best
        levels, chosen = torch.where(is_better, tried, levels), torch.where(is_better, scales * clip, chosen)
        best = torch.minimum(error, best)
    return levels, chosen


def rounded(weight: torch.Tensor, bits: int, block: int) -> torch.Tensor:
    """A weight [outputs, inputs] rounded to few bits; gradients pass through unchanged (Bengio et al. 2013)."""
    levels, scales = fitted(weight.detach().float(), bits, block)
    value = ((levels - 2 ** (bits - 1)) * scales).flatten(1)[:, : weight.shape[1]]
    return weight + (value - weight).detach()


class Rounding(TypedDict):
    """What the weights of a model's Linears are rounded to: bits by a Linear's name, and inputs that share a scale."""

    bits: dict[str, int]
    block: int


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    """The Linears of a model by their names without the family's prefix, which all families share."""
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    return {name.removeprefix(prefix): module for name, module in model.named_modules() if isinstance(module, nn.Linear)}


def attach(model: nn.Module, rounding: Rounding) -> None:
    """Make Linears compute with rounded weights from now on; the model's own stay in float, and so do its files."""
    modules = linears(model)
    for name, bits in rounding["bits"].items():
        modules[name].forward = _Rounded(modules[name], bits, rounding["block"])


def save(rounding: Rounding, folder: Path) -> None:
    """Write it beside a saved model, as one of the files that make the model."""
    (folder / FEW_BITS).write_text(json.dumps(rounding, indent=1) + "\n", encoding="utf-8")
    write_sums(folder)


def read(folder: Path) -> Rounding | None:
    """What a model was trained for; None where its weights were in float."""
    if not (file := folder / FEW_BITS).is_file():
        return None
    content = shapes.read(file, Rounding, None)
    return Rounding(bits=content["bits"], block=content["block"])


def attach_own(model: nn.Module, folder: Path) -> None:
    """Make the model that was loaded from `folder` round its weights as it did while it trained, if it did."""
    if rounding := read(folder):
        attach(model, rounding)


class _Rounded:
    """Replaces the forward pass of a Linear."""

    def __init__(self, linear: nn.Linear, bits: int, block: int):
        self.linear, self.bits, self.block = linear, bits, block

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            weight = rounded(self.linear.weight.float(), self.bits, self.block)
        return nn.functional.linear(hidden, weight, self.linear.bias)
