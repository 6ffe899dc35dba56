"""What the store keeps of a frame: exactly all, or the likeliest tokens and the mass of the rest, at a bounded cost."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.distill.logits.top_k import packed, unpacked
from pipeline.distill.loss import kl_loss

VOCABULARY = 40
HALF = 2**-10  # half precision's steps, with room for a few roundings


def read(logits: torch.Tensor, k: int | None) -> torch.Tensor:
    """Logits [frames, vocabulary] as the loss gets them from the store."""
    stored = {name: array.numpy() for name, array in packed(logits, k).items()}
    return torch.from_numpy(unpacked(stored, logits.shape[1]))


@pytest.mark.parametrize("k", [None, VOCABULARY, VOCABULARY + 1])
def test_with_as_many_tokens_as_there_are_the_logits_are_stored_as_they_are(k):
    logits = 5 * torch.randn(7, VOCABULARY)
    assert torch.equal(read(logits, k), logits.half())


def test_the_likeliest_tokens_keep_their_probability_and_the_others_share_what_is_left():
    probabilities = torch.tensor([[0.5, 0.02, 0.3, 0.1, 0.08]])
    kept = read(probabilities.log() + 3, 2).exp()
    assert kept.flatten().tolist() == pytest.approx([0.5, 0.2 / 3, 0.3, 0.2 / 3, 0.2 / 3], rel=2 * HALF)


@pytest.mark.parametrize(("vocabulary", "kind"), [(2**15, torch.int16), (2**15 + 1, torch.int32)])
def test_every_id_fits_into_its_type(vocabulary, kind):
    logits = torch.zeros(1, vocabulary)
    logits[0, -1] = 9.0
    stored = packed(logits, 2)
    assert stored["ids"].dtype == kind and stored["ids"][0, 0] == vocabulary - 1
    assert read(logits, 2).argmax() == vocabulary - 1


def bounds(k: int, temperature: float, sharpness: float, seed: int) -> tuple[list[float], list[float]]:
    """[difference of gradients, of KL] between exact and stored logits, and what each may be."""
    random = torch.Generator().manual_seed(seed)
    teacher, student = (size * torch.randn(1, VOCABULARY, generator=random) for size in (sharpness, 2.0))
    approximate, frames, found = read(teacher, k), torch.tensor([1]), []
    for target in (teacher, approximate):
        own = student.clone().requires_grad_()
        loss = kl_loss(own[None], target[None], frames, temperature)
        loss.backward()
        found.append((own.grad / temperature, loss.item() / temperature**2))
    others = torch.ones(VOCABULARY, dtype=torch.bool)
    others[packed(teacher, k)["ids"][0].long()] = False
    rest = (approximate.float() / temperature).softmax(-1)[0, others].sum().item()
    log_probs = student.log_softmax(-1)[0, others]
    spread = (log_probs.max() - log_probs.min()).item()
    differences = [(found[0][0] - found[1][0]).abs().sum().item(), abs(found[0][1] - found[1][1])]
    return differences, [2 * rest, rest * (np.log(VOCABULARY - k) + spread)]


@given(st.integers(1, VOCABULARY - 1), st.sampled_from([1.0, 2.0, 4.0]), st.floats(0.1, 8.0), st.integers(0, 2**31))
def test_the_gradient_moves_by_at_most_twice_the_mass_of_the_rest(k, temperature, sharpness, seed):
    (gradient, _), (most, _) = bounds(k, temperature, sharpness, seed)
    assert gradient <= most + 20 * HALF / temperature


@given(st.integers(1, VOCABULARY - 1), st.floats(0.1, 8.0), st.integers(0, 2**31))
def test_the_loss_moves_by_at_most_the_mass_of_the_rest_times_its_uncertainty(k, sharpness, seed):
    (_, loss), (_, most) = bounds(k, 1.0, sharpness, seed)
    assert loss <= most + 30 * HALF


def test_more_tokens_are_closer_and_all_but_one_are_exact():
    """With one token left over there is nothing to share."""
    teacher, student = torch.randn(2, 50, VOCABULARY, generator=torch.Generator().manual_seed(1)) * 3
    frames = torch.tensor([50])
    exact = kl_loss(student[None], teacher[None], frames, 1.0).item()
    errors = [abs(kl_loss(student[None], read(teacher, k)[None], frames, 1.0).item() - exact) for k in (1, 4, 16, 39)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1e-3 < errors[0]
