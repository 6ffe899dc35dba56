"""What a student is trained on: labels, what its teacher says of each frame, and which frames its teacher finds alike.

Decision: the teacher's logits come from the store (pipeline.distill.logits_store), so that the teacher runs once for all
students; or it runs beside the student, which is slower, but allows audio that is moved in time, and its hidden states.
Padding frames never count: they did in the paper's code, which let short utterances learn mostly silence.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from pipeline.models.forward import inside, mask_group_norm
from pipeline.params import Distillation, Ramp
from pipeline.train.ctc import ctc_loss


@dataclass
class Imitation:
    """The objective of a student, as pipeline.train.trainer asks for it.

    `blank`: the CTC blank's id; `teacher`: Wav2Vec2ForCTC that runs beside the student; None: logits come with the batch.
    """

    settings: Distillation
    blank: int
    teacher: torch.nn.Module | None = None

    def __post_init__(self):
        if self.teacher is not None:
            self.teacher.eval().requires_grad_(False)
            mask_group_norm(self.teacher)

    def __call__(self, model, batch: dict, done: float):
        """The loss of a batch, `done` (0 to 1) of the run being behind."""
        s = self.settings
        kl, ctc, hidden = (at(weight, done) for weight in (s.kl_weight, s.ctc_weight, s.hidden_weight))
        heard = {"input_values": batch["input_values"], "attention_mask": batch["attention_mask"]}
        student, frames = model(**heard, output_hidden_states=hidden > 0), batch["frames"]
        teacher_logits = batch.get("teacher_logits")
        if self.teacher is not None:
            with torch.no_grad():
                teacher = self.teacher.to(frames.device)(**heard, output_hidden_states=hidden > 0)
            teacher_logits = teacher.logits
        loss = 0.0
        if ctc:
            loss = loss + ctc * ctc_loss(student.logits, frames, batch["labels"], batch["label_lengths"], self.blank)
        if kl:
            loss = loss + kl * kl_loss(student.logits, teacher_logits, frames, at(s.temperature, done))
        if hidden:
            loss = loss + hidden * _similarity_of_layers(student.hidden_states, teacher.hidden_states, frames)
        return loss


def at(ramp: Ramp, done: float) -> float:
    """The value of a weight or temperature when `done` (0 to 1) of the run is behind: a pair goes from first to second."""
    first, last = ramp if isinstance(ramp, tuple) else (ramp, ramp)
    return first + (last - first) * done


def kl_loss(logits, teacher_logits, frames, temperature: float):
    """T^2 * KL(teacher || student), averaged over the non-padding frames (Hinton et al. 2015, on frames).

    logits, teacher_logits: [batch, frames, vocabulary]; frames: [batch], how many of them are no padding.
    """
    student = functional.log_softmax(logits.float() / temperature, -1)
    teacher = functional.log_softmax(teacher_logits.float() / temperature, -1)
    per_frame = (teacher.exp() * (teacher - student)).sum(-1)
    return temperature**2 * per_frame[inside(logits.shape[1], frames).bool()].mean()


def similarity_loss(hidden, teacher_hidden, frames):
    """How differently student and teacher see which frames are alike: mean squared difference of their cosines.

    hidden [batch, frames, n], teacher_hidden [batch, frames, m]: outputs of a layer of each; frames: [batch], how many are no
    padding. Similarities of the frames of an utterance (after Tung & Mori 2019, who compare the examples of a batch) have
    the same shape whatever the widths, so that no projection has to be learned that is thrown away afterwards.
    """
    real = inside(hidden.shape[1], frames).bool()
    pairs = real[:, :, None] & real[:, None, :]
    return (_cosines(hidden) - _cosines(teacher_hidden)).square()[pairs].mean()


def _similarity_of_layers(hidden: tuple, teacher_hidden: tuple, frames):
    """Mean over the student's layers, each beside the teacher's that ends at the same part of the depth."""
    layers, deep = len(hidden) - 1, len(teacher_hidden) - 1  # the first is what the encoder is given
    pairs = [(hidden[i], teacher_hidden[round(i * deep / layers)]) for i in range(1, layers + 1)]
    return torch.stack([similarity_loss(own, other, frames) for own, other in pairs]).mean()


def _cosines(hidden):
    """[batch, frames, frames]"""
    unit = functional.normalize(hidden.float(), dim=-1)
    return unit @ unit.transpose(1, 2)
