"""Computes in float32 those convolutions that a CPU gets wrong in bfloat16.

oneDNN 3.12, in PyTorch 2.14 and OpenVINO 2026.4, gives forward passes that are wrong by as much as their own size on CPUs with
AMX: where a group has an even number of inputs, below 16, and the kernel is a multiple of 4, and in some narrow convolutions
without groups. The positional convolution of a student with `hidden: 128` is one. Gradients are right, so the loss of a
training falls all the same, and its model is useless in float32. So nothing is assumed: each shape is tried out.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

MOST_WRONG = 0.05  # relative error; bfloat16's own is 0.002
FRAMES = 64


def mend(model: "nn.Module") -> list[str]:
    """Make the convolutions of a model on a CPU right in bfloat16 and under its autocast; returns the names of those mended.

    A convolution with a forward pass of its own, as in training for int8, is left as it is.
    """
    import torch

    mended = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv1d) and "forward" not in vars(module) and is_wrong(*_shape(module)):
            module.forward = _in_float32(module)
            mended.append(name)
    return mended


def _shape(conv: "nn.Conv1d") -> tuple[int, ...]:
    return conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0], conv.groups


@cache
def is_wrong(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> bool:
    """Whether this CPU's convolution of this shape in bfloat16 is far from the same values' in float32."""
    import torch

    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(1, inputs, stride * FRAMES + kernel, generator=generator).bfloat16()
    weight = torch.randn(outputs, inputs // groups, kernel, generator=generator).bfloat16()
    with torch.inference_mode():
        right = torch.nn.functional.conv1d(signal.float(), weight.float(), stride=stride, groups=groups)
        found = torch.nn.functional.conv1d(signal, weight, stride=stride, groups=groups)
    return not bool((found.float() - right).norm() <= MOST_WRONG * right.norm())  # NaN is wrong, too


def _in_float32(conv: "nn.Conv1d") -> Any:
    import torch

    def forward(signal: torch.Tensor) -> torch.Tensor:
        with torch.autocast(signal.device.type, enabled=False):
            bias = None if conv.bias is None else conv.bias.float()
            return conv._conv_forward(signal.float(), conv.weight.float(), bias).to(signal.dtype)

    return forward
