"""How well a shape learns from the teacher: its CTC loss on dev, after surgery and after a short distillation.

Decision: the loss on dev's texts, in nats per character, tells shapes apart that both recognize no word yet. It is that of the
whole text; a sum of KL divergences over frames, which is what the distillation lowers, is nearly halved by half the frames,
also where the model is worse. Weights are in float32; what a scheme loses comes on top and is not foretold. The short
distillation (from the teacher's logits of some minutes of train, without labels) ranks shapes of one frame rate, since a cut
alone says little of what a shape can learn. Successive halving (Jamieson & Talwalkar 2016) gives most of the time to the best.
It goes in step, all shapes to 20 steps before any to 40: asynchronous pruners, which judge a shape by those before it, would
stop most by the loss of their cut, since the best come first. At most half of the shapes and one are in memory at a time.
"""

import math
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import set_seed

from pipeline.common.errors import BigfootError
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
from pipeline.train import fitting
from pipeline.train.ctc import ctc_loss

DEV, TRAIN = 48, 192  # utterances, evenly spaced
RUNGS = (20, 40, 80, 160)  # steps at which shapes are compared, and the worse are left
STEP_AUDIO, LONGEST = 10.0, BATCH_SECONDS / 2  # seconds per step, and of an utterance
LEARNING_RATE, WARMUP, LONGEST_GRADIENT = 1e-3, 10, 1.0


@dataclass(frozen=True)
class Kept:
    """CTC loss on dev in nats per character: after surgery, and after so many steps of the short distillation."""

    initial: float
    trained: float
    steps: int

    @property
    def finished(self) -> bool:
        return self.steps == RUNGS[-1] and math.isfinite(self.trained)


class Quality:
    """Ranks shapes of one teacher's students."""

    def __init__(self, teacher: Teacher, seed: int = 0):
        self.teacher, self.seed = teacher, seed
        measured_on = spread(teacher.corpus.utterances("train"), Student.model_fields["importance_utterances"].default)
        self.audio = importance_audio(teacher.corpus, teacher.processor, measured_on)
        self.vocabulary = vocabulary.of(teacher.processor.tokenizer, teacher.config.vocab_size)
        self.dev = _short(self._written(), DEV)
        if not self.dev:
            raise BigfootError(
                f"dev has no utterance of at most {LONGEST:g} s with a text that students of this teacher can write: "
                "propose ranks shapes by such utterances"
            )
        heard = _short(teacher.corpus.utterances("train"), TRAIN)
        if not heard:
            raise BigfootError(f"train has no utterance of at most {LONGEST:g} s: propose distills with such utterances")
        self.train = list(frame_logits(teacher.model, teacher.processor, teacher.corpus, heard))

    def _written(self) -> list[Utterance]:
        """Those of dev with a text, of characters that the vocabulary has, that fits into half of the teacher's frames."""
        dev = self.teacher.corpus.utterances("dev")
        fit = fitting.frames(self.teacher.config, durations(dev)) // 2 >= fitting.frames_needed_by(dev)
        return [
            each for each, fits in zip(dev, fit, strict=True) if fits and each.text and not self.vocabulary.lacking([each.text])
        ]

    def of(self, shapes: Sequence[Shape]) -> list[Kept]:
        """How well each of them learns, in their order; the better half goes on after each of RUNGS."""
        running = {index: self._learning(shape) for index, shape in enumerate(shapes)}
        kept, counts = dict[int, Kept](), [math.ceil(len(shapes) / 2**rung) for rung in range(len(RUNGS))]
        spans = [end - begin for begin, end in zip((0, *RUNGS), RUNGS, strict=False)]
        steps = sum(count * span for count, span in zip(counts, spans, strict=True))
        with Progress("distilling for a short time", steps, "steps") as progress:
            for span, going_on in zip(spans, [*counts[1:], 0], strict=True):
                better = dict[int, Iterator[Kept]]()
                for index in list(running):
                    learning = running.pop(index)
                    kept[index], better[index] = next(learning), learning
                    if len(better) > going_on:  # at once, so that its model leaves the memory
                        better.pop(max(better, key=lambda each: kept[each].trained))
                    progress.advance(span)
                running = better
        return [kept[index] for index in range(len(shapes))]

    def to_the_end(self, shape: Shape) -> Kept:
        """How well one shape learns, distilled to the last step whatever others reach."""
        *_, kept = self._learning(shape)
        return kept

    def _learning(self, shape: Shape) -> Iterator[Kept]:
        """How well a shape does at each of RUNGS; its model is made when the first is asked for."""
        model = self._cut(shape)
        initial = self.loss(model)
        for steps, loss in self._distilled(model):
            yield Kept(initial, loss if math.isfinite(loss) else math.inf, steps)

    def _cut(self, shape: Shape):
        settings = Student.model_validate({"from": "teacher", "training": None} | shape)
        return student.build(self.teacher.model, settings, self.audio)[0].eval()

    def loss(self, model) -> float:
        """The model's mean CTC loss on dev, in nats per character."""
        losses = []
        for utterance, logits in frame_logits(model, self.teacher.processor, self.teacher.corpus, self.dev):
            labels = torch.tensor([self.vocabulary.spell(utterance.text)])
            frames, length = torch.tensor([len(logits)]), torch.tensor([labels.shape[1]])
            losses.append(float(ctc_loss(torch.from_numpy(logits)[None], frames, labels, length, self.vocabulary.blank)))
        return statistics.mean(losses)

    def _distilled(self, model) -> Iterator[tuple[int, float]]:
        """(steps, CTC loss on dev) at each of RUNGS."""
        device = device_of_choice()
        model.to(device)
        ignore_padding(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
        batches = self._batches(frames_in_one(model.config.conv_stride, self.teacher.config.conv_stride))
        for step in range(1, RUNGS[-1] + 1):
            model.train()
            inputs, lengths, expected = (tensor.to(device) for tensor in next(batches))
            mask = inside(inputs.shape[1], lengths).long()
            frames = model._get_feat_extract_output_lengths(lengths)
            set_seed(self.seed + step)  # of dropout and masks: shapes differ in nothing that is drawn
            logits = model(inputs, attention_mask=mask).logits
            kl_loss(logits[:, : expected.shape[1]], expected, frames, 1.0).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), LONGEST_GRADIENT)
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, step / WARMUP)
            optimizer.step()
            optimizer.zero_grad()
            if step in RUNGS:
                yield step, self.loss(model.eval())

    def _batches(self, factor: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Model inputs [batch, samples], their lengths and the teacher's logits, the same for every shape; the logits are
        pooled to frames that are `factor` times as long as the teacher's."""
        draw, blank = random.Random(self.seed), self.vocabulary.blank
        spoken = [(heard, torch.from_numpy(logits)) for heard, logits in self.train]
        if factor > 1:
            spoken = [(heard, pooled(logits, factor, blank)) for heard, logits in spoken]
        longest = float(durations([utterance for utterance, _ in spoken]).max())
        size = max(1, int(STEP_AUDIO / longest))
        while True:
            chosen = [spoken[draw.randrange(len(spoken))] for _ in range(size)]
            waveforms = [self.teacher.corpus.audio(utterance) for utterance, _ in chosen]
            lengths = torch.tensor([waveform.size for waveform in waveforms])
            yield model_inputs(self.teacher.processor, waveforms), lengths, padded([logits for _, logits in chosen])


def _short(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """`count` utterances, evenly spaced, of those that are not too long for a short distillation."""
    return spread([utterance for utterance in utterances if utterance.duration <= LONGEST], count)
