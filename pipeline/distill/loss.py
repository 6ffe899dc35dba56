"""A student's training loss: CTC on labels, KL to the teacher's frame logits, and similarity of frames in hidden states.

Decision: the teacher's logits come from the store (pipeline.distill.logits), so that the teacher runs once for all
students. Or the teacher runs beside the student: that is slower, but allows augmentation that changes timing, and gives its
hidden states. Padding frames never count. In the paper's code they did, so short utterances taught mostly silence.

A student with fewer frames per second learns from the teacher's outputs pooled (pipeline.distill.pooling).
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from pipeline.distill.pooling import pooled, pooled_states
from pipeline.models.forward import ignore_padding, inside
from pipeline.models.inference import padded
from pipeline.params import Distillation, Ramp
from pipeline.train.ctc import ctc_loss


@dataclass
class Imitation:
    """A student's loss for pipeline.train.trainer.

    `blank`: the CTC blank's id; `teacher`: a Wav2Vec2ForCTC that runs beside the student; None: the batch holds its logits.
    `factor`: how many frames of that teacher are one of the student's; logits in the batch are the student's frame by frame.
    """

    settings: Distillation
    blank: int
    teacher: torch.nn.Module | None = None
    factor: int = 1

    def __post_init__(self):
        if self.teacher is not None:
            self.teacher.eval().requires_grad_(False)
            ignore_padding(self.teacher)

    def __call__(self, model, batch: dict, done: float):
        """The loss of a batch; `done` (0 to 1) is the finished part of the run."""
        s = self.settings
        kl, ctc, hidden = (at(weight, done) for weight in (s.kl_weight, s.ctc_weight, s.hidden_weight))
        inputs = {"input_values": batch["input_values"], "attention_mask": batch["attention_mask"]}
        student, frames = model(**inputs, output_hidden_states=hidden > 0), batch["frames"]
        teacher_logits = batch.get("teacher_logits")
        if self.teacher is not None:
            with torch.no_grad():
                teacher = self.teacher.to(frames.device)(**inputs, output_hidden_states=hidden > 0)
            own = self.teacher._get_feat_extract_output_lengths(batch["attention_mask"].sum(1))
            teacher_logits = self._pooled(teacher.logits, own, student.logits.shape[1])
        loss = 0.0 * student.logits.sum()
        labelled = batch["label_lengths"] > 0
        if ctc and labelled.any():
            labels, lengths = batch["labels"][labelled], batch["label_lengths"][labelled]
            loss = loss + ctc * ctc_loss(student.logits[labelled], frames[labelled], labels, lengths, self.blank)
        if kl:
            loss = loss + kl * kl_loss(student.logits, teacher_logits, frames, at(s.temperature, done))
        if hidden:
            loss = loss + hidden * _similarity_of_layers(student.hidden_states, teacher.hidden_states, frames, self.factor)
        return loss

    def _pooled(self, logits, own, frames: int):
        """The teacher's logits [batch, its frames, vocabulary] at the student's `frames`; `own` [batch]: without padding."""
        if self.factor == 1:
            return logits
        rows = [pooled(row[:count], self.factor, self.blank) for row, count in zip(logits, own.tolist(), strict=True)]
        return padded(rows, frames)


def at(ramp: Ramp, done: float) -> float:
    """The value of a weight or temperature at `done` (0 to 1) of the run: a pair changes linearly from first to second."""
    first, last = ramp if isinstance(ramp, tuple) else (ramp, ramp)
    return first + (last - first) * done


def kl_loss(logits, teacher_logits, frames, temperature: float):
    """T^2 * KL(teacher || student), averaged over real frames (Hinton et al. 2015, applied to frames).

    logits, teacher_logits: [batch, frames, vocabulary]; frames: [batch], the number of frames without padding.
    """
    student = functional.log_softmax(logits.float() / temperature, -1)
    teacher = functional.log_softmax(teacher_logits.float() / temperature, -1)
    per_frame = (teacher.exp() * (teacher - student)).sum(-1)
    return temperature**2 * per_frame[inside(logits.shape[1], frames).bool()].mean()


def similarity_loss(hidden, teacher_hidden, frames):
    """Mean squared difference between student and teacher in the cosine similarities of an utterance's frames.

    hidden [batch, frames, n], teacher_hidden [batch, frames, m]: the outputs of one layer of each; frames: [batch], the number
    of frames without padding. The similarities of an utterance's frames (after Tung & Mori 2019, who compare the examples of a
    batch) have the same shape for all widths, so no projection has to be trained only to be discarded.
    """
    real = inside(hidden.shape[1], frames).bool()
    pairs = real[:, :, None] & real[:, None, :]
    return (_cosines(hidden) - _cosines(teacher_hidden)).square()[pairs].mean()


def _similarity_of_layers(hidden: tuple, teacher_hidden: tuple, frames, factor: int):
    """Mean over the student's layers, each compared with the teacher's layer at the same fraction of the depth."""
    if factor > 1:
        teacher_hidden = tuple(pooled_states(layer, factor, hidden[0].shape[1]) for layer in teacher_hidden)
    layers, teacher_layers = len(hidden) - 1, len(teacher_hidden) - 1  # the first hidden state is the encoder's input
    pairs = [(hidden[i], teacher_hidden[round(i * teacher_layers / layers)]) for i in range(1, layers + 1)]
    return torch.stack([similarity_loss(own, other, frames) for own, other in pairs]).mean()


def _cosines(hidden):
    """[batch, frames, frames]"""
    unit = functional.normalize(hidden.float(), dim=-1)
    return unit @ unit.transpose(1, 2)
