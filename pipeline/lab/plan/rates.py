"""What a plan knows of a machine: seconds per second of audio of each model, and what a process and an export take.

A model's rates were measured on a probe: a model of the same widths, of a large one only some layers. What the probe lacks is
reckoned from its multiply-adds: a second of audio takes `seconds` for the probe's `macs`, and `per_mac` for each one more.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.models.operations import macs_per_second


@dataclass(frozen=True)
class Rate:
    """Seconds of computing per second of audio."""

    seconds: float
    macs: float
    per_mac: float

    def of(self, macs: float) -> float:
        """For a model with so many multiply-adds per second of audio; of a shallower one at least its share."""
        return max(self.seconds + (macs - self.macs) * self.per_mac, self.seconds * min(1.0, macs / self.macs))


@dataclass(frozen=True)
class Model:
    """A model's config.json, its parameters, and its rates on this machine.

    `training`: a step, per second of a batch; `first`: seconds that the first step of a shape takes longer. `batched`: PyTorch
    in batches, as for logits and errors on dev; `single`: PyTorch, one utterance at a time. `runtimes`: a runtime's time as a
    part of PyTorch's; `int8`: int8's as a part of float32's.
    `export`: seconds to write it as a graph.
    """

    config: Mapping
    parameters: float
    training: Rate
    first: float
    batched: Rate
    single: Rate
    runtimes: Mapping[str, float]
    int8: float
    export: float

    def macs(self, layers: int | None = None) -> float:
        """Multiply-adds per second of audio, with this many of its layers in use; None: all."""
        return macs_per_second({**self.config, **({} if layers is None else {"num_hidden_layers": layers})})


@dataclass(frozen=True)
class Machine:
    """`starts`: seconds until a process can work, by what it loads: torch, a light runtime, nncf or mlflow.

    `loading`: seconds to decode and augment a second of audio; `preparing`: seconds of one core to check one; `looping`: what a
    step takes beside the model.
    """

    cores: int
    models: Mapping[str, Model]
    starts: Mapping[str, float]
    loading: float
    preparing: float
    looping: float

    def start(self, runtime: str) -> float:
        return self.starts["torch" if runtime == "torch" else "light"]
