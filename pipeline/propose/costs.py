"""The cost model: milliseconds and memory of a variant on this machine, foretold from its shape.

Decision: time is a sum over the parts of the network, each part's operations times a price, and prices are fitted by
non-negative least squares on relative errors, for one scheme and number of threads at a time. So a price never turns negative
where two parts grow together, and small shapes count as much as large ones. Operations are those of
pipeline/models/operations.py, per part, beside what grows with activations (norms, GELU, softmax), with layers (starting an
operation) and with the call itself. Convolutions have a second price, for their channels rounded up to whole blocks, and
positional ones where frames are not joined (pipeline.quantize.frame_blocks).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from pipeline.models.forward import frame_counts
from pipeline.models.operations import macs
from pipeline.quantize.frame_blocks import joins
from pipeline.speech.audio import SAMPLE_RATE

BLOCK = 16  # channels that runtimes compute together on CPUs with AVX-512; others have smaller blocks


@dataclass(frozen=True)
class Timed:
    """One shape as measured: {seconds of audio: milliseconds}, and the process's peak memory at the longest of them."""

    config: dict
    disk_mb: float
    ms: dict[float, float]
    ram_mb: float


class Costs:
    """Prices fitted to `timed`, at least one shape, of one scheme with one number of threads.

    `step`: samples, to multiples of which the scheme's runtime fills audio up.
    """

    def __init__(self, timed: Sequence[Timed], step: int = 1):
        self.step = step
        rows = [(parts(each.config, seconds, step), ms) for each in timed for seconds, ms in each.ms.items()]
        self.prices = _fitted(rows)
        self.longest = max(max(each.ms) for each in timed)
        self.memory_prices = _fitted([(self._memory(each.config, each.disk_mb), each.ram_mb) for each in timed])

    def ms(self, config: dict, seconds: float) -> float:
        """Milliseconds for so many seconds of audio."""
        return float(self.prices @ parts(config, seconds, self.step))

    def ram_mb(self, config: dict, disk_mb: float) -> float:
        """The process's peak memory in 10^6 bytes, for audio as long as the longest that was timed."""
        return float(self.memory_prices @ self._memory(config, disk_mb))

    def _memory(self, config: dict, disk_mb: float) -> list[float]:
        """What memory grows with: the process itself, the weights, the activations of the feature encoder and of a layer."""
        frames = _frames(config, round(self.longest * SAMPLE_RATE))
        convolutions = max(count * width for count, width in zip(frames, config["conv_dim"], strict=True))
        width = max(config["intermediate_size"], 4 * config["hidden_size"])
        layer = frames[-1] * (width + frames[-1] * config["num_attention_heads"])
        return [1.0, disk_mb, 4e-6 * convolutions, 4e-6 * layer]


def parts(config: dict, seconds: float, step: int = 1) -> list[float]:
    """What time grows with, for so many seconds of audio: products of each part, numbers that pass norms, counts."""
    samples = round(seconds * SAMPLE_RATE)
    samples += -samples % step
    frames, layers, hidden = _frames(config, samples), config["num_hidden_layers"], config["hidden_size"]
    passed = [count * width for count, width in zip(frames, config["conv_dim"], strict=True)]
    whole_blocks = config | {"conv_dim": [math.ceil(width / BLOCK) * BLOCK for width in config["conv_dim"]]}
    last, width, products = frames[-1], config["intermediate_size"], macs(config, samples)
    return [
        1.0,
        *(1e-6 * count for count in products.values()),
        0.0 if joins(config) else 1e-6 * products["positional convolutions"],
        1e-6 * macs(whole_blocks, samples)["convolutions"],
        1e-6 * samples,
        1e-6 * passed[0],
        1e-6 * sum(passed[1:]),
        1e-6 * layers * last * last * config["num_attention_heads"],
        1e-6 * layers * last * hidden,
        1e-6 * layers * last * width,
        float(layers),
        float(len(frames)),
    ]


def _frames(config: dict, samples: int) -> list[int]:
    return frame_counts(config["conv_kernel"], config["conv_stride"], samples)


def _fitted(rows: Sequence[tuple[Sequence[float], float]]) -> np.ndarray:
    """Prices >= 0 with the least squares of relative errors: rows are (amounts, what they cost together)."""
    amounts = np.array([amount for amount, _ in rows]) / np.array([[cost] for _, cost in rows])
    scale = np.maximum(amounts.max(0), 1e-30)
    return nnls(amounts / scale, np.ones(len(rows)))[0] / scale
