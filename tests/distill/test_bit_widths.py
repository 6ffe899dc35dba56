"""Bits go to the Linears in which they save most, within the mean that was asked for."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.distill import bit_widths
from pipeline.distill.bit_widths import WIDTHS
from pipeline.models import few_bits
from pipeline.recognition import torch_model
from tests.tiny import save_model, speech

COST = st.floats(0, 1e3)


@given(st.lists(st.tuples(COST, COST, COST, st.integers(1, 10_000)), min_size=1, max_size=5), st.floats(2, 8))
def test_the_mean_is_kept_and_no_other_choice_within_it_costs_less(parts, bits):
    costs = {str(i): dict(zip(WIDTHS, part[:3], strict=True)) for i, part in enumerate(parts)}
    sizes = {str(i): part[3] for i, part in enumerate(parts)}
    every = [dict(zip(sizes, widths, strict=True)) for widths in product(WIDTHS, repeat=len(sizes))]
    allowed = [widths for widths in every if sum(widths[name] * sizes[name] for name in sizes) <= bits * sum(sizes.values())]
    found = bit_widths.spent(costs, sizes, bits)
    assert found in allowed
    total = [sum(costs[name][width] for name, width in widths.items()) for widths in (found, *allowed)]
    assert total[0] == pytest.approx(min(total[1:]))


def test_bits_go_where_rounding_costs_most():
    costs = {"large": {2: 10.0, 4: 1.0, 8: 0.0}, "small": {2: 8.0, 4: 1.0, 8: 0.0}, "idle": {2: 0.0, 4: 0.0, 8: 0.0}}
    sizes = {"large": 100, "small": 10, "idle": 100}
    assert bit_widths.spent(costs, sizes, 3.0) == {"large": 4, "small": 2, "idle": 2}, "not the dearest per bit first"
    assert bit_widths.spent(costs, sizes, 3.3) == {"large": 4, "small": 8, "idle": 2}


def test_the_cost_foretells_the_divergence_that_rounding_causes(tmp_path):
    """Rank and size, Linear by Linear, in a model whose Linears differ in how much they matter."""
    model = torch_model.load_float(save_model(tmp_path / "model", hidden=64))
    waveforms = [torch.from_numpy(speech(1.0, seed))[None] for seed in range(12)]
    foretold = bit_widths.costs(model, waveforms, 16, 0)
    with torch.inference_mode():
        wanted = [model(waveform).logits[0].log_softmax(-1) for waveform in waveforms]
    measured = {}
    for name in foretold:
        few_bits.attach(model, {"bits": {name: 4}, "block": 16})
        with torch.inference_mode():
            own = [model(waveform).logits[0].log_softmax(-1) for waveform in waveforms]
        del few_bits.linears(model)[name].forward
        measured[name] = sum(float((a.exp() * (a - b)).sum()) for a, b in zip(wanted, own, strict=True)) / len(waveforms)
    names = list(measured)
    pairs = torch.tensor([[foretold[name][4], measured[name]] for name in names]).log().T
    assert torch.corrcoef(pairs)[0, 1] > 0.8
    assert all(foretold[name][2] > foretold[name][8] for name in names)


def test_whole_bits_need_no_audio_to_choose_by(tmp_path):
    model = torch_model.load_float(save_model(tmp_path / "model"))
    assert set(bit_widths.chosen(model, [], 4.0, 16, 0).values()) == {4}
