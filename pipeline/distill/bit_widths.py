"""Which Linears of a student get more bits, where a mean of bits per weight is asked for (`few_bits.bits`, such as 3).

Decision: what rounding a Linear costs is measured as importance is (pipeline.distill.surgery.importance): the rise of the KL
divergence of the student's frames from its own in float. To second order it is half the Fisher information in the direction of
the rounding, E[(the change of log p(y) along it)^2] / 2, with y drawn from the student's own distribution of each frame. One
backward pass per utterance gives it for all Linears and bits at once. The costs are taken to add up (as by Dong et al. 2020,
HAWQ-V2).
"""

from collections.abc import Sequence

import torch

from pipeline.models import few_bits

WIDTHS = (2, 4, 8)


def chosen(model, waveforms: Sequence[torch.Tensor], bits: float, block: int, seed: int) -> dict[str, int]:
    """Bits of each Linear, 2, 4 or 8, with a mean over all weights of at most `bits`.

    `waveforms`: training audio as model inputs, each [1, samples]; needed where `bits` is none of these.
    """
    linears = few_bits.linears(model)
    if bits in WIDTHS:
        return dict.fromkeys(linears, int(bits))
    return spent(costs(model, waveforms, block, seed), {name: linear.weight.numel() for name, linear in linears.items()}, bits)


def costs(model, waveforms: Sequence[torch.Tensor], block: int, seed: int) -> dict[str, dict[int, float]]:
    """The rise of the KL divergence, in nats per utterance, for each Linear rounded by itself to each of WIDTHS."""
    model.eval()
    weights = {name: linear.weight for name, linear in few_bits.linears(model).items()}
    errors = {
        name: {width: few_bits.rounded(weight, width, block).detach() - weight.detach() for width in WIDTHS}
        for name, weight in weights.items()
    }
    total = {name: dict.fromkeys(WIDTHS, 0.0) for name in weights}
    generator = torch.Generator().manual_seed(seed)
    for waveform in waveforms:
        log_probs = model(waveform).logits[0].log_softmax(-1)
        drawn = torch.multinomial(log_probs.detach().exp(), 1, generator=generator)
        gradients = torch.autograd.grad(log_probs.gather(1, drawn).sum(), list(weights.values()))
        for (name, by_width), gradient in zip(errors.items(), gradients, strict=True):
            for width, error in by_width.items():
                total[name][width] += float((gradient * error).sum().square()) / 2 / len(waveforms)
    return total


def spent(costs: dict[str, dict[int, float]], sizes: dict[str, int], bits: float) -> dict[str, int]:
    """One of WIDTHS for each part, at most `bits` on average over their sizes, with the least sum of costs.

    Exact: the best choice for the parts so far is kept for every number of bits that they can take together.
    """
    most = bits * sum(sizes.values())
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for name, size in sizes.items():
        longer: dict[int, tuple[float, tuple[int, ...]]] = {}
        for taken, (cost, widths) in best.items():
            for width in WIDTHS:
                total, one = taken + width * size, (cost + costs[name][width], (*widths, width))
                if total <= most and (total not in longer or one < longer[total]):
                    longer[total] = one
        best = longer
    return dict(zip(sizes, min(best.values())[1], strict=True))
