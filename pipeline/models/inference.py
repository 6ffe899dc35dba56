"""Inference in PyTorch while the pipeline trains and distills: frame logits of a model, and its errors on dev.

Decision: padding must not change results. With a group-norm feature encoder, transformers' own forward pass gives logits that
change with padding (by up to 0.98 at twice the length), so batches go through pipeline.models.forward, which is exact to
1e-5. Because padding has no effect, batches are padded to few distinct lengths: oneDNN prepares its convolutions for every
new shape, which with arbitrary lengths took more than half the time of a training step.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader

from pipeline.models import vocabulary
from pipeline.models.families import is_group_norm
from pipeline.models.forward import padding_invariant
from pipeline.speech import audio, text
from pipeline.speech.corpus import AudioCorpus, durations
from pipeline.speech.scoring import scoring
from pipeline.speech.shards import Utterance

BATCH_SECONDS = 60.0
STEP = 8000  # samples


def device_of_choice() -> str:
    """'cuda' where there is a GPU, else 'cpu'."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def model_inputs(processor, waveforms: list[np.ndarray], least: int = 0) -> torch.Tensor:
    """input_values [batch, samples], padded to a multiple of STEP that is at least `least`.

    Each waveform is normalized before it is padded: for a group-norm model the extractor would include a batch's padding
    in mean and variance.
    """
    extractor = processor.feature_extractor
    rows = [torch.from_numpy(extractor(w, sampling_rate=audio.SAMPLE_RATE).input_values[0]) for w in waveforms]
    return padded(rows, whole_steps(max(least, *map(len, rows))))


def whole_steps(samples: int) -> int:
    """`samples` rounded up to a multiple of STEP."""
    return samples + -samples % STEP


def frame_logits(
    model, processor, corpus: AudioCorpus, utterances: Sequence[Utterance]
) -> Iterator[tuple[Utterance, np.ndarray]]:
    """float32 [frames, vocabulary] for each utterance, without padding frames, shortest utterance first."""
    for batch in outputs(model, processor, corpus, utterances, by_length(durations(utterances))):
        for row, logits, frames in zip(batch.rows, batch.logits.cpu().numpy(), batch.frames, strict=True):
            yield utterances[row], logits[:frames]


@dataclass(frozen=True)
class Outputs:
    """A model's outputs for a batch: logits [batch, frames, vocabulary] and features [batch, frames, channels], both float32.

    `rows` says which utterances these are, `frames` how many frames of each are not padding.
    """

    rows: list[int]
    logits: torch.Tensor
    features: torch.Tensor
    frames: list[int]


@torch.inference_mode()
def outputs(
    model,
    processor,
    corpus: AudioCorpus,
    utterances: Sequence[Utterance],
    batches: Iterable[list[int]],
    workers: int = 0,
    bf16: bool = False,
) -> Iterator[Outputs]:
    """The outputs for each batch of rows of `utterances`, on the model's device.

    `workers`: how many processes read audio ahead; 0: this one reads it in between. `bf16`: under autocast, but for the feature
    encoder where it has group norm, whose statistics need the digits.
    """
    network, device = padding_invariant(model), model.device
    loader = DataLoader(
        range(len(utterances)),
        batch_sampler=batches,
        collate_fn=partial(_load, processor, corpus, utterances),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # otherwise the loader would draw from the generator of a training that measures on dev
    )
    for rows, inputs, lengths in loader:
        yield Outputs(rows, *forward(network, inputs.to(device, non_blocking=True), lengths.to(device), bf16))


def forward(network, inputs: torch.Tensor, lengths: torch.Tensor, bf16: bool) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Logits, features and frames, see Outputs, of a `padding_invariant` model for inputs [batch, samples]."""
    kind, config = inputs.device.type, network.model.config
    with torch.autocast(kind, torch.bfloat16, enabled=bf16 and not is_group_norm(config)):
        features, frames = network.features(inputs, lengths)
    with torch.autocast(kind, torch.bfloat16, enabled=bf16):
        logits = network.logits(features, frames)
    return logits.float(), features.transpose(1, 2).float(), frames.tolist()


def _load(processor, corpus: AudioCorpus, utterances: Sequence[Utterance], rows: list[int]):
    """The rows, their input_values [batch, samples] and lengths [batch] in samples."""
    waveforms = [corpus.audio(utterances[row]) for row in rows]
    return rows, model_inputs(processor, waveforms), torch.tensor([len(waveform) for waveform in waveforms])


def by_length(durations: np.ndarray, first: int = 0) -> Iterator[list[int]]:
    """Rows from `first` on, shortest first, in batches of up to BATCH_SECONDS, padding included, or of one longer utterance."""
    batch: list[int] = []
    for row in np.argsort(durations, kind="stable").tolist():
        if batch and durations[row] * (len(batch) + 1) > BATCH_SECONDS:
            yield batch
            batch = []
        batch.append(first + row)
    if batch:
        yield batch


def dev_errors(model, processor, corpus: AudioCorpus, utterances: Sequence[Utterance]) -> tuple[int, int]:
    """(errors, length of the references) of greedy decoding, in words or characters: the unit of the corpus's objective."""
    known = vocabulary.of(processor.tokenizer, model.config.vocab_size)
    heard = frame_logits(model, processor, corpus, utterances)
    return scoring(corpus.rules).errors(
        (utterance.text, text.greedy(logits.argmax(-1), known.texts, known.blank)) for utterance, logits in heard
    )


def padded(rows: list[torch.Tensor], length: int = 0) -> torch.Tensor:
    """Rows of different lengths [n, ...] -> [rows, longest or `length`, ...], padded with zeros."""
    filled = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    more = max(0, length - filled.shape[1])
    return torch.nn.functional.pad(filled, [0, 0] * (filled.dim() - 2) + [0, more])
