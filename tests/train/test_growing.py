"""A growing model always gives exactly the output of the complete model, and its later layers learn once they are in use."""

import pytest
import torch
from transformers import Wav2Vec2ForCTC

from pipeline.common.errors import BigfootError
from pipeline.train import growing
from tests.tiny import save_model, speech

GROW = [(0, 1), (10, 2), (20, 4)]


@pytest.fixture
def model(tmp_path):
    return Wav2Vec2ForCTC.from_pretrained(save_model(tmp_path, layers=4)).eval()


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.from_numpy(speech(1.0))[None]).logits


def test_layers_not_in_use_are_the_identity_whether_they_are_skipped_or_not(model):
    untouched = logits(model)
    growing.start_shallow(model, GROW, "teacher")
    whole = logits(model)
    assert not torch.equal(whole, untouched)
    for step in (0, 9, 10, 20, 999):
        growing.use_layers(model, GROW, step)
        torch.testing.assert_close(logits(model), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("step", "learning"), [(0, 1), (9, 1), (10, 2), (19, 2), (20, 4), (999, 4)])
def test_the_layers_in_use_learn_and_the_others_are_not_touched(model, step, learning):
    growing.start_shallow(model, GROW, "teacher")
    growing.use_layers(model, GROW, step)
    model(torch.from_numpy(speech(1.0))[None]).logits.square().sum().backward()
    outputs = [layer.attention.out_proj.weight.grad for layer in model.wav2vec2.encoder.layers]
    assert [gradient is not None and bool(gradient.any()) for gradient in outputs] == [n < learning for n in range(4)]


def test_a_model_that_does_not_grow_stays_as_it_is(model):
    before = logits(model)
    growing.start_shallow(model, [], "teacher")
    growing.use_layers(model, [], 0)
    assert torch.equal(logits(model), before)


def test_growth_that_does_not_fit_the_model_is_one_line(model, tmp_path):
    with pytest.raises(BigfootError, match="teacher: training.grow .* 3 layers"):
        growing.start_shallow(model, [(0, 1), (5, 3)], "teacher")
    post_norm = Wav2Vec2ForCTC.from_pretrained(save_model(tmp_path / "post", stable=False))
    with pytest.raises(BigfootError, match="teacher: training.grow .*pre-norm"):
        growing.start_shallow(post_norm, [(0, 1), (5, 2)], "teacher")
