"""WavLM's attention with its projections called as modules, as in the other families.

transformers gives their weights to one function of PyTorch instead. So hooks on the projections (pipeline.distill.surgery)
and int8 Linears in their place would have no effect. The result is the same up to rounding.
"""

import torch
from torch import nn

from pipeline.models.forward import attention_bias


def call_projections(model: nn.Module) -> None:
    """Make the attention of a WavLM model call its projections as modules; nothing changes in other families."""
    if model.config.model_type == "wavlm":
        for layer in model.base_model.encoder.layers:
            layer.attention.torch_multi_head_self_attention = _Attention(layer.attention)


class _Attention:
    """Replaces WavLMAttention.torch_multi_head_self_attention."""

    def __init__(self, attention: nn.Module):
        self.attention = attention

    def __call__(self, hidden, mask, position_bias) -> tuple[torch.Tensor, None]:
        """hidden [batch, frames, n]; mask [batch, frames], 1 for real frames, or None; position_bias [batch * heads, T, T]."""
        attention = self.attention
        batch, frames, _ = hidden.shape
        query, key, value = (
            projection(hidden).view(batch, frames, attention.num_heads, attention.head_dim).transpose(1, 2)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        scores = (query * attention.scaling) @ key.transpose(2, 3)
        scores = scores + position_bias.view(batch, attention.num_heads, frames, frames)
        if mask is not None:
            scores = scores + attention_bias(mask)
        weights = nn.functional.dropout(scores.softmax(-1), attention.dropout, attention.training)
        mixed = (weights @ value).transpose(1, 2).reshape(batch, frames, -1)
        return attention.out_proj(mixed), None
