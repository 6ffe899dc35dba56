"""A feature encoder with fewer convolutions: each one of the student replaces a run of the parent's.

Decision: two convolutions in a row, without what lies between them, equal one convolution with kernel k1 + (k2 - 1) * s1 and
stride s1 * s2. So a student whose convolutions replace runs of neighbors has its parent's receptive field and stride, and
gives exactly as many frames: stored logits fit it. wav2vec 2.0's seven convolutions (kernels 10 3 3 3 3 2 2) become, in runs
of 2, 2, 2 and 1, four (20 7 5 2, strides 10 4 4 2). The reason: the first layers run 3,200 and 1,600 times per second, and a
shallow student spends most of its time there. At 32 channels the four need 14 million products for 3.2 s of audio instead of
34 million, and a third of the activations.

The weights are a least-squares fit on training audio: to the output of the run's last convolution, before norm and activation,
from what the student's own convolutions before it, already merged and narrower, give it. So each fit makes up for a part of
what those before it lost. The activations inside a run are lost; distillation has to make up for that.
"""

from itertools import accumulate

import torch

from pipeline.models import families

RIDGE = 1e-4  # of an input's mean variance: without it a silent input could get arbitrarily large weights


def geometry(kernels: list[int], strides: list[int], runs: list[int]) -> tuple[list[int], list[int]]:
    """Kernels and strides of the convolutions that replace these runs.

    >>> geometry([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2], [2, 2, 2, 1])
    ([20, 7, 5, 2], [10, 4, 4, 2])
    """
    merged = []
    for first, last in spans(runs):
        kernel, stride = 1, 1
        for k, s in zip(kernels[first : last + 1], strides[first : last + 1], strict=True):
            kernel, stride = kernel + (k - 1) * stride, stride * s
        merged.append((kernel, stride))
    return [k for k, _ in merged], [s for _, s in merged]


def spans(runs: list[int]) -> list[tuple[int, int]]:
    """First and last of the parent's convolutions in each run: [2, 2, 1] is [(0, 1), (2, 3), (4, 4)]."""
    ends = list(accumulate(runs))
    return [(end - run, end - 1) for run, end in zip(runs, ends, strict=True)]


def names(runs: list[int], config) -> set[str]:
    """The student's tensors that `fit` makes, named as in `importance.plain`; all others are copied."""
    tensors = set()
    for i, run in enumerate(runs):
        if run > 1:
            parts = ["conv.weight", *(["conv.bias"] if config.conv_bias else [])]
            parts += ["layer_norm.weight", "layer_norm.bias"] if i == 0 and families.is_group_norm(config) else []
            tensors |= {f"feature_extractor.conv_layers.{i}.{part}" for part in parts}
    return tensors


@torch.no_grad()
def fit(parent, student, waveforms: list[torch.Tensor], runs: list[int], kept: list[torch.Tensor]) -> None:
    """Fit the student's convolutions that replace runs longer than one, the first one first; all else is copied already.

    `waveforms`: each a model input [1, samples]; `kept`: the channels to keep of each run's last convolution.
    """
    layers = student.base_model.feature_extractor.conv_layers
    for i, (_, last) in enumerate(spans(runs)):
        if runs[i] == 1:
            continue
        conv = layers[i].conv
        centered = i == 0 and families.is_group_norm(parent.config)
        sums = _Sums(centered, constant=conv.bias is not None)
        for waveform in waveforms:
            signal = _through(layers[:i], waveform[:, None])
            wanted = _through(parent.base_model.feature_extractor.conv_layers[:last], waveform[:, None])
            wanted = parent.base_model.feature_extractor.conv_layers[last].conv(wanted)
            windows = signal[0].unfold(1, conv.kernel_size[0], conv.stride[0]).permute(1, 0, 2).flatten(1)
            sums.add(windows.double(), wanted[0, kept[i]].T.double())
        weight, constant, spread = sums.solve()
        conv.weight.copy_(weight.T.reshape(conv.weight.shape))
        if centered:  # the group norm that follows sets mean 0 and variance 1, so its own tensors restore both
            layers[i].layer_norm.weight.copy_(spread)
            layers[i].layer_norm.bias.copy_(constant)
        if conv.bias is not None:
            conv.bias.copy_(torch.zeros_like(conv.bias) if centered else constant)


def _through(layers, signal: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        signal = layer(signal)
    return signal


class _Sums:
    """Least squares from sums over frames, from inputs [frames, m] to outputs [frames, n], one utterance after the other.

    `centered`: the utterance's mean is subtracted from both; `constant`: the fit includes a constant.
    """

    def __init__(self, centered: bool, constant: bool):
        self.centered, self.constant = centered, constant or centered
        self.frames = 0
        self.xx = self.xy = self.x = self.y = torch.zeros(())  # sums, which take their shapes from what is added

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.frames, self.x, self.y = self.frames + len(x), self.x + x.sum(0), self.y + y.sum(0)
        if self.centered:
            x, y = x - x.mean(0), y - y.mean(0)
        self.xx, self.xy = self.xx + x.T @ x, self.xy + x.T @ y

    def solve(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(weights [m, n], constant [n], standard deviation of the fitted outputs [n])."""
        xx, xy = self.xx, self.xy
        if self.constant and not self.centered:
            xx = xx - torch.outer(self.x, self.x) / self.frames
            xy = xy - torch.outer(self.x, self.y) / self.frames
        ridge = RIDGE * xx.diagonal().mean() * torch.eye(len(xx), dtype=xx.dtype)
        weights = torch.linalg.solve(xx + ridge, xy)
        constant = self.y / self.frames if self.constant else torch.zeros(xy.shape[1])
        if self.constant and not self.centered:
            constant = constant - self.x / self.frames @ weights
        return weights, constant, ((weights * (xx @ weights)).sum(0) / self.frames).clamp(min=1e-12).sqrt()
