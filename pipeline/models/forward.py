"""A wav2vec 2.0 forward pass that hears no padding, whatever the front end: what is exported, and all batches here.

    waveform float32 [batch, samples], lengths int64 [batch] (samples without padding) -> logits [batch, frames, vocab]

Frames beyond an utterance's length are meaningless; all others are what the utterance gives by itself, to 1e-5 of speech
(a wide group-norm front end's statistics lose digits on what varies slowly: 1e-3 on a random walk).
transformers' own forward can't promise that for a group-norm front end, whose statistics run over time, padding included:
here they are taken over the utterance alone.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def unpadded(model: "nn.Module") -> "nn.Module":
    """A Wav2Vec2ForCTC as a module of (waveform, lengths), with the same weights; see this module's docstring."""
    import torch

    class Unpadded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, waveform: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return self.encoded(*self.front_end(waveform, lengths))

        def encoded(self, features, lengths):
            """Features [batch, channels, frames], of which so many frames are real -> logits [batch, frames, vocab]."""
            hidden, _ = self.model.wav2vec2.feature_projection(features.transpose(1, 2))
            real = inside(hidden.shape[1], lengths)
            # Chosen by where, not (1 - real) * -1e4: OpenVINO takes such a product for a dequantization, merges it with those
            # of an int8 graph and gets logits wrong by a quarter of their spread.
            bias = torch.where(real > 0, 0.0, -1e4)[:, None, None, :]
            hidden = self._encode(hidden * real[:, :, None], bias)
            return self.model.lm_head(hidden)

        def front_end(self, waveform, lengths):
            """The convolutions: [batch, samples] -> features [batch, channels, frames], and how many frames are real."""
            config, signal = self.model.config, waveform[:, None]
            for index, layer in enumerate(self.model.wav2vec2.feature_extractor.conv_layers):
                lengths = (lengths - config.conv_kernel[index]) // config.conv_stride[index] + 1
                if index == 0 and config.feat_extract_norm == "group":
                    signal = layer.activation(_normalized_convolution(signal, layer.conv, layer.layer_norm, lengths))
                else:
                    signal = layer(signal)
            return signal, lengths

        def _encode(self, hidden, bias):
            """transformers' encoder, pre-norm or post-norm, with `bias` [batch, 1, 1, frames] on the attention."""
            encoder = self.model.wav2vec2.encoder
            pre_norm = self.model.config.do_stable_layer_norm
            hidden = hidden + encoder.pos_conv_embed(hidden)
            hidden = hidden if pre_norm else encoder.layer_norm(hidden)
            for layer in encoder.layers:
                hidden = layer(hidden, attention_mask=bias)
            return encoder.layer_norm(hidden) if pre_norm else hidden

    return Unpadded()


def mask_group_norm(model: "nn.Module") -> None:
    """Make transformers' own forward of this model hear no padding where it is given an attention mask: for training.

    The mask covers attention and positional convolution; the statistics of a group-norm front end it does not, and those
    are taken as above from now on, in float32 under autocast too. Saved files don't change.
    """
    import torch

    if model.config.feat_extract_norm != "group":
        return
    layer, heard = model.wav2vec2.feature_extractor.conv_layers[0], {}

    def note_lengths(_, args, inputs):
        heard["samples"] = inputs["attention_mask"].sum(1)

    def forward(signal):
        lengths = (heard["samples"] - layer.conv.kernel_size[0]) // layer.conv.stride[0] + 1
        with torch.autocast(signal.device.type, enabled=False):
            return layer.activation(_normalized_convolution(signal.float(), layer.conv, layer.layer_norm, lengths))

    layer.forward = forward
    model.register_forward_pre_hook(note_lengths, with_kwargs=True)


def hear_nothing(model: "nn.Module") -> None:
    """Make transformers' own forward of this model take what its front end would give, [batch, frames, channels], for
    input_values, with an attention mask of samples as before: for training. `unpadded` hears waveforms as ever."""
    model.wav2vec2.feature_extractor.forward = lambda given: given.transpose(1, 2)


def fewest_samples(config, frames: int) -> int:
    """The fewest samples that give so many frames."""
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        frames = (frames - 1) * stride + kernel
    return frames


def inside(frames: int, lengths):
    """1.0 for real frames, 0.0 for padding: [batch, frames]."""
    import torch

    return (torch.arange(frames, device=lengths.device)[None] < lengths[:, None]).float()


def _normalized_convolution(signal, conv: "nn.Conv1d", norm: "nn.GroupNorm", lengths):
    """The first convolution and its group norm, over real frames: -> [batch, channels, frames]. A bias of it falls out.

    Such a norm (one group a channel) takes a channel's mean and variance over time, and the convolution is linear: both
    follow from the mean and covariance [kernel, kernel] of the windows that it sees, so its weights are normalized instead
    of its output, which is the largest thing in the graph. Unless it is narrow: with 32 channels of a kernel of 20 taking
    the statistics of the output saves 7% of a small student's whole time, with 64 of 10 it costs 5%.
    """
    if conv.out_channels < 2 * conv.kernel_size[0]:
        return _normalized_output(signal, conv, norm, lengths)
    return _by_normalized_weights(signal, conv, norm, lengths)


def _normalized_output(signal, conv: "nn.Conv1d", norm: "nn.GroupNorm", lengths):
    """Mean and variance of what the convolution gives, as products with the mask, which take one pass each."""
    import torch

    output = torch.nn.functional.conv1d(signal, conv.weight, stride=conv.stride)
    mask, count = inside(output.shape[2], lengths)[:, :, None], lengths[:, None, None].float()
    mean = output @ mask / count
    variance = ((output * output) @ mask / count - mean * mean).clamp(min=0)  # below 0 only by rounding, in bfloat16
    scale = torch.rsqrt(variance + norm.eps) * norm.weight[:, None]
    return output * scale + (norm.bias[:, None] - mean * scale)


def _by_normalized_weights(signal, conv: "nn.Conv1d", norm: "nn.GroupNorm", lengths):
    """The convolution with weights that are normalized beforehand, as one product with its windows."""
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
