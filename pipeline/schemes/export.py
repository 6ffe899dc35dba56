"""A model folder as an ONNX graph that hears no padding, whatever the front end.

    waveform float32 [batch, samples], lengths int64 [batch] (samples without padding) -> logits [batch, frames, vocab]

All axes are free. Frames beyond an utterance's length are meaningless; all others are what the utterance gives by
itself, to 1e-5. transformers' own forward can't promise that for a group-norm front end, whose statistics run over
time, padding included: here they are taken over the utterance alone. The price is a few per cent of speed at one
fixed length; what it buys is batches of any lengths, and few distinct shapes for runtimes that compile for each (see
pipeline.runtimes).

By the tracing exporter (dynamo=False), which is exact; the newer one fails on free lengths. Nodes keep their modules'
names, so the convolutional front end is what has `/feature_extractor/` in its name. Normalising the waveform is not
the graph's business.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import torch_model

if TYPE_CHECKING:
    from torch import nn


def to_onnx(model_folder: Path, path: Path) -> None:
    """Write the float32 graph of a model folder to `path`."""
    import torch

    graph = unpadded(torch_model.load_float(model_folder, attention="eager")).eval()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            graph,
            (torch.zeros(2, 16_000), torch.tensor([16_000, 12_000])),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["waveform", "lengths"],
            output_names=["logits"],
            dynamic_axes={
                "waveform": {0: "batch", 1: "samples"},
                "lengths": {0: "batch"},
                "logits": {0: "batch", 1: "frames"},
            },
        )


def unpadded(model: "nn.Module") -> "nn.Module":
    """A Wav2Vec2ForCTC as a module of (waveform, lengths); see this module's docstring."""
    import torch

    class Unpadded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, waveform: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            features, lengths = self._features(waveform[:, None], lengths)
            hidden, _ = self.model.wav2vec2.feature_projection(features.transpose(1, 2))
            inside = _inside(hidden.shape[1], lengths)
            # Chosen by where, not (1 - inside) * -1e4: OpenVINO takes such a product for a dequantisation, merges it with those
            # of an int8 graph and gets logits wrong by a quarter of their spread.
            bias = torch.where(inside > 0, 0.0, -1e4)[:, None, None, :]
            hidden = self._encode(hidden * inside[:, :, None], bias)
            return self.model.lm_head(hidden)

        def _features(self, signal, lengths):
            """The convolutions: [batch, 1, samples] -> [batch, channels, frames], and how many frames are real."""
            config = self.model.config
            for index, layer in enumerate(self.model.wav2vec2.feature_extractor.conv_layers):
                lengths = (lengths - config.conv_kernel[index]) // config.conv_stride[index] + 1
                if index == 0 and config.feat_extract_norm == "group":
                    signal = layer.conv(signal)
                    signal = layer.activation(_group_norm(signal, layer.layer_norm, lengths))
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


def _inside(frames: int, lengths):
    """1.0 for real frames, 0.0 for padding: [batch, frames]."""
    import torch

    return (torch.arange(frames)[None] < lengths[:, None]).float()


def _group_norm(signal, norm: "nn.GroupNorm", lengths):
    """Group norm of one group a channel, its mean and variance over real frames: [batch, channels, frames]."""
    import torch

    inside, count = _inside(signal.shape[2], lengths)[:, None], lengths[:, None, None].float()
    centred = signal - (signal * inside).sum(2, keepdim=True) / count
    variance = (centred * centred * inside).sum(2, keepdim=True) / count
    return centred * (torch.rsqrt(variance + norm.eps) * norm.weight[:, None]) + norm.bias[:, None]
