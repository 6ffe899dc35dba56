"""The memory of a training step, foretold from a model's config, so that `batch_seconds` need not be found by trial.

    16 bytes per parameter: the weight, its gradient and Adam's two moments, in float32
    + for each second of a batch, padding included: what the forward pass keeps for the backward pass

What is kept follows from transformers' modules: of each convolution its output before the norm, before the activation and
after it; of each layer eight tensors of the model's width and two of its feed-forward part. A convolution that is rounded to
int8 keeps its input three times more, and all of it in float32. Weights that are rounded to few bits are kept beside their own.
With gradient checkpointing only the inputs of convolutions and layers are kept, and what one of them keeps is computed again
when it is needed.

Decision: a few products instead of a trial step, so that it takes no time, and a GPU's need is known without the GPU.
"""

import math
from dataclasses import dataclass

from pipeline.models.families import is_group_norm
from pipeline.models.tensors import tensors
from pipeline.speech.audio import SAMPLE_RATE
from pipeline.speech.live import Live

FLOAT, HALF = 4, 2  # bytes
STATES = 4 * FLOAT


@dataclass(frozen=True)
class Memory:
    """Bytes in one process: `fixed`, and those per second of a batch; and the model's number of parameters."""

    parameters: int
    fixed: float
    per_second: float

    def __add__(self, beside: "Memory") -> "Memory":
        """The need of a training and of what runs beside it; `parameters` stay those of the trained model."""
        return Memory(self.parameters, self.fixed + beside.fixed, self.per_second + beside.per_second)


@dataclass(frozen=True)
class Training:
    """What decides the memory beside the model: `precision` is bf16, fp16 or fp32, `longest` the seconds of an utterance.

    `frozen`: the feature encoder is not trained; `checkpointing`: gradient checkpointing. `chunk`: the shortest chunk of
    training.chunk in seconds; None: whole utterances. `int8`: with the student's quantize_aware; `few_bits`: with its few_bits.
    """

    precision: str
    on_gpu: bool
    longest: float
    frozen: bool = False
    checkpointing: bool = False
    chunk: float | None = None
    int8: bool = False
    few_bits: bool = False

    @property
    def windows(self) -> float:
        """How often a layer computes a frame of the longest utterance in its shortest chunks (see chunks.py)."""
        if self.chunk is None:
            return 1.0
        chunk = min(self.chunk, self.longest)
        return math.ceil(self.longest / chunk) * (Live.left + chunk) / self.longest

    @property
    def size(self) -> int:
        """Bytes of a number in a product."""
        return FLOAT if self.precision == "fp32" else HALF

    @property
    def norm(self) -> int:
        """Bytes of a number in a norm, which a GPU always computes in float32."""
        return FLOAT if self.on_gpu else self.size

    @property
    def mask(self) -> int:
        """Bytes of a number in a dropout mask."""
        return 1 if self.on_gpu else self.size


def foretold(config, training: Training) -> Memory:
    """The memory of training a model with this config, an object of transformers of any family."""
    count, size, rates = tensors(config.to_dict()).numbers, training.size, _frame_rates(config)
    rounded = FLOAT * count if training.few_bits else 0
    copies = rounded if training.precision == "fp32" else HALF * count  # of the weights, autocast's or rounded
    layers, layer = config.num_hidden_layers, rates[-1] * _kept_by_layer(config, training) * training.windows
    outputs = [rate * width * size for rate, width in zip(rates, config.conv_dim, strict=True)]
    convolutions = [rate * _kept_by_convolution(config, i, training) for i, rate in enumerate(rates)]
    if training.int8:
        convolutions[1:] = [kept + _kept_by_rounding(config, i, training) for i, kept in enumerate(convolutions[1:], start=1)]
    if training.frozen:
        outputs, convolutions = [], []
    around = rates[-1] * (size * (4 * config.hidden_size + 3 * config.conv_dim[-1]) + 3 * FLOAT * config.vocab_size)
    if config.model_type == "wavlm":  # the position bias, which all layers share
        around += rates[-1] * FLOAT * config.num_attention_heads * rates[-1] * training.longest
    if training.checkpointing:
        inputs = sum(outputs[:-1]) + layers * rates[-1] * config.hidden_size * size * training.windows
        # A convolution is computed again when the layers are done; its gradients are as large as what it keeps.
        per_second = max([around + inputs + layer, *(2 * kept for kept in convolutions)])
    else:
        per_second = around + sum(convolutions) + layers * layer
    return Memory(count, STATES * count + copies, per_second)


def running(config, training: Training) -> Memory:
    """The memory of a model that runs beside a training and learns nothing: a student's online teacher.

    Its activations are the widest convolution's, or the outputs of all its layers.
    """
    count, rates = tensors(config.to_dict()).numbers, _frame_rates(config)
    convolutions = [rate * _kept_by_convolution(config, i, training) for i, rate in enumerate(rates)]
    layers = config.num_hidden_layers * rates[-1] * config.hidden_size * training.size
    copies = 0 if training.precision == "fp32" else HALF * count
    return Memory(count, FLOAT * count + copies, max(layers, *convolutions))


def _frame_rates(config) -> list[float]:
    """Frames per second of each convolution's output."""
    rates, rate = [], float(SAMPLE_RATE)
    for stride in config.conv_stride:
        rate /= stride
        rates.append(rate)
    return rates


def _kept_by_convolution(config, index: int, training: Training) -> float:
    """Bytes per frame that a convolution, its norm and its activation keep."""
    width = config.conv_dim[index]
    if not is_group_norm(config):
        return width * (2 * training.norm + training.size)
    if index:
        return width * 2 * training.size
    return width * (FLOAT + training.size) + 2 * FLOAT * config.conv_kernel[0]  # see `forward.ignore_padding`


def _kept_by_rounding(config, index: int, training: Training) -> float:
    """Bytes per second that a convolution after the first keeps beside that, where it is rounded to int8, in float32."""
    rates, wider = _frame_rates(config), FLOAT - training.size
    norms = 1 if is_group_norm(config) else 2
    inputs = rates[index - 1] * config.conv_dim[index - 1] * (3 * FLOAT + wider)
    return inputs + rates[index] * config.conv_dim[index] * norms * wider


def _kept_by_layer(config, training: Training) -> float:
    """Bytes per frame that a layer of the transformer keeps."""
    hidden, inner, size = config.hidden_size, config.intermediate_size, training.size
    kept = size * (6 * hidden + 2 * inner) + training.norm * 2 * hidden
    kept += training.mask * (2 * hidden * (config.hidden_dropout > 0) + inner * (config.activation_dropout > 0))
    scores = config.num_attention_heads * training.longest * _frame_rates(config)[-1]
    drops = config.attention_dropout > 0
    if config.model_type == "wavlm":
        return kept + scores * (size + drops * (training.mask + size))
    if drops and not training.on_gpu:  # the fused attention of a CPU has no dropout
        return kept + scores * 3 * FLOAT
    return kept
