"""Quantization-aware training: how it rounds, that it leaves a plain model behind, and that OpenVINO rounds in the same way."""

import numpy as np
import pytest
import torch

from pipeline.common.errors import BigfootError
from pipeline.distill import fake_int8
from pipeline.models.folder import load_model
from pipeline.quantize import openvino, openvino_trained
from tests.tiny import save_model, speech


def waveform(seconds: float, seed: int) -> torch.Tensor:
    audio = speech(seconds, seed)
    return torch.from_numpy((audio - audio.mean()) / audio.std())[None]


def test_rounding_keeps_zero_takes_256_values_and_stops_at_the_ends():
    rounded = fake_int8.Rounded(-0.2, 2.0)
    values = rounded(torch.linspace(-3, 3, 20_001))
    step, zero = fake_int8.grid(rounded.low, rounded.high)
    assert 0.0 in values and len(values.unique()) == 256
    assert torch.isclose(values.min(), -zero * step) and torch.isclose(values.max(), (255 - zero) * step)
    inner = torch.linspace(-0.19, 1.99, 1000)
    assert (rounded(inner) - inner).abs().max() <= step / 2 + 1e-6


def test_gradients_pass_through_rounding_and_range_ends_learn_from_values_beyond():
    rounded = fake_int8.Rounded(-1.0, 1.0)
    signal = torch.tensor([0.31, 5.0, -7.0], requires_grad=True)
    rounded(signal).sum().backward()
    assert signal.grad.tolist() == [1.0, 0.0, 0.0]
    assert rounded.high.grad.abs() > 0.1 and rounded.low.grad.abs() > 0.1


def test_weights_take_127_values_an_output_channel():
    weight = torch.randn(3, 400, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10, 0.1])[:, None, None]
    rounded = fake_int8.rounded_weight(weight)
    for before, after in zip(weight, rounded, strict=True):
        step = before.abs().max() / 63
        assert (
            torch.allclose(after / step, (after / step).round(), atol=1e-4) and (after - before).abs().max() <= step / 2 * 1.001
        )


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_a_trained_model_is_plain_again_and_openvino_rounds_as_training_did(norm, tmp_path):
    folder = save_model(tmp_path / "model", norm=norm)
    model, processor = load_model(folder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    waveforms = [waveform(1.0, seed) for seed in range(3)]
    with torch.no_grad():
        plain = model(waveforms[0]).logits
        fake_int8.attach(model, waveforms)
        layer = model.wav2vec2.feature_extractor.conv_layers[2]
        layer.int8.high.mul_(0.5)  # as if learned: the saved range has to be the last one used
        expected = model(waveforms[0]).logits
        ranges = fake_int8.detach(model)
        assert torch.equal(model(waveforms[0]).logits, plain)
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert list(ranges) == [f"conv_layers.{i}" for i in range(1, 7)]

    graph = openvino.convert(folder, tmp_path)
    assert len({openvino_trained._lower(graph, name, ends) for name, ends in ranges.items()}) == 6
    assert all(kind == "f32" for kind in openvino.weight_types(graph).values())
    openvino_trained._pack(graph)
    kinds = openvino.weight_types(graph)
    assert sum(kind == "i8" for name, kind in kinds.items() if name.startswith("/conv_layers.")) == 6
    openvino.save(graph, tmp_path)
    from pipeline.recognition import runtimes

    run = runtimes.start(tmp_path, "openvino", openvino.FILE)
    samples = waveforms[0].numpy()
    actual = run(samples, np.array([samples.shape[1]]))[:, : expected.shape[1]]
    effect = (expected - plain).square().mean().sqrt()
    error = (torch.from_numpy(actual) - expected).square().mean().sqrt()
    assert effect > 0.01 and error < 0.1 * effect


def test_a_missing_training_is_an_error(tmp_path):
    save_model(tmp_path / "model")
    with pytest.raises(BigfootError, match="quantize_aware"):
        openvino_trained._ranges(tmp_path / "model")
