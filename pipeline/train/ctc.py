"""The loss on labels: CTC over real frames. The losses against a teacher are in pipeline.distill.loss."""

import torch
from torch.nn import functional


def ctc_loss(logits, frames, labels, label_lengths, blank: int):
    """Mean CTC loss per character: logits [batch, frames, vocabulary], frames [batch] without padding, labels [batch, n].

    Each utterance's loss is divided by its number of labels, so that long utterances don't weigh more. An utterance with too
    few frames for its text counts 0: `prepare` drops it at 50 frames per second, pipeline.train.fitting counts it at fewer.
    """
    log_probs = functional.log_softmax(logits, -1, dtype=torch.float32).transpose(0, 1)
    return functional.ctc_loss(log_probs, labels, frames, label_lengths, blank=blank, reduction="mean", zero_infinity=True)
