"""Weights in few bits: as near to the weights as their levels allow, and gradients pass."""

import pytest
import torch

from pipeline.models import few_bits


@pytest.mark.parametrize(("bits", "block"), [(2, 16), (4, 32), (8, 64)])
def test_a_fitted_scale_errs_less_than_one_of_the_range(bits, block):
    weight = torch.randn(24, 100, generator=torch.Generator().manual_seed(bits))
    levels, scales = few_bits.fitted(weight, bits, block)
    assert levels.min() >= 0 and levels.max() <= 2**bits - 1 and torch.equal(levels, levels.round())
    assert levels.shape == (24, -(-100 // block), block) and scales.shape == (*levels.shape[:2], 1)
    padded = torch.nn.functional.pad(weight, (0, -100 % block)).unflatten(1, (-1, block))
    step = padded.abs().amax(2, keepdim=True) / 2 ** (bits - 1)
    plain = (padded / step).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * step
    error, plain_error = (few_bits.rounded(weight, bits, block) - weight).square().sum(), (plain - padded).square().sum()
    assert error < plain_error


def test_a_weight_that_its_levels_hold_stays_as_it_is():
    weight = torch.tensor([[-8.0, 7.0, 0.0, 3.0] * 4, [0.0] * 16]) / 16
    assert torch.equal(few_bits.rounded(weight, 4, 16), weight)


def test_gradients_pass_through_the_rounding():
    weight = torch.randn(3, 20, requires_grad=True)
    few_bits.rounded(weight, 2, 16).square().sum().backward()
    assert torch.allclose(weight.grad, 2 * few_bits.rounded(weight, 2, 16).detach())
