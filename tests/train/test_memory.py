"""The memory of a training step is foretold: what PyTorch keeps to a tenth, the peak of real steps within a factor."""

import pytest
import torch

from pipeline.models import families
from pipeline.models.forward import ignore_padding
from pipeline.train.ctc import ctc_loss
from pipeline.train.memory import Training, foretold, parameters

SHAPE = dict(
    vocab_size=32, pad_token_id=0, hidden_size=256, num_hidden_layers=3, num_attention_heads=4, intermediate_size=1024,
    hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, feat_proj_dropout=0.0, layerdrop=0.0, mask_time_prob=0.0,
)  # fmt: skip
GROUP = dict(conv_dim=[96] * 7, feat_extract_norm="group", do_stable_layer_norm=False)
LAYER = dict(conv_dim=[96] * 7, feat_extract_norm="layer", do_stable_layer_norm=True)
DROPOUT = dict(hidden_dropout=0.1, attention_dropout=0.1, activation_dropout=0.1)


def make(family: str, **changes) -> torch.nn.Module:
    model_class = families.model_class(family)
    return model_class(model_class.config_class(**SHAPE | changes)).train()


def kept(model, bf16: bool, seconds: float = 4.0, batch: int = 2) -> int:
    """Bytes of all tensors that a forward pass keeps for the backward pass, weights and their copies left out."""
    ignore_padding(model)
    known = {tensor.untyped_storage().data_ptr() for tensor in model.parameters()}
    shapes = {tuple(tensor.shape) for tensor in model.parameters() if tensor.dim() > 1}
    shapes |= {shape[::-1] for shape in shapes}
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known and tuple(tensor.shape) not in shapes:
            storages[storage.data_ptr()] = storage.nbytes(), tensor  # held, so that no other gets its address
        return tensor

    waveforms = torch.randn(batch, round(seconds * 16_000))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast("cpu", enabled=bf16):
        logits = model(waveforms, attention_mask=torch.ones_like(waveforms, dtype=torch.long)).logits
        labels, frames = torch.ones(batch, 10, dtype=torch.long), torch.full((batch,), logits.shape[1])
        ctc_loss(logits, frames, labels, torch.full((batch,), 10), blank=0)
    return sum(size for size, _ in storages.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("wav2vec2", GROUP), ("wav2vec2", LAYER), ("wav2vec2", LAYER | DROPOUT), ("hubert", GROUP), ("wavlm", LAYER),
        ("data2vec-audio", dict(conv_dim=[96] * 7)),
    ],
)  # fmt: skip
def test_what_the_forward_pass_keeps_is_counted_to_a_tenth(family, changes, precision):
    model = make(family, **changes)
    settings = Training(precision, on_gpu=False, longest=4.0)
    expected = foretold(model.config, settings).per_second * 2 * 4.0
    assert kept(model, bf16=precision == "bf16") == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm", "data2vec-audio"])
def test_parameters_are_counted_to_a_hundredth(family):
    model = make(family, **({} if family == "data2vec-audio" else LAYER))
    assert parameters(model.config) == pytest.approx(sum(p.numel() for p in model.parameters()), rel=0.01)


@pytest.mark.parametrize(("family", "changes"), [("wav2vec2", GROUP), ("wav2vec2", LAYER), ("hubert", GROUP), ("wavlm", LAYER)])
def test_with_gradient_checkpointing_less_is_kept(family, changes):
    """Of group norm's first convolution too, whose forward pass is Bigfoot's own."""
    model = make(family, **changes)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    settings = Training("fp32", on_gpu=False, longest=4.0, checkpointing=True)
    recomputed = foretold(model.config, settings).per_second * 2 * 4.0
    assert kept(model, bf16=False) < 0.8 * recomputed < 0.8 * kept(make(family, **changes), bf16=False)
