"""In half of the batches a frame sees nothing beyond its chunk; otherwise, and whenever the model is used, all of it."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from pipeline.models import families
from pipeline.params import Training
from pipeline.train.chunks import use_chunks
from pipeline.train.memory import Training as Memory
from pipeline.train.memory import foretold
from tests import tones
from tests.tiny import FAMILIES, save_model

CHUNK = (0.2, 0.2)  # 10 frames
STEP = next(step for step in range(99) if np.random.default_rng((7, step)).random() >= 0.5)
WHOLE = next(step for step in range(99) if np.random.default_rng((7, step)).random() < 0.5)


@pytest.fixture(params=FAMILIES)
def model(request, tmp_path):
    quiet = {
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "layerdrop": 0.0,
        "feat_proj_dropout": 0.0,
    }
    folder = save_model(
        tmp_path / "model", "layer", family=request.param, **quiet, mask_time_prob=0.0, apply_spec_augment=False
    )
    return families.model_class(request.param).from_pretrained(folder).train()


def encoded(model, hidden: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    with torch.no_grad():
        return model.base_model.encoder(hidden.clone(), attention_mask=mask).last_hidden_state


def test_a_frame_sees_up_to_the_end_of_its_chunk_and_the_left_context(model):
    torch.manual_seed(0)
    hidden = torch.randn(1, 120, 32)
    changed = hidden.clone()
    changed[0, 85] += 5
    use_chunks(model, CHUNK, 7, STEP)
    differs = (encoded(model, hidden) - encoded(model, changed)).abs().amax(-1)[0] > 1e-4
    assert differs[80:90].all() and not differs[:80].any()
    assert differs[90:120].any()  # which have it in their left context


def test_a_short_utterance_in_a_batch_is_what_it_is_alone(model):
    torch.manual_seed(0)
    hidden, mask = torch.randn(2, 47, 32), torch.ones(2, 47, dtype=torch.bool)
    mask[1, 13:] = False
    use_chunks(model, CHUNK, 7, STEP)
    together, alone = encoded(model, hidden, mask), encoded(model, hidden[1:, :13])
    assert together.shape == (2, 47, 32) and torch.isfinite(together).all()
    if model.config.model_type != "data2vec-audio":  # whose padding is for `ignore_padding`, which sees whole models
        torch.testing.assert_close(together[1, :13], alone[0], rtol=0, atol=1e-4)


def test_half_of_the_steps_and_all_uses_see_whole_utterances(model):
    hidden = torch.randn(1, 60, 32)
    whole = encoded(model, hidden)
    for step, chunk in ((WHOLE, CHUNK), (STEP, None)):
        use_chunks(model, chunk, 7, step)
        torch.testing.assert_close(encoded(model, hidden), whole)
    use_chunks(model, CHUNK, 7, STEP)
    assert (encoded(model, hidden) - whole).abs().max() > 1e-3
    torch.testing.assert_close(encoded(model.eval(), hidden), whole)
    limited = [bool(np.random.default_rng((7, step)).random() >= 0.5) for step in range(1_000)]
    assert 450 < sum(limited) < 550


def test_what_a_chunk_teaches_reaches_the_weights(model):
    use_chunks(model, CHUNK, 7, STEP)
    model.base_model.encoder(torch.randn(1, 60, 32)).last_hidden_state.square().sum().backward()
    assert all(bool(layer.attention.out_proj.weight.grad.any()) for layer in model.base_model.encoder.layers)


def test_a_run_killed_midway_draws_the_same_chunks_and_ends_with_the_same_weights(tmp_path):
    def in_chunks(chosen: dict) -> None:
        chosen["teacher"]["training"]["chunk"] = [0.1, 0.3]

    whole, undisturbed, disturbed = (
        tones.project(tmp_path / name, steps=20, change=change)
        for name, change in (("whole", lambda chosen: None), ("a", in_chunks), ("b", in_chunks))
    )
    tones.kill_at(disturbed, 10)
    for folder in (whole, undisturbed, disturbed):
        tones.run(folder, "teacher")
    plain, a, b = map(tones.weights, (whole, undisturbed, disturbed))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], plain[name]) for name in a)


def test_short_chunks_are_foretold_to_take_more_memory(tmp_path):
    config = AutoConfig.from_pretrained(save_model(tmp_path / "model"))
    need = [foretold(config, Memory("fp32", False, 10.0, chunk=chunk)).per_second for chunk in (None, 1.28, 0.16)]
    assert need == sorted(need) and need[2] < 9 * need[0]
    short = [foretold(config, Memory("fp32", False, 1.0, chunk=chunk)).per_second for chunk in (1.0, 5.0)]
    assert short[0] == short[1]  # no chunk is longer than its utterance


def test_a_chunk_longer_than_its_utterance_is_computed_as_long_as_that(model):
    encoder, seen = model.base_model.encoder, []
    hidden = torch.randn(2, 40, 32)
    use_chunks(model, (4.0, 4.0), 7, STEP)
    handle = encoder.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    long = encoded(model, hidden)
    use_chunks(model, (0.8, 0.8), 7, STEP)  # 40 frames
    assert torch.equal(encoded(model, hidden), long) and len(set(seen)) == 1
    handle.remove()


@pytest.mark.parametrize("chunk", [[0.6, 0.2], [0, 1], [0.1], 0.3])
def test_the_lengths_of_chunks_have_an_order(chunk):
    with pytest.raises(ValueError, match="chunk"):
        Training(steps=1, learning_rate=0.1, chunk=chunk)
