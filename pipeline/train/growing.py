"""Growing a model in depth while it learns: shallow until it can spell, deep when it can.

Decision: a CTC model that is trained from scratch first has to find out which frames spell what, and a 12-layer one stays
long at writing the most frequent letters, at four times the price a step of a 3-layer one. So training may begin with the
lower layers alone (progressive stacking, Gong et al. 2019). Layers that wait have their two output projections at zero,
which in a pre-norm model makes each of them exactly the identity: they cost nothing when skipped, change nothing when they
join, and learn from there on. So every checkpoint is a whole model that does what its dev WER says.
"""

import torch

from pipeline.common.errors import BigfootError


def start_shallow(model, grow: list[tuple[int, int]], name: str) -> None:
    """Make the layers of a Wav2Vec2ForCTC that do not learn from step 0 on the identity.

    `grow`: [(step, layers in use from then on), ...], rising; empty leaves the model as it is. Raises BigfootError for a
    post-norm model, where no weights make a layer the identity, and for one that has other layers than `grow` ends with.
    """
    if not grow:
        return
    layers = model.wav2vec2.encoder.layers
    if not model.config.do_stable_layer_norm:
        raise BigfootError(f"{name}: training.grow needs a pre-norm model (do_stable_layer_norm: true): leave it out")
    (_, first), (_, last) = grow[0], grow[-1]
    if last != len(layers):
        raise BigfootError(f"{name}: training.grow ends with {last} layers, the model has {len(layers)}")
    for layer in layers[first:]:
        for written in (layer.attention.out_proj, layer.feed_forward.output_dense):
            torch.nn.init.zeros_(written.weight)
            torch.nn.init.zeros_(written.bias)


def use_layers(model, grow: list[tuple[int, int]], step: int) -> None:
    """Run the layers that are in use at this step of training, and skip the others."""
    if not grow:
        return
    count = [layers for begun, layers in grow if begun <= step][-1]
    for number, layer in enumerate(model.wav2vec2.encoder.layers):
        if number < count:
            layer.__dict__.pop("forward", None)
        else:
            layer.forward = _skip


def _skip(hidden_states, **_):
    return hidden_states
