"""A front end of fewer convolutions: each of the student's replaces a run of its parent's.

Decision: two convolutions in a row, but for what lies between them, are one with kernel k1 + (k2 - 1) * s1 and stride
s1 * s2. So a student whose convolutions stand for runs of neighbors hears as far and steps as far as its parent, and gives
exactly as many frames: stored logits fit it. wav2vec 2.0's seven (kernels 10 3 3 3 3 2 2) become, in runs of 2, 2, 2
and 1, four (20 7 5 2, strides 10 4 4 2). Why: the first layers run 3,200 and 1,600 times a second, and a shallow student
spends most of its time there; at 32 channels those four take 14 million products for 3.2 s of audio instead of 34, and
a third of the activations.

Weights are those that come nearest, in least squares on training audio, to what the run's last convolution gives (before
its norm and activation) out of what its first one is given. The activation between them is lost: distillation's business.
"""

from itertools import accumulate

import torch

RIDGE = 1e-4  # of the mean variance of an input: keeps silent inputs from making weights of any size


def geometry(kernels: list[int], strides: list[int], runs: list[int]) -> tuple[list[int], list[int]]:
    """Kernels and strides of the convolutions that stand for runs of these.

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


@torch.no_grad()
def fit(parent, waveforms: list[torch.Tensor], runs: list[int], kept: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The student's tensors of all runs longer than one, by name; the others are the parent's own.

    `waveforms`: each [1, samples] as the parent hears it; `kept`: of each run's last convolution the channels that stay.
    """
    config = parent.config
    kernels, strides = geometry(config.conv_kernel, config.conv_stride, runs)
    wanted = [i for i, run in enumerate(runs) if run > 1]
    if not wanted:
        return {}
    sums = {i: _Sums(centred=i == 0 and config.feat_extract_norm == "group", constant=config.conv_bias) for i in wanted}
    for waveform in waveforms:
        given, gives = _passes(parent, waveform)
        for i in wanted:
            first, last = spans(runs)[i]
            heard = given[first][0] if first == 0 else given[first][0, kept[i - 1]]
            windows = heard.unfold(1, kernels[i], strides[i]).permute(1, 0, 2).flatten(1)
            sums[i].add(windows.double(), gives[last][0, kept[i]].T.double())
    tensors = {}
    for i in wanted:
        name = f"wav2vec2.feature_extractor.conv_layers.{i}."
        weight, constant, spread = sums[i].solve()
        tensors[f"{name}conv.weight"] = weight.T.reshape(len(kept[i]), -1, kernels[i]).float()
        if sums[i].centred:  # the group norm that follows gives it mean 0 and variance 1: what they were is the norm's to say
            tensors |= {f"{name}layer_norm.weight": spread.float(), f"{name}layer_norm.bias": constant.float()}
        if config.conv_bias:
            tensors[f"{name}conv.bias"] = torch.zeros(len(kept[i])) if sums[i].centred else constant.float()
    return tensors


def _passes(parent, waveform: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What each convolution is given, and what it gives before norm and activation: [1, channels, frames] each."""
    given, gives = [], []
    signal = waveform[:, None]
    for layer in parent.wav2vec2.feature_extractor.conv_layers:
        given.append(signal)
        gives.append(layer.conv(signal))
        signal = layer(signal)
    return given, gives


class _Sums:
    """Least squares from sums over frames: outputs [frames, n] out of inputs [frames, m], utterance by utterance.

    `centred`: both less their mean over the utterance; `constant`: a constant may be added to the outputs.
    """

    def __init__(self, centred: bool, constant: bool):
        self.centred, self.constant = centred, constant or centred
        self.frames, self.xx, self.xy, self.x, self.y = 0, 0.0, 0.0, 0.0, 0.0

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.frames, self.x, self.y = self.frames + len(x), self.x + x.sum(0), self.y + y.sum(0)
        if self.centred:
            x, y = x - x.mean(0), y - y.mean(0)
        self.xx, self.xy = self.xx + x.T @ x, self.xy + x.T @ y

    def solve(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(weights [m, n], constant [n], standard deviation of the fitted outputs [n])."""
        xx, xy = self.xx, self.xy
        if self.constant and not self.centred:
            xx = xx - torch.outer(self.x, self.x) / self.frames
            xy = xy - torch.outer(self.x, self.y) / self.frames
        ridge = RIDGE * xx.diagonal().mean() * torch.eye(len(xx), dtype=xx.dtype)
        weights = torch.linalg.solve(xx + ridge, xy)
        constant = self.y / self.frames if self.constant else torch.zeros(xy.shape[1])
        if self.constant and not self.centred:
            constant = constant - self.x / self.frames @ weights
        return weights, constant, ((weights * (xx @ weights)).sum(0) / self.frames).clamp(min=1e-12).sqrt()
