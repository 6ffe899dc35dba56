"""A student with fewer frames per second than its parent: 25 instead of wav2vec 2.0's 50, by a larger stride in its last
convolution.

The encoder then computes half the frames, and attention a quarter of the pairs. Frame t of the student stands for the parent's
frames t * factor to t * factor + factor - 1, so that n frames become n // factor, for audio of any length. The stride is in
the family's own config, from which all else follows.

Decision: the last convolution's kernel is widened, so that a frame covers the audio of all frames that it stands for; a larger
stride alone would skip 15 of every 40 ms. It starts as the mean of the parent's responses. What is counted in frames keeps its
time: the positional convolution gets fewer taps, WavLM's position bias is read at longer distances, SpecAugment's masks shrink.
"""

import copy
import math

import torch
from torch import nn
from torch.nn.utils import parametrize

from pipeline.common.errors import BigfootError
from pipeline.models.forward import frames_in_one, frames_per_second
from pipeline.models.wavlm import call_projections


def lowered(config, rate: float):
    """The config of a model with `rate` frames per second.

    Raises BigfootError where `rate` is not the model's own divided by a whole number.
    """
    factor = round(frames_per_second(config) / rate)
    if not math.isclose(factor * rate, frames_per_second(config)):
        raise BigfootError(
            f"student frame_rate {rate:g}: has to be its parent's {frames_per_second(config):g} divided by a whole number"
        )
    config = copy.deepcopy(config)
    kernel, stride = config.conv_kernel[-1], config.conv_stride[-1]
    config.conv_kernel = [*config.conv_kernel[:-1], kernel + (factor - 1) * stride]
    config.conv_stride = [*config.conv_stride[:-1], factor * stride]
    positional = "conv_pos_kernel_size" if config.model_type == "data2vec-audio" else "num_conv_pos_embeddings"
    for key in (positional, "mask_time_length"):
        setattr(config, key, max(1, getattr(config, key) // factor))
    return config


@torch.no_grad()
def lower(model, config) -> tuple[nn.Module, set[str]]:
    """A CTC model with the config that `lowered` made of its own, and the names of the tensors that this changed."""
    slow = type(model)(config)
    call_projections(slow)
    factor = frames_in_one(config.conv_stride, model.config.conv_stride)
    weights, own = model.state_dict(), slow.state_dict()
    changed = {name for name in weights if weights[name].shape != own[name].shape}
    slow.load_state_dict({name: weight for name, weight in weights.items() if name not in changed}, strict=False)
    last, slow_last = (each.base_model.feature_extractor.conv_layers[-1].conv for each in (model, slow))
    slow_last.weight.copy_(_mean_response(last.weight, factor, model.config.conv_stride[-1]))
    for conv, slow_conv in zip(_positional(model), _positional(slow), strict=True):
        _set(slow_conv, _fewer_taps(conv.weight, slow_conv.kernel_size[0], factor))
    if config.model_type == "wavlm":
        changed.add(_lengthen_distances(model, slow, factor))
    return slow, changed


def _mean_response(weight: torch.Tensor, factor: int, stride: int) -> torch.Tensor:
    """A kernel whose output is the mean of `factor` successive outputs of the kernel `weight` [out, in, kernel]."""
    span = (factor - 1) * stride
    return torch.stack([nn.functional.pad(weight, (at, span - at)) for at in range(0, span + 1, stride)]).mean(0)


def _positional(model) -> list[nn.Conv1d]:
    embedding = model.base_model.encoder.pos_conv_embed
    return [layer.conv for layer in embedding.layers] if hasattr(embedding, "layers") else [embedding.conv]


def _fewer_taps(weight: torch.Tensor, count: int, factor: int) -> torch.Tensor:
    """`weight` [out, in, taps] with `count` taps, `factor` times as far apart.

    Each old tap goes to the two new ones around its time, to the nearer one the larger share.
    """
    old = (torch.arange(weight.shape[2]) - weight.shape[2] // 2) / factor
    new = torch.arange(count) - count // 2
    distance = old.clamp(new[0], new[-1])[:, None] - new
    return weight @ (1 - distance.abs()).clamp(min=0)


def _set(conv: nn.Conv1d, weight: torch.Tensor) -> None:
    """Give a convolution, weight-normalized or not, this weight."""
    if parametrize.is_parametrized(conv, "weight"):
        conv.weight = weight
    else:
        conv.weight.copy_(weight)


def _lengthen_distances(model, slow, factor: int) -> str:
    """Take WavLM's bias for each distance between frames from the parent's for `factor` times that; returns its name."""
    old, new = (each.base_model.encoder.layers[0].attention for each in (model, slow))
    distances = sorted(range(-old.max_distance, old.max_distance + 1), key=abs, reverse=True)
    buckets, sources = (old._relative_positions_bucket(torch.tensor(distances) * each).tolist() for each in (1, factor))
    for bucket, source in dict(zip(buckets, sources, strict=True)).items():  # of a bucket's distances the shortest
        new.rel_attn_embed.weight[bucket] = old.rel_attn_embed.weight[source]
    return f"{model.base_model_prefix}.encoder.layers.0.attention.rel_attn_embed.weight"
