"""A padding-invariant wav2vec 2.0 forward pass, used for export and for all batches here.

    waveform float32 [batch, samples], lengths int64 [batch] (samples without padding) -> logits [batch, frames, vocab]

Frames beyond an utterance's length are meaningless. All other frames equal those of the utterance alone, to 1e-5 on speech
(the statistics of a wide group-norm feature encoder lose digits on slow signals: 1e-3 on a random walk).
transformers' own forward pass does not guarantee that for a group-norm feature encoder, because it computes the norm's
statistics over time with padding included. Here they are computed over the utterance alone.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def padding_invariant(model: "nn.Module") -> "nn.Module":
    """Wrap a Wav2Vec2ForCTC as a module of (waveform, lengths) with the same weights; see this module's docstring."""
    import torch

    class PaddingInvariant(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, waveform: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return self.logits(*self.features(waveform, lengths))

        def logits(self, features, lengths):
            """Features [batch, channels, frames] and their lengths [batch] in frames -> logits [batch, frames, vocab]."""
            hidden, _ = self.model.wav2vec2.feature_projection(features.transpose(1, 2))
            real = inside(hidden.shape[1], lengths)
            # Use where, not (1 - real) * -1e4: OpenVINO mistakes such a product for a dequantization, merges it with the
            # dequantizations of an int8 graph, and the logits are wrong by a quarter of their spread.
            bias = torch.where(real > 0, 0.0, -1e4)[:, None, None, :]
            hidden = self._encode(hidden * real[:, :, None], bias)
            return self.model.lm_head(hidden)

        def features(self, waveform, lengths):
            """The feature encoder: [batch, samples] -> features [batch, channels, frames] and their lengths in frames."""
            config, signal = self.model.config, waveform[:, None]
            for index, layer in enumerate(self.model.wav2vec2.feature_extractor.conv_layers):
                lengths = (lengths - config.conv_kernel[index]) // config.conv_stride[index] + 1
                if index == 0 and config.feat_extract_norm == "group":
                    signal = layer.activation(_normalized_convolution(signal, layer.conv, layer.layer_norm, lengths))
                else:
                    signal = layer(signal)
            return signal, lengths

        def _encode(self, hidden, bias):
            """transformers' encoder, pre-norm or post-norm, with `bias` [batch, 1, 1, frames] added to the attention scores."""
            encoder = self.model.wav2vec2.encoder
            pre_norm = self.model.config.do_stable_layer_norm
            hidden = hidden + encoder.pos_conv_embed(hidden)
            hidden = hidden if pre_norm else encoder.layer_norm(hidden)
            for layer in encoder.layers:
                hidden = layer(hidden, attention_mask=bias)
            return encoder.layer_norm(hidden) if pre_norm else hidden

    return PaddingInvariant()


def mask_group_norm(model: "nn.Module") -> None:
    """Make transformers' own forward pass of this model ignore padding where it gets an attention mask; for training.

    transformers applies the mask to attention and positional convolution, but not to the statistics of a group-norm feature
    encoder. From now on these are computed over real frames, in float32 even under autocast. Saved files don't change.
    """
    import torch

    if model.config.feat_extract_norm != "group":
        return
    layer, lengths_of = model.wav2vec2.feature_extractor.conv_layers[0], {}

    def note_lengths(_, args, inputs):
        lengths_of["samples"] = inputs["attention_mask"].sum(1)

    def forward(signal):
        lengths = (lengths_of["samples"] - layer.conv.kernel_size[0]) // layer.conv.stride[0] + 1
        with torch.autocast(signal.device.type, enabled=False):
            return layer.activation(_normalized_convolution(signal.float(), layer.conv, layer.layer_norm, lengths))

    layer.forward = forward
    model.register_forward_pre_hook(note_lengths, with_kwargs=True)


def accept_features(model: "nn.Module") -> None:
    """Make transformers' own forward pass of this model accept the feature encoder's output as input_values; for training.

    input_values are then [batch, frames, channels], and the attention mask counts samples as before. `padding_invariant`
    still takes waveforms.
    """
    model.wav2vec2.feature_extractor.forward = lambda features: features.transpose(1, 2)


def fewest_samples(config, frames: int) -> int:
    """The smallest number of samples that gives `frames` frames."""
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        frames = (frames - 1) * stride + kernel
    return frames


def inside(frames: int, lengths):
    """1.0 for real frames, 0.0 for padding: [batch, frames]."""
    import torch

    return (torch.arange(frames, device=lengths.device)[None] < lengths[:, None]).float()


def _normalized_convolution(signal, conv: "nn.Conv1d", norm: "nn.GroupNorm", lengths):
    """The first convolution and its group norm over real frames: -> [batch, channels, frames]. The norm cancels any bias.

    This norm (one group per channel) needs each channel's mean and variance over time. The convolution is linear, so both
    follow from the mean and covariance [kernel, kernel] of its input windows. Therefore the weights are normalized and not
    the output, which is the largest tensor in the graph. Narrow convolutions are the exception: with 32 channels and a
    kernel of 20, statistics of the output save 7% of a small student's total time; with 64 channels and a kernel of 10 they
    cost 5%.
    """
    if conv.out_channels < 2 * conv.kernel_size[0]:
        return _normalized_output(signal, conv, norm, lengths)
    return _by_normalized_weights(signal, conv, norm, lengths)


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
