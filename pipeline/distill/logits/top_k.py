"""What is stored of a frame: all its logits, or for a large vocabulary the k likeliest tokens and the mass of the rest.

Decision: k tokens take 4k + 2 bytes per frame (6k + 2 of more than 32,768 tokens) where all logits take 2 per token. They are
read as log-probabilities of all tokens again, with the rest's mass spread evenly over the other tokens, so the loss need not
know of k. What that costs: let r be the mass of these other tokens as read, at the loss's temperature T, 1 or more. Then the
gradient of a frame's KL with respect to the student's logits / T, which is student - teacher, differs from the exact one by at
most 2r, summed over all tokens. KL itself, at T = 1, differs by at most r x (ln of their number + the range of the student's
log-probabilities of them). tests/distill/test_top_k.py holds both bounds.
"""

from collections.abc import Mapping

import numpy as np
import torch


def packed(logits: torch.Tensor, k: int | None) -> dict[str, torch.Tensor]:
    """What is stored of float32 logits [..., vocabulary]: {"logits": half}, or, for a k below the size of the vocabulary,

    {"ids": int16 or int32 [..., k], likeliest first, "log_probs": half [..., k], "rest": half [..., 1], the log of the mass}.
    """
    if k is None or k >= logits.shape[-1]:
        return {"logits": logits.half()}
    log_probs = logits.log_softmax(-1)
    likeliest, ids = log_probs.topk(k)
    rest = log_probs.scatter(-1, ids, -torch.inf).logsumexp(-1, keepdim=True)
    kind = torch.int16 if logits.shape[-1] <= 2**15 else torch.int32
    return {"ids": ids.to(kind), "log_probs": likeliest.half(), "rest": rest.half()}


def bytes_per_frame(vocabulary: int, k: int | None, channels: int = 0) -> int:
    """What is stored of a frame, in bytes: the logits, and as many channels of features, in half precision."""
    return sum(array.nbytes for array in packed(torch.zeros(1, vocabulary), k).values()) + 2 * channels


def unpacked(stored: Mapping[str, np.ndarray], vocabulary: int) -> np.ndarray:
    """float16 [frames, vocabulary]: logits as they were stored, or log-probabilities made of what `packed` kept."""
    if "logits" in stored:
        return stored["logits"]
    ids = stored["ids"]
    spread = stored["rest"].astype(np.float32) - np.log(vocabulary - ids.shape[1])
    full = np.repeat(spread.astype(np.float16), vocabulary, axis=1)
    np.put_along_axis(full, ids.astype(np.int64), stored["log_probs"], axis=1)
    return full
