"""The parts that a student keeps, learned: soft gates that close while the parent is distilled (trial)."""

import torch
from torch import nn

from pipeline.distill.surgery import importance
from pipeline.distill.surgery.importance import Importance, _sites, _times, _writers

PACE = 50.0  # by how much faster than weights the scores move, both at Adam's learning rate
WARM, COLD = 0.5, 0.05  # temperature of the gates at the start and from CLOSED on
CLOSED = 0.8  # part of the run after which only as many gates are open as the student has parts


def soft_top_k(scores: torch.Tensor, count: float, temperature: float) -> torch.Tensor:
    """Gates in (0, 1) [groups, n] of which each row adds up to `count`: sigmoid((score - threshold) / temperature)."""
    if count >= scores.shape[1]:
        return torch.ones_like(scores)
    with torch.no_grad():
        low = scores.amin(1, keepdim=True) - 20 * temperature
        high = scores.amax(1, keepdim=True) + 20 * temperature
        for _ in range(40):
            middle = (low + high) / 2
            over = torch.sigmoid((scores - middle) / temperature).sum(1, keepdim=True) > count
            low, high = torch.where(over, middle, low), torch.where(over, high, middle)
        threshold = (low + high) / 2
        slope = torch.sigmoid((scores - threshold) / temperature)
        slope = slope * (1 - slope)
        share = slope / slope.sum(1, keepdim=True).clamp(min=1e-9)
    # The threshold's own gradient (it moves so that the sum stays): the weighted mean of the scores' gradients.
    moving = threshold + (share * scores).sum(1, keepdim=True) - (share * scores).sum(1, keepdim=True).detach()
    return torch.sigmoid((scores - moving) / temperature)


class Gates(nn.Module):
    def __init__(self, model, config, start: Importance, learn_layers: int | None = None):
        super().__init__()
        old = model.config
        self.old, self.new = old, config
        heads, layers = old.num_attention_heads, len(model.base_model.encoder.layers)
        groups = old.num_conv_pos_embedding_groups if config.num_conv_pos_embedding_groups == old.num_conv_pos_embedding_groups else 1
        self.kept: dict[str, int] = {}
        self.scores = nn.ParameterDict()
        self._add("stream", start.stream, groups, config.hidden_size // groups)
        for i, (scores, count) in enumerate(zip(start.conv, config.conv_dim, strict=True)):
            self._add(f"conv_{i}", scores, 1, count)
        width = config.hidden_size // config.num_attention_heads
        for i in range(layers):
            self._add(f"query_{i}", start.query[i], heads, width)
            self._add(f"value_{i}", start.value[i], heads, width)
            self._add(f"heads_{i}", start.heads[i], 1, config.num_attention_heads)
            self._add(f"units_{i}", start.units[i], 1, config.intermediate_size)
        if learn_layers:
            self._add("layers", torch.zeros(layers), 1, learn_layers)
        self.now: dict[str, torch.Tensor] = {}
        self.done = 0.0

    def _add(self, name, scores, groups, kept):
        values = scores.reshape(groups, -1).clamp(min=1e-12).log() if scores.abs().sum() else scores.reshape(groups, -1)
        values = (values - values.mean(1, keepdim=True)) / values.std(1, keepdim=True).clamp(min=1e-6)
        self.scores[name] = nn.Parameter(values / PACE)
        self.kept[name] = kept

    def at(self, done: float) -> None:
        progress = min(done / CLOSED, 1.0)
        temperature = WARM * (COLD / WARM) ** progress
        self.now = {}
        for name, scores in self.scores.items():
            size = scores.shape[1]
            count = size + (self.kept[name] - size) * progress
            self.now[name] = soft_top_k(scores.float() * PACE, count, temperature).flatten()

    def importance(self) -> Importance:
        s = {name: (scores.detach() * PACE).flatten() for name, scores in self.scores.items()}
        layers = range(len([n for n in s if n.startswith("units_")]))
        return Importance(
            stream=s["stream"], conv=[s[f"conv_{i}"] for i in range(len(self.old.conv_dim))],
            heads=[s[f"heads_{i}"] for i in layers], query=[s[f"query_{i}"] for i in layers],
            value=[s[f"value_{i}"] for i in layers], units=[s[f"units_{i}"] for i in layers],
        )

    def attach(self, model) -> None:
        heads = self.old.num_attention_heads
        for name, (modules, where, dim, _) in _sites(model).items():
            key = name.replace(".", "_")
            def gate(key=key, dim=dim):
                g = self.now[key]
                if key.startswith("value_"):
                    g = g * self.now[key.replace("value", "heads")].repeat_interleave(len(g) // heads)
                return g[:, None] if dim == 1 else g
            for module in modules:
                if where == "output":
                    module.register_forward_hook(lambda _, args, out, g=gate: _times(out, g().to(_first(out).dtype)))
                else:
                    module.register_forward_pre_hook(lambda _, args, g=gate: _times(args, g().to(args[0].dtype)))
        base = model.base_model
        if "layers" in self.scores:
            for i, layer in enumerate(base.encoder.layers):
                for part in (layer.attention, layer.feed_forward):
                    part.register_forward_hook(lambda _, args, out, i=i: _times(out, self.now["layers"][i].to(_first(out).dtype)))
        last = f"conv_{len(self.old.conv_dim) - 1}"
        base.feature_projection.layer_norm.forward = _Norm(base.feature_projection.layer_norm, self, last)
        for norm in [base.encoder.layer_norm, *(n for l in base.encoder.layers for n in (l.layer_norm, l.final_layer_norm))]:
            norm.forward = _Norm(norm, self, "stream")


def _first(value):
    return value[0] if isinstance(value, tuple) else value


class _Norm:
    """A layer norm over the open channels alone."""

    def __init__(self, norm, gates, name):
        self.norm, self.gates, self.name = norm, gates, name

    def __call__(self, x):
        g = self.gates.now[self.name]
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            total = g.sum()
            # What is in a gated channel is multiplied by its gate already.
            mean = (x * g).sum(-1, keepdim=True) / total
            variance = ((x - mean).square() * g).sum(-1, keepdim=True) / total
            return (x - mean) * torch.rsqrt(variance + self.norm.eps) * self.norm.weight + self.norm.bias
