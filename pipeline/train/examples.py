"""What a model learns from: utterances as tensors, augmented, and joined where `training.augment.join` asks for it.

Joining is for corpora of short recordings: a CTC model learns from single words slowly, since most of what it has to output is
one word's letters in the same place. Texts and the teacher's stored logits are joined like the audio.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from pipeline.models import vocabulary
from pipeline.models.forward import fewest_samples, inside
from pipeline.models.inference import model_inputs, padded, whole_steps
from pipeline.params import Augment
from pipeline.speech import audio
from pipeline.speech.shards import Utterance
from pipeline.train.batches import PAUSE_SECONDS, Key
from pipeline.train.job import Job

PAUSE_LEVEL = 1e-3  # standard deviation of its noise, of full scale


class Speech(Dataset):
    """Training items: labels, an augmented waveform or stored features, and, for a student, the teacher's logits.

    An item is one utterance, or several that are joined with pauses between them.
    """

    def __init__(self, job: Job, utterances: Dataset | Sequence[Utterance]):
        self.job, self.utterances = job, utterances
        self.vocabulary = vocabulary.of(job.processor.tokenizer, job.model.config.vocab_size)
        self.gap = " " if self.vocabulary.gap_name else ""
        self.stride = math.prod(job.model.config.conv_stride)

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, key: Key) -> dict:
        epoch, rows = key
        utterances = [self.utterances[row] for row in rows]
        item: dict[str, Any] = {"labels": self._labels(utterances)}
        if self.job.features is not None:
            item["features"] = self.job.features(utterances[0])
            item["samples"] = fewest_samples(self.job.model.config, len(item["features"]))
            starts = [0]
        else:
            rng = np.random.default_rng((self.job.training.seed, epoch, *rows))
            waveform, starts = joined([self.job.corpus.audio(utterance) for utterance in utterances], self.stride, rng)
            item["waveform"] = augment(waveform, self.job.training.augment, rng)
            item["samples"] = len(item["waveform"])
        if self.job.teacher_logits is not None:
            logits = [self.job.teacher_logits(utterance) for utterance in utterances]
            item["teacher_logits"] = joined_logits(logits, [start // self.stride for start in starts], self.vocabulary.blank)
        return item

    def _labels(self, utterances: list[Utterance]) -> list[int]:
        if text := self.gap.join(utterance.text for utterance in utterances):
            return self.vocabulary.spell(text)
        return self.job.pseudo_labels(utterances[0]) if self.job.pseudo_labels else []

    def collate(self, items: list[dict]) -> dict:
        """A batch: input_values and attention_mask [batch, samples], labels [batch, n], lengths, teacher_logits.

        With stored features, input_values are these: [batch, frames, channels].
        """
        frames_of, samples = self.job.model._get_feat_extract_output_lengths, torch.tensor([i["samples"] for i in items])
        config = self.job.model.config
        span = config.mask_time_length if config.mask_time_prob > 0 else 0  # of SpecAugment, which has to fit into the batch
        longest = whole_steps(max(int(samples.max()), fewest_samples(config, span)))
        if self.job.features is not None:
            features = [torch.from_numpy(i["features"]).float() for i in items]
            batch = {"input_values": padded(features, int(frames_of(longest)))}
        else:
            batch = {"input_values": model_inputs(self.job.processor, [i["waveform"] for i in items], longest)}
        batch["attention_mask"] = inside(longest, samples).long()
        batch["frames"] = frames_of(samples)
        batch["labels"] = padded([torch.tensor(i["labels"], dtype=torch.long) for i in items])
        batch["label_lengths"] = torch.tensor([len(i["labels"]) for i in items])
        if "teacher_logits" in items[0]:
            batch["teacher_logits"] = padded([torch.from_numpy(i["teacher_logits"]) for i in items], int(frames_of(longest)))
        return batch


def joined(waveforms: list[np.ndarray], stride: int, rng: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """Waveforms float32 [T] one after another, with pauses of faint noise between them, and the sample at which each starts.

    Each starts at a whole number of a model's frames, whose length is `stride`, so that its frames stay what they are.
    """
    if len(waveforms) == 1:
        return waveforms[0], [0]
    starts, parts = [0], [waveforms[0]]
    for waveform in waveforms[1:]:
        end = starts[-1] + len(parts[-1])
        start = end + round(rng.uniform(*PAUSE_SECONDS) * audio.SAMPLE_RATE)
        start += -start % stride
        parts += [rng.normal(0, PAUSE_LEVEL, start - end).astype(np.float32), waveform]
        starts.append(start)
    return np.concatenate(parts), starts


def joined_logits(logits: list[np.ndarray], starts: list[int], blank: int) -> np.ndarray:
    """The teacher's logits of joined utterances, each [frames, vocabulary], at the frames where these start.

    A pause gets the frame of these utterances that is most certain to be blank: the teacher was not asked about it.
    """
    if len(logits) == 1:
        return logits[0]
    frames = np.concatenate(logits)
    certainty = frames[:, blank] - np.log(np.exp(frames - frames.max(1, keepdims=True)).sum(1)) - frames.max(1)
    out = np.repeat(frames[certainty.argmax()][None], starts[-1] + len(logits[-1]), axis=0)
    for start, rows in zip(starts, logits, strict=True):
        out[start : start + len(rows)] = rows
    return out


def augment(waveform: np.ndarray, settings: Augment, rng: np.random.Generator) -> np.ndarray:
    """float32 [T] -> float32 [T'], with a random change of speed (T' = T / factor) and white noise, as `settings` define."""
    if settings.speed is not None:
        factor = rng.uniform(*settings.speed)
        waveform = audio.change_rate(waveform, audio.SAMPLE_RATE * factor, audio.SAMPLE_RATE)
    if settings.noise_probability and rng.random() < settings.noise_probability:
        from torchaudio.functional import add_noise

        noise = torch.from_numpy(rng.standard_normal(len(waveform)).astype(np.float32))
        snr = torch.tensor(rng.uniform(*settings.noise_snr_db), dtype=torch.float32)
        waveform = add_noise(torch.from_numpy(waveform), noise, snr).numpy()
    return waveform
