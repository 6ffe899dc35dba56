"""A student's training loss: CTC on labels, and KL to the teacher's frame logits.

Decision: the teacher's logits come from the store (pipeline.distill.logits), so that the teacher runs once for all
students. Or the teacher runs beside the student: that is slower, but allows augmentation that changes timing. Padding frames
never count. In the paper's code they did, so short utterances taught mostly silence.

A student with fewer frames per second learns from the teacher's outputs pooled (pipeline.distill.pooling).
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from pipeline.distill.pooling import pooled
from pipeline.models.forward import ignore_padding, inside
from pipeline.models.inference import padded
from pipeline.params import Distillation, Ramp
from pipeline.train import machine
from pipeline.train.ctc import ctc_loss


@dataclass
class Imitation:
    """A student's loss for pipeline.train.trainer.

    `blank`: the CTC blank's id; `teacher`: a Wav2Vec2ForCTC that runs beside the student; None: the batch holds its logits.
    `factor`: how many frames of that teacher are one of the student's; logits in the batch are the student's frame by frame.
    `precision`: bf16, fp16 or fp32, in which the student's forward pass runs, and that teacher's.
    """

    settings: Distillation
    blank: int
    teacher: torch.nn.Module | None = None
    factor: int = 1
    precision: str = "fp32"

    def __post_init__(self):
        if self.teacher is not None:
            self.teacher.eval().requires_grad_(False)
            ignore_padding(self.teacher)
            machine.make_right(self.teacher, self.precision)

    def __call__(self, model, batch: dict, done: float):
        """The loss of a batch; `done` (0 to 1) is the finished part of the run."""
        s = self.settings
        kl, ctc = at(s.kl_weight, done), at(s.ctc_weight, done)
        inputs = {"input_values": batch["input_values"], "attention_mask": batch["attention_mask"]}
        logits, frames = model(**inputs).logits, batch["frames"]
        loss = 0.0 * logits.sum()
        labelled = batch["label_lengths"] > 0
        if ctc and labelled.any():
            labels, lengths = batch["labels"][labelled], batch["label_lengths"][labelled]
            loss = loss + ctc * ctc_loss(logits[labelled], frames[labelled], labels, lengths, self.blank)
        if kl:
            teacher_logits = batch["teacher_logits"] if self.teacher is None else self._online(inputs, logits.shape[1])
            loss = loss + kl * kl_loss(logits, teacher_logits, frames, at(s.temperature, done))
        return loss

    def _online(self, inputs: dict, frames: int):
        """The logits of the teacher beside the student, [batch, frames, vocabulary] at the student's `frames`."""
        assert self.teacher is not None  # where the batch holds no logits
        mask = inputs["attention_mask"]
        half = machine.HALVES.get(self.precision)
        with torch.no_grad(), torch.autocast(mask.device.type, half, enabled=half is not None):
            logits = self.teacher.to(mask.device)(**inputs).logits.float()
        if self.factor == 1:
            return logits
        own = self.teacher._get_feat_extract_output_lengths(mask.sum(1)).tolist()  # without padding
        return padded([pooled(row[:count], self.factor, self.blank) for row, count in zip(logits, own, strict=True)], frames)


def at(ramp: Ramp, done: float) -> float:
    """The value of a weight or temperature at `done` (0 to 1) of the run: a pair changes linearly from first to second."""
    first, last = ramp if isinstance(ramp, tuple) else (ramp, ramp)
    return first + (last - first) * done


def kl_loss(logits, teacher_logits, frames, temperature: float):
    """T^2 * KL(teacher || student), averaged over real frames (Hinton et al. 2015, applied to frames); 0 where there are none.

    logits, teacher_logits: [batch, frames, vocabulary]; frames: [batch], the number of frames without padding.
    """
    student = functional.log_softmax(logits.float() / temperature, -1)
    teacher = functional.log_softmax(teacher_logits.float() / temperature, -1)
    per_frame = (teacher.exp() * (teacher - student)).sum(-1)
    real = inside(logits.shape[1], frames).bool()
    return temperature**2 * per_frame[real].sum() / real.sum().clamp(min=1)
