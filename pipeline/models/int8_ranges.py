"""What a model that was trained with int8 rounding (pipeline.distill.fake_int8) leaves to the scheme int8qat-openvino.

Its file RANGES, beside the weights, has the range of each convolution's input: {"conv_layers.1": {"low": ..., "high": ...}}.
"""

from typing import TypedDict

RANGES = "int8_ranges.json"
LEVELS = 256  # of a convolution's input
WEIGHT_STEPS = 63  # of a weight, on either side of zero


class Range(TypedDict):
    """The ends of what a convolution's input was rounded within."""

    low: float
    high: float
