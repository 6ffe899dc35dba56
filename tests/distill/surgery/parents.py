"""A tiny model with random weights from which the tests of surgery cut students, and audio for it."""

import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from pipeline.params import Student

WAVEFORM = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
AUDIO = [torch.randn(1, 4000 + 800 * i, generator=torch.Generator().manual_seed(i)) for i in range(4)]


def parent(norm: str = "group", is_pre_norm: bool = True) -> Wav2Vec2ForCTC:
    torch.manual_seed(0)
    return Wav2Vec2ForCTC(
        Wav2Vec2Config(
            hidden_size=48, num_hidden_layers=4, num_attention_heads=4, intermediate_size=96, conv_dim=[16] * 7,
            num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, vocab_size=12, do_stable_layer_norm=is_pre_norm,
            feat_extract_norm=norm, conv_bias=norm == "layer",
        )
    ).eval()  # fmt: skip


def settings(**changes) -> Student:
    training = {"steps": 1, "learning_rate": 1e-3}
    return Student.model_validate({"from": "teacher", "importance": "weights", "training": training, **changes})
