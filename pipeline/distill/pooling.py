"""The teacher's outputs for a student with fewer frames per second: several frames of the teacher become one.

Decision: a pooled frame holds what the teacher wrote within it. Blank is likely where all of its frames are blank, so its
probability is the product of theirs; the rest is shared among the other tokens by the sum of their probabilities. A CTC model
writes a character in one frame and blank in the next: their mean would be half blank, and a frame's likeliest token, from
which texts are read, would be blank for every character that is less than certain.
"""

import torch
from torch.nn import functional


def pooled(logits: torch.Tensor, factor: int, blank: int) -> torch.Tensor:
    """Logits [frames, vocabulary] of one utterance -> log-probabilities [frames // factor, vocabulary].

    Frames that are left at the end belong to the last one: the audio in them is not lost on the loss.
    """
    log_probs = functional.log_softmax(logits.float(), -1)
    frames, tokens = log_probs.shape
    count = frames // factor
    whole = _together(log_probs[: count * factor].reshape(count, factor, tokens), blank)
    if count and frames % factor:
        whole[-1] = _together(log_probs[(count - 1) * factor :], blank)
    return whole


def pooled_states(hidden: torch.Tensor, factor: int, frames: int) -> torch.Tensor:
    """Hidden states [batch, at least frames * factor, n] -> [batch, frames, n]: the mean of each `factor` frames."""
    return hidden[:, : frames * factor].unflatten(1, (frames, factor)).mean(2)


def _together(log_probs: torch.Tensor, blank: int) -> torch.Tensor:
    """Log-probabilities [..., frames, vocabulary] of frames that become one: [..., vocabulary]."""
    silent = log_probs[..., blank].sum(-1, keepdim=True)
    written = log_probs.logsumexp(-2)
    written[..., blank] = -torch.inf
    some = (-torch.expm1(silent)).clamp(min=torch.finfo(silent.dtype).tiny).log()  # 0 would make the loss of it NaN
    together = written.log_softmax(-1) + some
    together[..., blank] = silent[..., 0]
    return together
