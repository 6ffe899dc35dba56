"""Student surgery: which layers, heads, channels and units of the parent a student keeps, and how it is initialized.

Decision: everything that can be initialized from the parent is, the head, the positional convolution and the norms
included (the paper's code forgot the latter two, and paid for it). What is kept is what matters most on training audio
(pipeline.distill.surgery.importance), with ONE choice of channels along the whole residual stream, so that the result is a
uniform Wav2Vec2Config that AutoModelForCTC loads. It is a start for distillation, not a finished model: a student narrower than
its parent knows little before it is trained.
"""

import copy
import math
from dataclasses import dataclass

import torch

from pipeline.common.errors import BigfootError
from pipeline.distill.surgery import importance, merge
from pipeline.distill.surgery.importance import LAYER, Importance
from pipeline.params import Student

FRONT_END = "wav2vec2.feature_extractor.conv_layers."
POSITIONAL = "wav2vec2.encoder.pos_conv_embed.conv."
GAIN, DIRECTION = (POSITIONAL + f"parametrizations.weight.original{i}" for i in (0, 1))


@dataclass(frozen=True)
class Choice:
    """What of the parent is kept; every tensor holds sorted indices into the parent's."""

    layers: list[int]
    hidden: torch.Tensor
    runs: list[int]  # how many of the parent's convolutions each of the student's replaces
    conv: list[torch.Tensor]  # output channels of each of the student's convolutions, of its run's last
    query: list[torch.Tensor]  # of each kept layer: the rows of its query and key projections, head by head
    value: list[torch.Tensor]  # ... of its value projection, which are the columns of its output projection
    units: list[torch.Tensor]  # ... of its feed-forward
    positional: bool  # whether the positional convolution's groups survive


def build(parent, settings: Student, waveforms: list[torch.Tensor] = ()):
    """A student of `parent` (Wav2Vec2ForCTC), initialized from it.

    `waveforms`: training audio as the parent hears it, each [1, samples]; needed where `importance` is measured or
    convolutions are merged. Returns (Wav2Vec2ForCTC, rows): a row for each of its tensors, {"to": name, "from": the
    parent's name or None, "how": "whole", "slice", "fitted" or "fresh"}. Raises BigfootError where the student would be
    larger than its parent.
    """
    from transformers import Wav2Vec2ForCTC

    config = _config(parent.config, settings)
    torch.manual_seed(settings.seed)
    student = Wav2Vec2ForCTC(config)
    choice = _choose(parent, config, settings, waveforms)
    fitted = merge.fit(parent, waveforms, choice.runs, choice.conv)
    return student, _copy(parent, student, choice, fitted)


def describe(model, rows: list[dict]) -> str:
    """One line: how large the student is, and how much of it comes from its parent."""
    c = model.config
    known = sum(row["from"] is not None for row in rows)
    size = sum(p.numel() for p in model.parameters())
    return (
        f"{c.num_hidden_layers} layers x {c.hidden_size}, {c.num_attention_heads} heads, {c.intermediate_size} units, "
        f"{c.conv_dim[0]} conv channels, {size / 1e6:.2f} M parameters, {known} of {len(rows)} tensors from the parent"
    )


def kept_layers(count: int, settings: Student) -> list[int]:
    """Which of `count` layers a student keeps. Evenly spaced means first and last included: 12 -> 4 is [0, 4, 7, 11]."""
    wanted = settings.layers
    if wanted is None:
        return list(range(count))
    if isinstance(wanted, list):
        if not wanted or sorted(set(wanted)) != wanted or not 0 <= wanted[0] <= wanted[-1] < count:
            raise BigfootError(f"student layers {wanted}: need rising numbers from 0 to {count - 1}, the parent's layers")
        return wanted
    if not 1 <= wanted <= count:
        raise BigfootError(f"student layers {wanted}: the parent has {count}")
    if settings.choose == "even":
        return [count // 2] if wanted == 1 else [round(i * (count - 1) / (wanted - 1)) for i in range(wanted)]
    return list(range(wanted)) if settings.choose == "first" else list(range(count - wanted, count))


def _config(parent, settings: Student):
    """The student's Wav2Vec2Config: the parent's with what `settings` name."""
    if getattr(parent, "add_adapter", False):
        raise BigfootError("the parent has an adapter (add_adapter): Bigfoot can't shrink those")
    config = copy.deepcopy(parent)
    config.num_hidden_layers = len(kept_layers(parent.num_hidden_layers, settings))
    config.hidden_size = settings.hidden or parent.hidden_size
    config.num_attention_heads = settings.heads or parent.num_attention_heads
    config.intermediate_size = settings.feed_forward or parent.intermediate_size
    if settings.conv_merge and sum(settings.conv_merge) != len(parent.conv_dim):
        raise BigfootError(f"student conv_merge {settings.conv_merge}: has to add up to the parent's {len(parent.conv_dim)}")
    runs = _runs(parent, settings)
    config.conv_kernel, config.conv_stride = merge.geometry(parent.conv_kernel, parent.conv_stride, runs)
    widths = [parent.conv_dim[last] for _, last in merge.spans(runs)]
    config.conv_dim = [settings.conv_channels] * len(runs) if settings.conv_channels else widths
    config.num_feat_extract_layers = len(runs)
    config.num_conv_pos_embedding_groups = math.gcd(config.hidden_size, parent.num_conv_pos_embedding_groups)
    for key, value in settings.config.items():
        if not hasattr(config, key):
            raise BigfootError(f"student config.{key} is no key of Wav2Vec2Config: check its spelling")
        setattr(config, key, value)
    grown = [
        f"{name} {new} > {old}"
        for name, new, old in (
            ("hidden", config.hidden_size, parent.hidden_size),
            ("heads", config.num_attention_heads, parent.num_attention_heads),
            ("feed_forward", config.intermediate_size, parent.intermediate_size),
            ("conv_channels", max(config.conv_dim), max(parent.conv_dim)),
            ("hidden / heads", _head_dim(config), _head_dim(parent)),
        )
        if new > old
    ]
    if grown:
        raise BigfootError(f"a student can't be wider than its parent: {', '.join(grown)}")
    if config.hidden_size % config.num_attention_heads:
        raise BigfootError(f"student hidden {config.hidden_size} is no multiple of heads {config.num_attention_heads}")
    return config


def _head_dim(config) -> int:
    return config.hidden_size // config.num_attention_heads


def _runs(parent, settings: Student) -> list[int]:
    return settings.conv_merge or [1] * len(parent.conv_dim)


# ---------------------------------------------------------------- what is kept


def _choose(parent, config, settings: Student, waveforms: list[torch.Tensor]) -> Choice:
    layers = kept_layers(parent.config.num_hidden_layers, settings)
    runs = _runs(parent.config, settings)
    matters = _importance(parent, config, settings, layers, waveforms)
    positional = config.num_conv_pos_embedding_groups == parent.config.num_conv_pos_embedding_groups
    groups = config.num_conv_pos_embedding_groups if positional else 1
    heads = [_heads(matters, i, parent.config, config) for i in layers]
    return Choice(
        layers=layers,
        hidden=_best(matters.stream, config.hidden_size, groups),
        runs=runs,
        conv=[_best(matters.conv[last], n) for (_, last), n in zip(merge.spans(runs), config.conv_dim, strict=True)],
        query=[query for query, _ in heads],
        value=[value for _, value in heads],
        units=[_best(matters.units[i], config.intermediate_size) for i in layers],
        positional=positional,
    )


def _importance(parent, config, settings: Student, layers: list[int], waveforms: list[torch.Tensor]) -> Importance:
    """By the rule that `settings` name; measuring is left out where nothing is."""
    sizes = ("hidden_size", "num_attention_heads", "intermediate_size")
    narrower = any(getattr(config, size) < getattr(parent.config, size) for size in sizes)
    narrower |= max(config.conv_dim) < max(parent.config.conv_dim)
    if settings.importance == "position":
        return importance.of_position(parent)
    if settings.importance == "weights" or not narrower:
        return importance.of_weights(parent, layers)
    return importance.measured(parent, waveforms, settings.seed)


def _best(scores: torch.Tensor, count: int, groups: int = 1) -> torch.Tensor:
    """Sorted indices of the `count` highest, as many from each of `groups` equal stretches."""
    each = scores.reshape(groups, -1)
    top = each.topk(count // groups, dim=1).indices.sort(1).values
    return (top + torch.arange(groups)[:, None] * each.shape[1]).flatten()


def _heads(matters: Importance, layer: int, old, new) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of a layer's query/key and of its value projections: the best heads, and in each the best rows."""
    heads = matters.heads[layer].topk(new.num_attention_heads).indices.sort().values
    starts = heads[:, None] * _head_dim(old)
    rows = (scores[layer].reshape(old.num_attention_heads, -1)[heads] for scores in (matters.query, matters.value))
    return tuple((r.topk(_head_dim(new), dim=1).indices.sort(1).values + starts).flatten() for r in rows)


# ---------------------------------------------------------------- what is copied


@torch.no_grad()
def _copy(parent, student, choice: Choice, fitted: dict[str, torch.Tensor]) -> list[dict]:
    """Fill the student's tensors from the parent's and those that were fitted; a row for each says where it came from."""
    weights, rows = parent.state_dict(), []
    for name, target in student.state_dict().items():
        source, cuts = _origin(name, choice)
        if name in fitted:
            target.copy_(fitted[name])
            rows.append({"to": name, "from": source, "how": "fitted"})
            continue
        if source not in weights:  # None, or SpecAugment's mask, which a parent trained without it does not have
            rows.append({"to": name, "from": None, "how": "fresh"})
            continue
        taken = weights[source]
        for dim, indices in enumerate(cuts):
            if indices is not None:
                taken = taken.index_select(dim, indices)
        if name == DIRECTION:
            taken = _own_inputs(taken, choice.hidden, student.config.num_conv_pos_embedding_groups)
        target.copy_(taken)
        rows.append({"to": name, "from": source, "how": "whole" if taken.shape == weights[source].shape else "slice"})
    _keep_scale(parent, student, weights, choice)
    return rows


def _own_inputs(rows: torch.Tensor, hidden: torch.Tensor, groups: int) -> torch.Tensor:
    """Of a grouped convolution's kept rows [kept, old group size, kernel], the columns its own group keeps.

    As many channels are kept of each group; with 2 groups of 4 and `hidden` [0, 2, 5, 6] the columns are [0, 2] in the
    first and [1, 2] in the second.
    """
    kept, size, kernel = rows.shape
    columns = hidden.reshape(groups, -1) - torch.arange(groups)[:, None] * size
    index = columns[:, None, :, None].expand(-1, kept // groups, -1, kernel)
    return rows.reshape(groups, kept // groups, size, kernel).gather(2, index).flatten(0, 1)


def _keep_scale(parent, student, weights: dict, choice: Choice) -> None:
    """Two corrections without which a slice means something else than it did in the parent.

    Scores are divided by the root of the head's width, which has shrunk; the positional convolution's weights are
    normalized over channels, of which there are fewer.
    """
    shrink = math.sqrt(_head_dim(student.config) / _head_dim(parent.config))
    for layer in student.wav2vec2.encoder.layers:
        layer.attention.q_proj.weight.mul_(shrink)
        layer.attention.q_proj.bias.mul_(shrink)
    if choice.positional:
        old, new = weights[DIRECTION], student.state_dict()[DIRECTION]
        student.state_dict()[GAIN].mul_(new.norm(dim=(0, 1), keepdim=True) / old.norm(dim=(0, 1), keepdim=True))


def _origin(name: str, choice: Choice) -> tuple[str | None, list[torch.Tensor | None]]:
    """The parent's tensor that a student's tensor is cut from, and the indices to keep along each of its dimensions."""
    if name.startswith(POSITIONAL):
        return _positional_origin(name, choice)
    if name.startswith(FRONT_END):
        position, rest = name.removeprefix(FRONT_END).split(".", 1)
        i = int(position)
        before = choice.conv[i - 1] if i and rest == "conv.weight" else None
        return f"{FRONT_END}{merge.spans(choice.runs)[i][1]}.{rest}", [choice.conv[i], before]
    if name.startswith("wav2vec2.feature_projection."):
        reads = choice.conv[-1]
        cuts = {"layer_norm.weight": [reads], "layer_norm.bias": [reads], "projection.weight": [choice.hidden, reads]}
        return name, cuts.get(name.removeprefix("wav2vec2.feature_projection."), [choice.hidden])
    if name.startswith("wav2vec2.encoder.layers."):
        position, rest = name.removeprefix("wav2vec2.encoder.layers.").split(".", 1)
        return LAYER.format(choice.layers[int(position)]) + rest, _layer_cuts(rest, int(position), choice)
    if name.startswith("lm_head."):
        return name, [None, choice.hidden] if name.endswith("weight") else [None]
    if name.startswith("wav2vec2.encoder.layer_norm.") or name == "wav2vec2.masked_spec_embed":
        return name, [choice.hidden]
    raise BigfootError(f"the model has a tensor {name} that Bigfoot doesn't know: it can't be shrunk")


def _positional_origin(name: str, choice: Choice) -> tuple[str | None, list[torch.Tensor | None]]:
    if name == POSITIONAL + "bias":
        return name, [choice.hidden]
    if not choice.positional:
        return None, []
    return name, [None, None, None] if name == GAIN else [choice.hidden]


def _layer_cuts(rest: str, position: int, choice: Choice) -> list[torch.Tensor | None]:
    """Cuts of one tensor of an encoder layer, by its name within the layer."""
    h, q, v, f = choice.hidden, choice.query[position], choice.value[position], choice.units[position]
    return {
        "attention.q_proj.weight": [q, h], "attention.q_proj.bias": [q],
        "attention.k_proj.weight": [q, h], "attention.k_proj.bias": [q],
        "attention.v_proj.weight": [v, h], "attention.v_proj.bias": [v],
        "attention.out_proj.weight": [h, v],
        "feed_forward.intermediate_dense.weight": [f, h], "feed_forward.intermediate_dense.bias": [f],
        "feed_forward.output_dense.weight": [h, f],
    }.get(rest, [h])  # fmt: skip
