"""Student surgery: chooses the layers, heads, channels and units of the parent that a student keeps, and copies them.

Decision: every tensor that can be initialized from the parent is, including the head, the positional convolution and the
norms (the paper's code left out the last two, at a cost in accuracy). The parts to keep are the most important ones on
training audio (pipeline.distill.surgery.importance). ONE choice of channels holds along the whole residual stream, so that
the result is a uniform Wav2Vec2Config that AutoModelForCTC loads. The result is a start for distillation, not a finished
model: a student narrower than its parent recognizes little before it is trained.

Students are of their parent's family. WavLM's layers share the position bias of each head, so they keep the same heads; the
gate on that bias reads one head's share of the stream, so a narrower student learns it anew. MMS's adapters are cut as well.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipeline.common.errors import BigfootError
from pipeline.distill.surgery import frame_rate, importance, merge
from pipeline.distill.surgery.importance import LAYER, Importance, plain
from pipeline.models import families
from pipeline.models.checkpoint import not_a_model, one_line
from pipeline.models.forward import frames_per_second
from pipeline.models.wavlm import call_projections
from pipeline.params import Student

FEATURE_ENCODER = "feature_extractor.conv_layers."
POSITIONAL = "encoder.pos_conv_embed."
GAIN, DIRECTION = (f"{POSITIONAL}conv.parametrizations.weight.original{i}" for i in (0, 1))


@dataclass(frozen=True)
class Choice:
    """The parts of the parent to keep; every tensor holds sorted indices into the parent's tensors."""

    layers: list[int]
    hidden: torch.Tensor
    runs: list[int]  # for each convolution of the student, how many of the parent's it replaces
    conv: list[torch.Tensor]  # for each convolution of the student, output channels of its run's last convolution
    query: list[torch.Tensor]  # for each kept layer: rows of its query and key projections, head by head
    heads: list[torch.Tensor]  # ... its heads
    value: list[torch.Tensor]  # ... rows of its value projection, which are columns of its output projection
    units: list[torch.Tensor]  # ... units of its feed-forward part
    positional: bool  # whether the positional convolution keeps its groups
    narrower: bool  # whether the residual stream has fewer channels than the parent's


def build(parent, settings: Student, waveforms: Sequence[torch.Tensor] = (), scores: Importance | None = None):
    """Build a student of `parent`, a CTC model of any family, initialized from it, or anew where `init` is scratch.

    `waveforms`: training audio as model inputs, each [1, samples]; needed where `importance` is measured or convolutions are
    merged. Returns (model, rows), with one row per tensor: {"to": name, "from": the parent's name or None, "how":
    "whole", "slice", "fitted", "lowered" (to another frame rate) or "fresh"}. Raises BigfootError where the student would be
    larger than its parent.
    """
    final = config_of(parent.config, settings)
    torch.manual_seed(settings.seed)
    if settings.init == "scratch":
        student = type(parent)(final)
        call_projections(student)
        return student, [{"to": name, "from": None, "how": "fresh"} for name in student.state_dict()]
    config = config_of(parent.config, settings.model_copy(update={"frame_rate": None}))
    student = type(parent)(config)
    call_projections(student)
    choice = choose(parent.config, config, settings, scores or importance_of(parent, config, settings, waveforms))
    rows = _copy(parent, student, choice)
    merge.fit(parent, student, waveforms, choice.runs, choice.conv)
    if final.conv_stride == config.conv_stride:
        return student, rows
    slow, lowered = frame_rate.lower(student, final)
    return slow, [row | {"how": "lowered"} if row["to"] in lowered else row for row in rows]


def describe(model, rows: list[dict]) -> str:
    """One line: the student's size, and how many of its tensors come from its parent."""
    c = model.config
    inherited = sum(row["from"] is not None for row in rows)
    size = sum(p.numel() for p in model.parameters())
    return (
        f"{c.num_hidden_layers} layers x {c.hidden_size}, {c.num_attention_heads} heads, {c.intermediate_size} units, "
        f"{c.conv_dim[0]} conv channels, {frames_per_second(c):g} frames per second, {size / 1e6:.2f} M parameters, "
        f"{inherited} of {len(rows)} tensors from the parent"
    )


def kept_layers(count: int, settings: Student) -> list[int]:
    """The indices that a student keeps of `count` layers. `even` includes first and last: 12 -> 4 is [0, 4, 7, 11]."""
    wanted = settings.layers
    if wanted is None:
        return list(range(count))
    if isinstance(wanted, list):
        if not wanted or sorted(set(wanted)) != wanted or not 0 <= wanted[0] <= wanted[-1] < count:
            raise BigfootError(f"student layers {wanted}: need rising numbers from 0 to {count - 1}, the parent's layers")
        return wanted
    if not 1 <= wanted <= count:
        raise BigfootError(f"student layers {wanted}: need 1 to {count}, as the parent has {count} layers")
    if settings.choose == "even":
        return [count // 2] if wanted == 1 else [round(i * (count - 1) / (wanted - 1)) for i in range(wanted)]
    return list(range(wanted)) if settings.choose == "first" else list(range(count - wanted, count))


def config_of(parent, settings: Student):
    """The student's config: the parent's, changed by `settings`."""
    config = copy.deepcopy(parent)
    config.num_hidden_layers = len(kept_layers(parent.num_hidden_layers, settings))
    config.hidden_size = settings.hidden or parent.hidden_size
    config.num_attention_heads = settings.heads or parent.num_attention_heads
    config.intermediate_size = settings.feed_forward or parent.intermediate_size
    if settings.conv_merge and sum(settings.conv_merge) != len(parent.conv_dim):
        raise BigfootError(f"student conv_merge {settings.conv_merge}: has to add up to the parent's {len(parent.conv_dim)}")
    if settings.conv_merge and len(settings.conv_merge) == 1 and families.is_group_norm(parent):
        reason = "the group norm after a single convolution fails on one frame of audio"
        raise BigfootError(f"student conv_merge {settings.conv_merge}: {reason}, so keep two convolutions or more")
    runs = _runs(parent, settings)
    config.conv_kernel, config.conv_stride = merge.geometry(parent.conv_kernel, parent.conv_stride, runs)
    config.conv_dim = [min(width, settings.conv_channels or width) for width in _widths(parent, runs)]
    config.num_feat_extract_layers = len(runs)
    config.num_conv_pos_embedding_groups = math.gcd(config.hidden_size, parent.num_conv_pos_embedding_groups)
    if settings.frame_rate is not None:
        config = frame_rate.lowered(config, settings.frame_rate)
    for key, value in settings.config.items():
        if not hasattr(config, key):
            raise BigfootError(f"student config.{key} is not a key of {type(config).__name__}: check its spelling")
        try:
            setattr(config, key, value)
        except not_a_model() as error:
            raise BigfootError(f"student config.{key} is {value!r}: {one_line(error)}") from None
    grown = [
        f"{name} {new} > {old}"
        for name, new, old in (
            ("hidden", config.hidden_size, parent.hidden_size),
            ("heads", config.num_attention_heads, parent.num_attention_heads),
            ("feed_forward", config.intermediate_size, parent.intermediate_size),
            ("conv_channels", settings.conv_channels or 0, max(parent.conv_dim)),
            ("hidden / heads", _head_dim(config), _head_dim(parent)),
        )
        if new > old
    ]
    if grown:
        raise BigfootError(f"a student can't be wider than its parent: {', '.join(grown)}")
    if config.hidden_size % config.num_attention_heads:
        raise BigfootError(f"student hidden {config.hidden_size} is not a multiple of heads {config.num_attention_heads}")
    families.check_masks(config, "student config")
    return config


def _head_dim(config) -> int:
    return config.hidden_size // config.num_attention_heads


def _runs(parent, settings: Student) -> list[int]:
    return settings.conv_merge or [1] * len(parent.conv_dim)


def _widths(parent, runs: list[int]) -> list[int]:
    """Channels of the parent's convolutions that end a run, `parent` being its config."""
    return [parent.conv_dim[last] for _, last in merge.spans(runs)]


# ---------------------------------------------------------------- choosing


def importance_of(parent, config, settings: Student, waveforms: Sequence[torch.Tensor]) -> Importance:
    """Importance by the rule in `settings`; it is not measured where the student is as wide as its parent."""
    layers = kept_layers(parent.config.num_hidden_layers, settings)
    sizes = ("hidden_size", "num_attention_heads", "intermediate_size")
    narrower = any(getattr(config, size) < getattr(parent.config, size) for size in sizes)
    narrower |= config.conv_dim != _widths(parent.config, _runs(parent.config, settings))
    if settings.importance == "position":
        return importance.of_position(parent, layers)
    if settings.importance == "weights" or not narrower:
        return importance.of_weights(parent, layers)
    return importance.measured(_shallow(parent, layers), waveforms, settings.seed)


def _shallow(parent, layers: list[int]):
    """The parent with these layers alone: what a student narrower than this loses, is measured in it."""
    if len(layers) == len(parent.base_model.encoder.layers):
        return parent
    only = Student.model_validate({"from": "parent", "layers": layers, "importance": "weights", "training": None})
    return build(parent, only)[0]


def choose(parent, config, settings: Student, scores: Importance) -> Choice:
    """The parts with the highest scores, for a student with this config; `parent`: its parent's config."""
    layers = kept_layers(parent.num_hidden_layers, settings)
    runs = _runs(parent, settings)
    positional = config.num_conv_pos_embedding_groups == parent.num_conv_pos_embedding_groups
    groups = config.num_conv_pos_embedding_groups if positional else 1
    heads = _heads(scores.heads, config)
    rows = [_rows_of(kept, scores, i, parent, config) for i, kept in enumerate(heads)]
    return Choice(
        layers=layers,
        hidden=_best(scores.stream, config.hidden_size, groups),
        runs=runs,
        conv=[_best(scores.conv[last], n) for (_, last), n in zip(merge.spans(runs), config.conv_dim, strict=True)],
        heads=heads,
        query=[query for query, _ in rows],
        value=[value for _, value in rows],
        units=[_best(units, config.intermediate_size) for units in scores.units],
        positional=positional,
        narrower=config.hidden_size < parent.hidden_size,
    )


def _best(scores: torch.Tensor, count: int, groups: int = 1) -> torch.Tensor:
    """Sorted indices of the `count` highest scores, equally many from each of `groups` equal parts."""
    each = scores.reshape(groups, -1)
    top = each.topk(count // groups, dim=1).indices.sort(1).values
    return (top + torch.arange(groups)[:, None] * each.shape[1]).flatten()


def _heads(scores: list[torch.Tensor], new) -> list[torch.Tensor]:
    """The best heads of each kept layer, sorted; the same in all layers of a WavLM, by the sum of their scores."""
    if new.model_type == "wavlm":
        scores = [torch.stack(scores).sum(0)] * len(scores)
    return [of_layer.topk(new.num_attention_heads).indices.sort().values for of_layer in scores]


def _rows_of(heads: torch.Tensor, importances: Importance, layer: int, old, new) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of a layer's query/key and of its value projections: the best rows of each of its kept heads."""
    starts = heads[:, None] * _head_dim(old)
    rows = (scores[layer].reshape(old.num_attention_heads, -1)[heads] for scores in (importances.query, importances.value))
    return tuple((r.topk(_head_dim(new), dim=1).indices.sort(1).values + starts).flatten() for r in rows)


# ---------------------------------------------------------------- copying


@torch.no_grad()
def _copy(parent, student, choice: Choice) -> list[dict]:
    """Fill the student's tensors from the parent's, but for those to be fitted; returns one row per tensor with its origin."""
    weights, prefix = plain(parent), f"{student.base_model_prefix}."
    fitted = merge.names(choice.runs, parent.config)
    rows: list[dict] = []
    for full, target in student.state_dict().items():
        name = full.removeprefix(prefix)
        source, cuts = _origin(name, choice)
        whose = source if source is None or source.startswith("lm_head.") else f"{prefix}{source}"
        if whose and name in fitted:  # its norm too is fitted to the output of the run's last convolution
            rows.append({"to": full, "from": f"{whose.rsplit('.', 2)[0]}.conv.weight", "how": "fitted"})
            continue
        if source not in weights:  # None, or SpecAugment's mask, which a parent trained without SpecAugment lacks
            rows.append({"to": full, "from": None, "how": "fresh"})
            continue
        taken = weights[source]
        for dim, indices in enumerate(cuts):
            if indices is not None:
                taken = taken.index_select(dim, indices)
        if name.startswith(POSITIONAL) and taken.dim() == 3 and name != GAIN:
            taken = _own_inputs(taken, choice.hidden, student.config.num_conv_pos_embedding_groups)
        target.copy_(taken)
        rows.append({"to": full, "from": whose, "how": "whole" if taken.shape == weights[source].shape else "slice"})
    _keep_scale(parent, student, weights, choice)
    return rows


def _own_inputs(rows: torch.Tensor, hidden: torch.Tensor, groups: int) -> torch.Tensor:
    """Cut a grouped convolution's kept rows [kept, old group size, kernel] to the columns that each row's group keeps.

    Every group keeps equally many channels. With 2 groups of 4 and `hidden` [0, 2, 5, 6], the columns are [0, 2] in the first
    group and [1, 2] in the second.
    """
    kept, size, kernel = rows.shape
    columns = hidden.reshape(groups, -1) - torch.arange(groups)[:, None] * size
    index = columns[:, None, :, None].expand(-1, kept // groups, -1, kernel)
    return rows.reshape(groups, kept // groups, size, kernel).gather(2, index).flatten(0, 1)


def _keep_scale(parent, student, weights: dict, choice: Choice) -> None:
    """Two corrections that keep the scale of sliced weights as in the parent.

    Attention scores are divided by the square root of the head's width, which is smaller now; and the positional
    convolution's weights are normalized over channels, of which there are fewer.
    """
    shrink = math.sqrt(_head_dim(student.config) / _head_dim(parent.config))
    for layer in student.base_model.encoder.layers:
        layer.attention.q_proj.weight.mul_(shrink)
        layer.attention.q_proj.bias.mul_(shrink)
    if choice.positional and DIRECTION in weights:  # data2vec's positional convolutions have a layer norm instead
        own = plain(student)
        old, new = weights[DIRECTION], own[DIRECTION]
        own[GAIN].mul_(new.norm(dim=(0, 1), keepdim=True) / old.norm(dim=(0, 1), keepdim=True))


def _origin(name: str, choice: Choice) -> tuple[str | None, list[torch.Tensor | None]]:
    """The name of the parent's tensor that a student's tensor is cut from, and the indices to keep along each dimension."""
    if name.startswith(POSITIONAL):
        return _positional_origin(name, choice)
    if name.startswith(FEATURE_ENCODER):
        position, rest = name.removeprefix(FEATURE_ENCODER).split(".", 1)
        i = int(position)
        before = choice.conv[i - 1] if i and rest == "conv.weight" else None
        return f"{FEATURE_ENCODER}{merge.spans(choice.runs)[i][1]}.{rest}", [choice.conv[i], before]
    if name.startswith("feature_projection."):
        inputs = choice.conv[-1]
        cuts = {"layer_norm.weight": [inputs], "layer_norm.bias": [inputs], "projection.weight": [choice.hidden, inputs]}
        return name, cuts.get(name.removeprefix("feature_projection."), [choice.hidden])
    if name.startswith("encoder.layers."):
        position, rest = name.removeprefix("encoder.layers.").split(".", 1)
        if rest == "attention.rel_attn_embed.weight":  # only WavLM's first layer has it, for all layers
            return LAYER.format(0) + rest, [None, choice.heads[0]]
        if rest == "attention.gru_rel_pos_linear.weight" and choice.narrower:
            return None, []
        return LAYER.format(choice.layers[int(position)]) + rest, _layer_cuts(rest, int(position), choice)
    if name.startswith("lm_head."):
        return name, [None, choice.hidden] if name.endswith("weight") else [None]
    if name.startswith("encoder.layer_norm.") or name == "masked_spec_embed":
        return name, [choice.hidden]
    raise BigfootError(f"the parent has a tensor {name} that Bigfoot can't shrink: take a plain Wav2Vec2ForCTC model")


def _positional_origin(name: str, choice: Choice) -> tuple[str | None, list[torch.Tensor | None]]:
    if name.endswith("bias"):
        return name, [choice.hidden]
    if not choice.positional:
        return None, []
    return name, [None, None, None] if name == GAIN else [choice.hidden]


def _layer_cuts(rest: str, position: int, choice: Choice) -> list[torch.Tensor | None]:
    """The indices to keep of one tensor of an encoder layer, by its name within the layer."""
    h, q, v, f = choice.hidden, choice.query[position], choice.value[position], choice.units[position]
    heads = choice.heads[position]
    return {
        "attention.q_proj.weight": [q, h], "attention.q_proj.bias": [q],
        "attention.k_proj.weight": [q, h], "attention.k_proj.bias": [q],
        "attention.v_proj.weight": [v, h], "attention.v_proj.bias": [v],
        "attention.out_proj.weight": [h, v],
        "feed_forward.intermediate_dense.weight": [f, h], "feed_forward.intermediate_dense.bias": [f],
        "feed_forward.output_dense.weight": [h, f],
        "attention.gru_rel_pos_const": [None, heads],
        "attention.gru_rel_pos_linear.weight": [None], "attention.gru_rel_pos_linear.bias": [None],
        "adapter_layer.linear_1.weight": [None, h], "adapter_layer.linear_1.bias": [None],
        "adapter_layer.linear_2.weight": [h, None],
    }.get(rest, [h])  # fmt: skip
