"""The two losses: CTC on the labels, and the divergence from the teacher, each over real frames alone.

Padding frames never count: they did in the paper's code, which let short utterances learn mostly silence.
"""

import torch
from torch.nn import functional


def ctc_loss(logits, frames, labels, label_lengths, blank: int):
    """Mean CTC loss per character: logits [batch, frames, vocabulary], frames [batch] without padding, labels [batch, n].

    Each utterance's loss is divided by its number of labels, so that long ones don't weigh more; an utterance whose text
    can't be spelled in its frames counts 0 (`prepare` drops those beforehand).
    """
    log_probs = functional.log_softmax(logits, -1, dtype=torch.float32).transpose(0, 1)
    return functional.ctc_loss(log_probs, labels, frames, label_lengths, blank=blank, reduction="mean", zero_infinity=True)


def kl_loss(logits, teacher_logits, frames, temperature: float):
    """T^2 * KL(teacher || student), averaged over the non-padding frames (Hinton et al. 2015, on frames).

    logits, teacher_logits: [batch, frames, vocabulary]; frames: [batch], how many of them are no padding.
    """
    student = functional.log_softmax(logits.float() / temperature, -1)
    teacher = functional.log_softmax(teacher_logits.float() / temperature, -1)
    per_frame = (teacher.exp() * (teacher - student)).sum(-1)
    real = torch.arange(logits.shape[1], device=logits.device)[None] < frames[:, None]
    return temperature**2 * per_frame[real].mean()
