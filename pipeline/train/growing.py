"""Grows a model in depth during training: few layers at first, all layers later.

Decision: a CTC model that is trained from scratch first has to learn the alignment of frames and letters. A 12-layer model
outputs only the most frequent letters for a long time, at four times the cost per step of a 3-layer one. So training may
start with the lower layers alone (progressive stacking, Gong et al. 2019). Layers that are not in use yet have both output
projections at zero, which makes each of them exactly the identity in a pre-norm model: they cost nothing while they are
skipped, change nothing when they are added, and learn from then on. So every checkpoint is a complete model, and its dev WER
holds for the complete model.
"""

import torch

from pipeline.common.errors import BigfootError


def start_shallow(model, grow: list[tuple[int, int]], name: str) -> None:
    """Turn the layers of a Wav2Vec2ForCTC that are not in use at step 0 into the identity.

    `grow`: [(step, layers in use from then on), ...], rising; an empty list leaves the model unchanged. Raises BigfootError for
    a post-norm model, where no weights make a layer the identity, and where `grow` does not end with the model's layers.
    """
    if not grow:
        return
    layers = model.base_model.encoder.layers
    if not model.config.do_stable_layer_norm:
        raise BigfootError(f"{name}: training.grow needs a pre-norm model (do_stable_layer_norm: true): leave it out")
    (_, first), (_, last) = grow[0], grow[-1]
    if last != len(layers):
        raise BigfootError(f"{name}: training.grow ends with {last} layers, the model has {len(layers)}")
    for layer in layers[first:]:
        for projection in (layer.attention.out_proj, layer.feed_forward.output_dense):
            torch.nn.init.zeros_(projection.weight)
            torch.nn.init.zeros_(projection.bias)


def use_layers(model, grow: list[tuple[int, int]], step: int) -> None:
    """Run the layers that are in use at this step of training, and skip the others."""
    if not grow:
        return
    count = [layers for start, layers in grow if start <= step][-1]
    for number, layer in enumerate(model.base_model.encoder.layers):
        if number < count:
            layer.__dict__.pop("forward", None)
        else:
            layer.forward = _skip


def _skip(hidden_states, **_):
    return hidden_states
