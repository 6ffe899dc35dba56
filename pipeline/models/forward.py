"""A padding-invariant forward pass for all families, used for export and for all batches here.

    waveform float32 [batch, samples], lengths int64 [batch] (samples without padding) -> logits [batch, frames, vocab]

Frames beyond an utterance's length are meaningless. All other frames equal those of the utterance alone, to 1e-5 on speech
(the statistics of a wide group-norm feature encoder lose digits on slow signals: 1e-3 on a random walk).
transformers' own forward pass does not guarantee that for a group-norm feature encoder, because it computes the norm's
statistics over time with padding included, nor for data2vec's positional convolutions, of which each reads what the one before
it wrote into the padding. Here the statistics are computed over the utterance alone, and padding is zero for each convolution.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.models.families import is_group_norm, is_pre_norm
from pipeline.speech.audio import SAMPLE_RATE

if TYPE_CHECKING:
    from torch import nn


def padding_invariant(model: "nn.Module") -> "nn.Module":
    """Wrap a CTC model as a module of (waveform, lengths) with the same weights; see this module's docstring."""
    import torch

    base = model.base_model

    class PaddingInvariant(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, waveform: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return self.logits(*self.features(waveform, lengths))

        def logits(self, features, lengths):
            """Features [batch, channels, frames] and their lengths [batch] in frames -> logits [batch, frames, vocab]."""
            hidden = base.feature_projection(features.transpose(1, 2))
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            real = inside(hidden.shape[1], lengths)
            return self.model.lm_head(self._encode(hidden * real[:, :, None], real))

        def features(self, waveform, lengths):
            """The feature encoder: [batch, samples] -> features [batch, channels, frames] and their lengths in frames."""
            config, signal = self.model.config, waveform[:, None]
            for index, layer in enumerate(base.feature_extractor.conv_layers):
                lengths = (lengths - config.conv_kernel[index]) // config.conv_stride[index] + 1
                if index == 0 and is_group_norm(config):
                    signal = layer.activation(_normalized_convolution(signal, layer.conv, layer.layer_norm, lengths))
                else:
                    signal = layer(signal)
            return signal, lengths

        def _encode(self, hidden, real):
            """transformers' encoder, pre-norm or post-norm, in which no frame attends to padding; `real` [batch, frames]."""
            encoder, pre_norm = base.encoder, is_pre_norm(self.model.config)
            hidden = hidden + _positions(encoder.pos_conv_embed, hidden, real)
            hidden = hidden if pre_norm else encoder.layer_norm(hidden)
            if self.model.config.model_type == "wavlm":
                position_bias = None
                for layer in encoder.layers:
                    hidden, position_bias = layer(hidden, attention_mask=real, position_bias=position_bias)
            else:
                bias = attention_bias(real)
                for layer in encoder.layers:
                    hidden = layer(hidden, attention_mask=bias)
            return encoder.layer_norm(hidden) if pre_norm else hidden

    return PaddingInvariant()


def ignore_padding(model: "nn.Module") -> None:
    """Make transformers' own forward pass of this model ignore padding where it gets an attention mask; for training.

    transformers applies the mask to attention and to the first positional convolution, but not to the statistics of a
    group-norm feature encoder, nor to data2vec's further positional convolutions. From now on the statistics are computed over
    real frames, in float32 even under autocast, and padding is zero for each convolution. Saved files don't change.
    """
    import torch

    lengths_of: dict[str, torch.Tensor] = {}

    def note_lengths(_, args, inputs):
        lengths_of["samples"] = inputs["attention_mask"].sum(1)

    def normalized(signal):
        lengths = (lengths_of["samples"] - layer.conv.kernel_size[0]) // layer.conv.stride[0] + 1
        with torch.autocast(signal.device.type, enabled=False):
            return layer.activation(_normalized_convolution(signal.float(), layer.conv, layer.layer_norm, lengths))

    def forward(signal):
        """As transformers wraps the forward passes that this one replaces: with gradient checkpointing if that is on."""
        if layer.gradient_checkpointing and layer.training:
            return layer._gradient_checkpointing_func(normalized, signal)
        return normalized(signal)

    def only_real(_, args):
        if not lengths_of:  # `padding_invariant`, which runs the same modules, does this by itself
            return None
        return args[0] * inside(args[0].shape[2], model._get_feat_extract_output_lengths(lengths_of["samples"]))[:, None]

    positional = getattr(model.base_model.encoder.pos_conv_embed, "layers", [])
    for convolution in positional:
        convolution.register_forward_pre_hook(only_real)
    if is_group_norm(model.config):
        layer = model.base_model.feature_extractor.conv_layers[0]
        layer.forward = forward
    elif positional:
        model.register_forward_hook(lambda *_: lengths_of.clear(), always_call=True)
    else:
        return
    model.register_forward_pre_hook(note_lengths, with_kwargs=True)


def accept_features(model: "nn.Module") -> None:
    """Make transformers' own forward pass of this model accept the feature encoder's output as input_values; for training.

    input_values are then [batch, frames, channels], and the attention mask counts samples as before. `padding_invariant`
    still takes waveforms.
    """
    model.base_model.feature_extractor.forward = lambda features: features.transpose(1, 2)


def fewest_samples(config, frames: int) -> int:
    """The smallest number of samples that gives `frames` frames."""
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        frames = (frames - 1) * stride + kernel
    return frames


def frames_per_second(config) -> float:
    """Of a model with this config."""
    return SAMPLE_RATE / math.prod(config.conv_stride)


def frame_count(config, samples):
    """The number of frames for a number of samples, an int or an array of them; below 1 where they are too few for one."""
    return frame_counts(config.conv_kernel, config.conv_stride, samples)[-1]


def frame_counts(kernels: Sequence[int], strides: Sequence[int], samples) -> list:
    """The frames that each convolution of the feature encoder gives for so many samples; the last are the encoder's."""
    given = []
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) // stride + 1
        given.append(samples)
    return given


def frames_in_one(strides: Sequence[int], others: Sequence[int]) -> int:
    """How many frames of a model with the strides `others` are one of a model with `strides`, both as in conv_stride."""
    return math.prod(strides) // math.prod(others)


def inside(frames: int, lengths):
    """1.0 for real frames, 0.0 for padding: [batch, frames]."""
    import torch

    return (torch.arange(frames, device=lengths.device)[None] < lengths[:, None]).float()


def attention_bias(real):
    """What is added to attention scores, [batch, 1, 1, frames]: 0 for real frames, -1e4 for padding; `real` [batch, frames]."""
    import torch

    # Use where, not (1 - real) * -1e4: OpenVINO mistakes such a product for a dequantization, merges it with the
    # dequantizations of an int8 graph, and the logits are wrong by a quarter of their spread.
    return torch.where(real > 0, 0.0, -1e4)[:, None, None, :]


def _positions(embedding: "nn.Module", hidden, real):
    """The positional convolution, or data2vec's several, of hidden [batch, frames, n], whose padding is zero."""
    if not hasattr(embedding, "layers"):
        return embedding(hidden)
    signal = hidden.transpose(1, 2)
    for convolution in embedding.layers:
        signal = convolution(signal * real[:, None])
    return signal.transpose(1, 2)


def _normalized_convolution(signal, conv: "nn.Conv1d", norm: "nn.GroupNorm", lengths):
    """The first convolution and its group norm over real frames: -> [batch, channels, frames]. The norm cancels any bias.

    This norm (one group per channel) needs each channel's mean and variance over time. The convolution is linear, so both
    follow from the mean and covariance [kernel, kernel] of its input windows. Therefore the weights are normalized and not
    the output, which is the largest tensor in the graph. Narrow convolutions are the exception: with 32 channels and a
    kernel of 20, statistics of the output save 7% of a small student's total time; with 64 channels and a kernel of 10 they
    cost 5%.
    """
    if normalizes_weights(conv.out_channels, conv.kernel_size[0]):
        return _by_normalized_weights(signal, conv, norm, lengths)
    return _normalized_output(signal, conv, norm, lengths)


def normalizes_weights(channels: int, kernel: int) -> bool:
    """Whether a group-norm encoder's first convolution has its weights normalized, not its output."""
    return channels >= 2 * kernel


def _normalized_output(signal, conv: "nn.Conv1d", norm: "nn.GroupNorm", lengths):
    """Normalize the output: its mean and variance are products with the mask, one pass each."""
    import torch

    output = torch.nn.functional.conv1d(signal, conv.weight, stride=conv.stride)
    mask, count = inside(output.shape[2], lengths)[:, :, None], lengths[:, None, None].float()
    mean = output @ mask / count
    variance = ((output * output) @ mask / count - mean * mean).clamp(min=0)  # below 0 only through rounding in bfloat16
    scale = torch.rsqrt(variance + norm.eps) * norm.weight[:, None]
    return output * scale + (norm.bias[:, None] - mean * scale)


def _by_normalized_weights(signal, conv: "nn.Conv1d", norm: "nn.GroupNorm", lengths):
    """Normalize the weights first, then apply them as one product with the windows."""
    import torch

    kernel = conv.kernel_size[0]
    windows = torch.nn.functional.conv1d(signal, torch.eye(kernel, device=signal.device)[:, None], stride=conv.stride)
    mask, count = inside(windows.shape[2], lengths)[:, None], lengths[:, None, None].float()
    windows = windows - (windows * mask).sum(2, keepdim=True) / count
    real = windows * mask
    covariance = real @ real.transpose(1, 2) / count
    weight = conv.weight[:, 0]
    variance = ((weight @ covariance) * weight).sum(2, keepdim=True)
    scaled = weight * (torch.rsqrt(variance + norm.eps) * norm.weight[:, None])
    return scaled @ windows + norm.bias[:, None]
