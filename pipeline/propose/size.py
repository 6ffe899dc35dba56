"""The size of a variant's folder, foretold from its shape and scheme to 2%, without making it.

Decision: the weights are counted by what a scheme stores of each tensor. The rest of a folder, graph and JSON files, depends on
how many layers and convolutions there are and not on how wide they are; it is the difference between the size of a really made,
narrow model and its counted weights. Two depths are made once per machine and scheme; more layers add equally much each.

NNCF smooths one place more or less, as the numbers fall: up to 15 kB, which is 2% of an int8-openvino folder of 0.75 MB.
STORES lists the schemes whose size is foretold. That of int8ac-openvino can't be: what it keeps in float is decided on dev.
"""

from collections.abc import Callable, Sequence
from math import ceil, lcm, prod
from pathlib import Path

from pipeline.benchmark.processes import size_mb
from pipeline.lab.plan.probes import Remembered
from pipeline.models.forward import normalizes_weights
from pipeline.models.tensors import Tensors, tensors
from pipeline.quantize.base import Scheme
from pipeline.quantize.frame_blocks import joins
from pipeline.quantize.onnx_nbits import OnnxInt4Weights
from pipeline.quantize.openvino import LEAST_GROUP, OpenvinoInt4Weights
from pipeline.quantize.schemes import make

FORMAT = 5  # of what schemes write: raise it when a file changes, so that remembered sizes and times are measured again
Make = Callable[[dict, str], Path]  # (a model's config, a scheme) -> the folder of such a variant, with random weights


def weights(scheme: Scheme, config: dict) -> float:
    """Bytes of what this scheme, one of STORES, stores of the weights of a model with this config.json."""
    return STORES[type(scheme).__name__](tensors(config), scheme, config)


class Sizes:
    """Sizes of variants of one teacher's students; narrow ones are made by `made` where `remembered` has none yet."""

    def __init__(self, remembered: Remembered, made: Make, schemes: dict[str, dict]):
        self.remembered, self.made, self.schemes = remembered, made, schemes
        self.known: dict[str, float] = {}

    def mb(self, config: dict, scheme: str) -> float:
        """Megabytes (10^6 bytes) of the folder of a variant with this config.json in this scheme."""
        one, two = (self._rest(config, scheme, layers) for layers in (1, 2))
        rest = one + (config["num_hidden_layers"] - 1) * (two - one)
        return (weights(make(scheme, self.schemes[scheme]), config) + rest) / 1e6

    def _rest(self, config: dict, scheme: str, layers: int) -> float:
        """Bytes of all but the weights of a folder with so many layers."""
        narrow = _narrow(config, self.schemes[scheme]) | {"num_hidden_layers": layers}

        def measured() -> list[float]:
            folder = self.made(narrow, scheme)
            return [1e6 * size_mb(folder) - weights(make(scheme, self.schemes[scheme]), narrow)]

        key = ("size", FORMAT, scheme, self.schemes[scheme], narrow)
        if (name := str(key)) not in self.known:
            self.known[name] = self.remembered.of(key, measured)[0]
        return self.known[name]


def _narrow(config: dict, settings: dict) -> dict:
    """A config of the same structure, as narrow as its parts allow."""
    step = lcm(64, config["num_conv_pos_embedding_groups"], settings.get("group_size", 1))
    alike = (width for width in range(step, 17 * step, step) if joins(config | {"hidden_size": width}) == joins(config))
    hidden = next(alike, step)
    first = 2 * config["conv_kernel"][0] if _normalized(config) else 16  # channels of the same graph
    return config | {
        "hidden_size": hidden, "num_attention_heads": 2, "intermediate_size": 2 * hidden,
        "conv_dim": [first, *[32] * (len(config["conv_dim"]) - 1)],
    }  # fmt: skip


# ---------------------------------------------------------------- what each scheme stores


def _all(bytes_each: int) -> Callable[[Tensors, Scheme, dict], float]:
    """Every number in so many bytes."""
    return lambda t, *_: bytes_each * (t.numbers - t.training)


def _openvino_plain(bytes_each: int) -> Callable[[Tensors, Scheme, dict], float]:
    """Every number in so many bytes, and a second copy of normalized weights."""
    return lambda t, scheme, config: _all(bytes_each)(t, scheme, config) + bytes_each * _normalized(config)


def _onnx_int8(t: Tensors, scheme: Scheme, config: dict) -> float:
    """Weights of Linears and convolutions in one byte, with a scale of 4 bytes per output, and a zero point in Linears."""
    return _in_int8(t, config, 5)


def _in_int8(t: Tensors, config: dict, per_output: float) -> float:
    """Linears in one byte per weight, with so many bytes per output; convolutions likewise, with 4; all else in float32."""
    return 4 * (t.numbers - t.training) - _lowered([*t.linears, t.head], per_output) - _lowered(_stored_in_int8(t, config), 4)


def _openvino_int8(t: Tensors, scheme: Scheme, config: dict) -> float:
    """As `_onnx_int8` without zero points, with the float factor per input by which NNCF smooths what Linears read.

    Normalized weights stand there in float twice more.
    """
    hidden, width, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    smoothing = 4 * (config["conv_dim"][-1] + layers * (3 * hidden + width) + hidden)
    return _in_int8(t, config, 4) + smoothing + 8 * _normalized(config)


def _openvino_int4(t: Tensors, scheme: Scheme, config: dict) -> float:
    """Linears in half a byte, with a scale (2 bytes) and a zero point (half a byte) per group; head, convolutions in a byte.

    Normalized weights stand there in float twice more.
    """
    assert isinstance(scheme, OpenvinoInt4Weights)
    total = 4 * (t.numbers - t.training) - _lowered([t.head, *t.convolutions, *t.positional], 3) + 8 * _normalized(config)
    for out, inputs in t.linears:
        group = _group(inputs, scheme.group_size)
        total -= 4 * out * inputs - (out * inputs * (0.5 + 2.5 / group) if group else out * inputs + 3 * out)
    return total


def _onnx_few_bits(t: Tensors, scheme: Scheme, config: dict) -> float:
    """Linears in few bits, whole blocks, with a scale of 4 bytes per block; convolutions in a byte."""
    assert isinstance(scheme, OnnxInt4Weights)
    total = 4.0 * (t.numbers - t.training) - _lowered(_stored_in_int8(t, config), 4)
    for out, inputs in (*t.linears, t.head):
        total -= 4 * out * inputs - out * ceil(inputs / scheme.block) * (scheme.block * scheme.bits / 8 + 4)
    return total


def _stored_in_int8(t: Tensors, config: dict) -> list[tuple[int, int, int]]:
    """The convolutions whose weights are constants of the graph: all, but the first where its weights are normalized."""
    return [*t.convolutions[_normalized(config) > 0 :], *t.positional]


def _normalized(config: dict) -> int:
    """How many weights the first convolution has, if the graph normalizes them; 0 otherwise."""
    channels, kernel = config["conv_dim"][0], config["conv_kernel"][0]
    is_group_norm = config.get("feat_extract_norm", "layer") == "group"
    return channels * kernel if is_group_norm and normalizes_weights(channels, kernel) else 0


def _lowered(shapes: Sequence[tuple[int, ...]], per_output: float) -> float:
    """What weights in one byte instead of four save, with so many bytes per output."""
    return 3 * sum(map(prod, shapes)) - per_output * sum(shape[0] for shape in shapes)


def _group(inputs: int, size: int) -> int:
    """How many inputs share a scale: `size`, or the largest power of two below it that divides them; 0: int8 instead."""
    if inputs % size == 0:
        return size
    fitting = [2**power for power in range(12) if LEAST_GROUP <= 2**power < size and inputs % 2**power == 0]
    return max(fitting, default=0)


STORES = {
    "OnnxFp32": _all(4),
    "OnnxInt8": _onnx_int8,
    "OnnxInt8Static": _onnx_int8,
    "OnnxInt4Weights": _onnx_few_bits,
    "OpenvinoFp32": _openvino_plain(4),
    "OpenvinoBf16": _openvino_plain(2),
    "OpenvinoInt8": _openvino_int8,
    "OpenvinoInt4Weights": _openvino_int4,
}
