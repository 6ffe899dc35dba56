"""The importance of each channel, head and unit of a model; surgery keeps the most important ones.

Decision: importance is measured on training audio, as the rise of the distillation loss if a part were removed. That loss is
the KL divergence of frame distributions, whose curvature is the Fisher information: with a gate g on a part's output,
removing the part costs F/2, where F = E[(d log p(y)/dg)^2] and y is drawn from the model's own distribution of each frame.
(Others use the squared gradient of a loss on labels, which is only noise in a model that has memorized its training data.)
One forward and backward pass per utterance gives F for all parts at once. The gate on a channel of the residual stream
multiplies what is written to it, so that it counts once, not once a layer. And the depth is cut first: a layer that is dropped
has no say in what the others keep (measured: docs/students.md). Two alternatives remain for comparison: the size of the weights
around a part, which needs no audio, and plain truncation.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch

WRITERS = ("attention", "feed_forward", "adapter_layer")  # what a pre-norm layer adds to the stream
LAYER = "encoder.layers.{}."  # tensors are named without their model's prefix (`plain`)


@dataclass(frozen=True)
class Importance:
    """Scores of a model's parts; lists have one entry per convolution, or per encoder layer that a student keeps.

    Only the order of scores within one tensor has a meaning.
    """

    stream: torch.Tensor  # [hidden]: channels of the residual stream
    conv: list[torch.Tensor]  # [channels]: outputs of each convolution of the feature encoder
    heads: list[torch.Tensor]  # [heads]
    query: list[torch.Tensor]  # [hidden]: rows of query and key projections
    value: list[torch.Tensor]  # [hidden]: rows of value projections
    units: list[torch.Tensor]  # [feed-forward]


def plain(model) -> dict[str, torch.Tensor]:
    """The tensors of a model by their names without `wav2vec2.`, `hubert.` ..., so that families have the same names."""
    return {name.removeprefix(f"{model.base_model_prefix}."): tensor for name, tensor in model.state_dict().items()}


def measured(model, waveforms: Sequence[torch.Tensor], seed: int) -> Importance:
    """Importance by Fisher information on `waveforms`, each a model input [1, samples]."""
    model.eval()
    sites = _sites(model)
    total = {name: torch.zeros(size) for name, (_, _, _, size) in sites.items()}
    count = model.config.num_attention_heads
    heads = [torch.zeros(count) for _ in model.base_model.encoder.layers]
    generator = torch.Generator().manual_seed(seed)
    for waveform in waveforms:
        gates = {name: torch.ones(size, requires_grad=True) for name, (_, _, _, size) in sites.items()}
        with _gated(sites, gates):
            log_probs = model(waveform).logits[0].log_softmax(-1)
        drawn = torch.multinomial(log_probs.detach().exp(), 1, generator=generator)
        surprise = -log_probs.gather(1, drawn).sum()
        gradients = dict(zip(gates, torch.autograd.grad(surprise, list(gates.values())), strict=True))
        for name, gradient in gradients.items():
            total[name] += gradient.square()
        for i, head in enumerate(heads):  # a head's gate acts on all its rows
            head += gradients[f"value.{i}"].reshape(count, -1).sum(1).square()
    layers, convs = range(len(heads)), range(len(model.config.conv_dim))
    return Importance(
        stream=total["stream"],
        conv=[total[f"conv.{i}"] for i in convs],
        heads=heads,
        query=[total[f"query.{i}"] for i in layers],
        value=[total[f"value.{i}"] for i in layers],
        units=[total[f"units.{i}"] for i in layers],
    )


def of_weights(model, layers: list[int]) -> Importance:
    """Importance by squared weights: those that write to a part times those that read from it (for the stream: plus)."""
    weights, config = plain(model), model.config
    kept = [LAYER.format(i) for i in layers]
    query, value = [], []
    for name in kept:
        q, k, v = (_power(weights[f"{name}attention.{p}_proj.weight"], 0) for p in "qkv")
        query.append(q * k)
        value.append(v * _power(weights[f"{name}attention.out_proj.weight"], 1))
    return Importance(
        stream=_stream_of_weights(weights, kept),
        conv=_conv_of_weights(weights, len(config.conv_dim)),
        heads=[v.reshape(config.num_attention_heads, -1).sum(1) for v in value],
        query=query,
        value=value,
        units=[
            _power(weights[f"{name}feed_forward.intermediate_dense.weight"], 0)
            * _power(weights[f"{name}feed_forward.output_dense.weight"], 1)
            for name in kept
        ],
    )


def of_position(model, layers: list[int]) -> Importance:
    """Importance by position, which keeps the first of everything: truncation, whose only advantage is its low cost."""
    config, falling = model.config, lambda size: -torch.arange(size, dtype=torch.float32)
    rows = [falling(config.hidden_size)] * len(layers)
    return Importance(
        stream=falling(config.hidden_size),
        conv=[falling(size) for size in config.conv_dim],
        heads=[falling(config.num_attention_heads)] * len(layers),
        query=rows,
        value=rows,
        units=[falling(config.intermediate_size)] * len(layers),
    )


# ---------------------------------------------------------------- gates


def _sites(model) -> dict[str, tuple]:
    """name -> (modules, "output" or "input": which of the two the gate multiplies, the channels' dimension, gate's size)."""
    config, base = model.config, model.base_model
    encoder, hidden = base.encoder, config.hidden_size
    sites = {"stream": (_writers(base, getattr(config, "do_stable_layer_norm", False)), "output", -1, hidden)}
    for i, layer in enumerate(base.feature_extractor.conv_layers):
        sites[f"conv.{i}"] = ([layer], "output", 1, config.conv_dim[i])
    for i, layer in enumerate(encoder.layers):
        sites[f"query.{i}"] = ([layer.attention.q_proj], "output", -1, hidden)
        sites[f"value.{i}"] = ([layer.attention.out_proj], "input", -1, hidden)
        sites[f"units.{i}"] = ([layer.feed_forward.output_dense], "input", -1, config.intermediate_size)
    return sites


def _writers(base, is_pre_norm: bool) -> list[torch.nn.Module]:
    """The modules whose outputs are the stream: added up where norms come first, otherwise each norm's output."""
    layers = base.encoder.layers
    if not is_pre_norm:
        return [base.encoder.layer_norm, *(norm for layer in layers for norm in (layer.layer_norm, layer.final_layer_norm))]
    parts = [part for layer in layers for name, part in layer.named_children() if name in WRITERS]
    return [base.feature_projection, base.encoder.pos_conv_embed, *parts]


@contextmanager
def _gated(sites: dict[str, tuple], gates: dict[str, torch.Tensor]) -> Iterator[None]:
    """Multiply the tensors at each site by its gate while the block runs."""
    with ExitStack() as handles:
        for name, (modules, where, dim, _) in sites.items():
            gate = gates[name][:, None] if dim == 1 else gates[name]
            for module in modules:
                if where == "output":
                    hook = module.register_forward_hook(lambda _, args, out, g=gate: _times(out, g))
                else:
                    hook = module.register_forward_pre_hook(lambda _, args, g=gate: _times(args, g))
                handles.callback(hook.remove)
        yield


def _times(value, gate: torch.Tensor):
    """`value` times `gate`; in a tuple only the first item is multiplied."""
    return (value[0] * gate, *value[1:]) if isinstance(value, tuple) else value * gate


# ---------------------------------------------------------------- sizes of weights


def _power(weight: torch.Tensor, dim: int) -> torch.Tensor:
    """Sum of squares of each slice of a tensor along `dim`."""
    return weight.float().movedim(dim, 0).flatten(1).square().sum(1)


def _stream_of_weights(weights: dict, layers: list[str]) -> torch.Tensor:
    """[hidden]: squared weights with which these layers, the projection and the head write to and read from each channel."""
    total = _power(weights["feature_projection.projection.weight"], 0) + _power(weights["lm_head.weight"], 1)
    for name in layers:
        for written in ("attention.out_proj", "feed_forward.output_dense"):
            total = total + _power(weights[f"{name}{written}.weight"], 0)
        for read in ("attention.q_proj", "attention.k_proj", "attention.v_proj", "feed_forward.intermediate_dense"):
            total = total + _power(weights[f"{name}{read}.weight"], 1)
    return total


def _conv_of_weights(weights: dict, count: int) -> list[torch.Tensor]:
    """For each convolution: its squared weights times the next one's, and for the last one times the projection's."""
    convs = [weights[f"feature_extractor.conv_layers.{i}.conv.weight"] for i in range(count)]
    readers = [*convs[1:], weights["feature_projection.projection.weight"]]
    return [_power(writes, 0) * _power(reads, 1) for writes, reads in zip(convs, readers, strict=True)]
