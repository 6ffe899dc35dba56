"""How much of the teacher a shape keeps: its KL divergence on dev, after surgery and after a short distillation.

Decision: KL of the student's distribution over characters from the teacher's, in nats per second of audio, so that frame rates
compare: it tells shapes apart that both recognize no word yet. For fewer frames the teacher's are pooled, as in the training.
Weights are in float32; what a scheme loses comes on top and is not foretold. The short distillation (from the teacher's logits
of some minutes of train, without labels) ranks shapes, since a cut alone says little of what a shape can learn. Successive
halving (Jamieson & Talwalkar 2016; optuna's pruner) gives most of the time to the best.
"""

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.common.progress import Progress
from pipeline.distill.loss import kl_loss
from pipeline.distill.pooling import pooled
from pipeline.distill.student import importance_audio
from pipeline.distill.surgery import student
from pipeline.models import vocabulary
from pipeline.models.forward import frames_in_one, ignore_padding, inside
from pipeline.models.inference import BATCH_SECONDS, device_of_choice, frame_logits, model_inputs, padded
from pipeline.params import Student
from pipeline.propose.machine import Teacher
from pipeline.propose.shapes import Shape
from pipeline.speech.corpus import durations, spread
from pipeline.speech.shards import Utterance

DEV, TRAIN = 48, 192  # utterances, evenly spaced
RUNGS = (20, 40, 80, 160)  # steps at which shapes are compared, and the worse are left
FACTOR = 2  # of those compared at a rung one in so many goes on
STEP_SECONDS, LEARNING_RATE, WARMUP, LONGEST_GRADIENT = 10.0, 1e-3, 10, 1.0
log = logging.getLogger(__name__)

Spoken = tuple[Utterance, np.ndarray]  # with the teacher's logits [frames, vocabulary]


@dataclass(frozen=True)
class Kept:
    """KL to the teacher on dev in nats per second: after surgery, and after so many steps of the short distillation."""

    initial: float
    trained: float
    steps: int

    @property
    def finished(self) -> bool:
        return self.steps == RUNGS[-1]


class Quality:
    """Ranks shapes of one teacher's students."""

    def __init__(self, teacher: Teacher, seed: int = 0):
        self.teacher, self.seed = teacher, seed
        self.audio = importance_audio(teacher.corpus, teacher.processor, Student.model_fields["importance_utterances"].default)
        self.heard = {split: self._heard(split, count) for split, count in (("dev", DEV), ("train", TRAIN))}

    def _heard(self, split: str, count: int) -> list[Spoken]:
        chosen = spread(self.teacher.corpus.utterances(split), count)
        short = [utterance for utterance in chosen if utterance.duration <= BATCH_SECONDS / 2]
        return list(frame_logits(self.teacher.model, self.teacher.processor, self.teacher.corpus, short))

    def of(self, shapes: Sequence[Shape]) -> list[Kept]:
        """How much of the teacher each of them keeps, in their order."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        initial = [self.kl(self._cut(shape)) for shape in shapes]
        study = optuna.create_study(pruner=optuna.pruners.SuccessiveHalvingPruner(RUNGS[0], FACTOR))
        kept = dict[int, Kept]()
        with Progress("distilling for a short time", len(shapes), "shapes") as progress:
            for index in sorted(range(len(shapes)), key=initial.__getitem__):  # the best first, so that it is soon a measure
                trial = study.ask()
                for steps, value in self._distilled(self._cut(shapes[index])):
                    kept[index] = Kept(initial[index], value, steps)
                    trial.report(value, steps)
                    if steps < RUNGS[-1] and trial.should_prune():
                        break
                study.tell(trial, value)
                progress.advance(1)
        return [kept[index] for index in range(len(shapes))]

    def to_the_end(self, shape: Shape) -> Kept:
        """How much of the teacher one shape keeps, distilled to the last step whatever others keep."""
        model = self._cut(shape)
        initial = self.kl(model)
        *_, (steps, value) = self._distilled(model)
        return Kept(initial, value, steps)

    def _cut(self, shape: Shape):
        settings = Student.model_validate({"from": "teacher", "training": None} | shape)
        return student.build(self.teacher.model, settings, self.audio)[0].eval()

    def _spoken(self, split: str, config) -> list[Spoken]:
        """Utterances with the teacher's logits at the frames of a student with this config."""
        teacher = self.teacher.config
        factor = frames_in_one(config.conv_stride, teacher.conv_stride)
        if factor == 1:
            return self.heard[split]
        blank = vocabulary.of(self.teacher.processor.tokenizer, teacher.vocab_size).blank
        return [(heard, pooled(torch.from_numpy(logits), factor, blank).numpy()) for heard, logits in self.heard[split]]

    def kl(self, model) -> float:
        """The model's KL to the teacher on dev, in nats per second of audio."""
        total, dev = 0.0, self._spoken("dev", model.config)
        utterances = [utterance for utterance, _ in dev]
        own = frame_logits(model, self.teacher.processor, self.teacher.corpus, utterances)
        expected = {utterance.id: logits for utterance, logits in dev}
        for utterance, logits in own:
            length = torch.tensor([len(logits)])
            student_logits, teacher_logits = (torch.from_numpy(rows)[None] for rows in (logits, expected[utterance.id]))
            total += len(logits) * float(kl_loss(student_logits, teacher_logits, length, 1.0))
        return total / float(durations(utterances).sum())

    def _distilled(self, model) -> Iterator[tuple[int, float]]:
        """(steps, KL on dev) at each of RUNGS."""
        device = device_of_choice()
        model.to(device)
        ignore_padding(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
        batches = self._batches(self._spoken("train", model.config))
        for step in range(1, RUNGS[-1] + 1):
            model.train()
            inputs, lengths, expected = (tensor.to(device) for tensor in next(batches))
            mask = inside(inputs.shape[1], lengths).long()
            frames = model._get_feat_extract_output_lengths(lengths)
            logits = model(inputs, attention_mask=mask).logits
            kl_loss(logits[:, : expected.shape[1]], expected, frames, 1.0).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), LONGEST_GRADIENT)
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, step / WARMUP)
            optimizer.step()
            optimizer.zero_grad()
            if step in RUNGS:
                yield step, self.kl(model.eval())

    def _batches(self, spoken: list[Spoken]) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Model inputs [batch, samples], their lengths and the teacher's logits, the same for every shape."""
        draw = random.Random(self.seed)
        longest = float(durations([utterance for utterance, _ in spoken]).max())
        size = max(1, int(STEP_SECONDS / longest))
        while True:
            chosen = [spoken[draw.randrange(len(spoken))] for _ in range(size)]
            waveforms = [self.teacher.corpus.audio(utterance) for utterance, _ in chosen]
            lengths = torch.tensor([waveform.size for waveform in waveforms])
            expected = padded([torch.from_numpy(logits) for _, logits in chosen])
            yield model_inputs(self.teacher.processor, waveforms), lengths, expected
