"""Inference in PyTorch while the pipeline trains and distills: frame logits of a model, and its errors on dev.

Decision: padding must not change results. With a group-norm feature encoder, transformers' own forward pass gives logits that
change with padding (by up to 0.98 at twice the length), so batches go through pipeline.models.forward, which is exact to
1e-5. Because padding has no effect, batches are padded to few distinct lengths: oneDNN prepares its convolutions for every
new shape, which with arbitrary lengths took more than half the time of a training step.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import torch

from pipeline.common.progress import Progress
from pipeline.models import vocabulary
from pipeline.models.forward import padding_invariant
from pipeline.speech import audio, text
from pipeline.speech.corpus import AudioCorpus, durations
from pipeline.speech.scoring import count_errors, scoring
from pipeline.speech.shards import Utterance

BATCH_SECONDS = 60.0
STEP = 8000  # samples


def device_of_choice() -> str:
    """'cuda' where there is a GPU, else 'cpu'."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def model_inputs(processor, waveforms: list[np.ndarray]) -> torch.Tensor:
    """input_values [batch, samples], padded to a multiple of STEP.

    Each waveform is normalized before it is padded: for a group-norm model the extractor would include a batch's padding
    in mean and variance.
    """
    extractor = processor.feature_extractor
    rows = [torch.from_numpy(extractor(w, sampling_rate=audio.SAMPLE_RATE).input_values[0]) for w in waveforms]
    return padded(rows, whole_steps(max(map(len, rows))))


def whole_steps(samples: int) -> int:
    """`samples` rounded up to a multiple of STEP."""
    return samples + -samples % STEP


def frame_logits(
    model, processor, corpus: AudioCorpus, utterances: Sequence[Utterance], what: str | None = None
) -> Iterator[tuple[Utterance, np.ndarray]]:
    """float32 [frames, vocabulary] for each utterance, without padding frames, shortest utterance first.

    Batches hold up to BATCH_SECONDS, padding included. `what` names the work in progress lines; None logs nothing.
    """
    for utterance, logits, _ in frame_logits_and_features(model, processor, corpus, utterances, what):
        yield utterance, logits


@torch.inference_mode()
def frame_logits_and_features(
    model, processor, corpus: AudioCorpus, utterances: Sequence[Utterance], what: str | None = None
) -> Iterator[tuple[Utterance, np.ndarray, torch.Tensor]]:
    """`frame_logits` with the feature encoder's output [frames, channels], left on the model's device as few callers use it."""
    network = padding_invariant(model)
    seconds = durations(utterances)
    progress = Progress(what, float(seconds.sum()), "s of audio") if what else None
    with progress or nullcontext():
        for rows in _groups(seconds, BATCH_SECONDS):
            group = [utterances[row] for row in rows]
            waveforms = [corpus.audio(u) for u in group]
            lengths = torch.tensor([len(w) for w in waveforms], device=model.device)
            inputs = model_inputs(processor, waveforms).to(model.device)
            features, frames = network.features(inputs, lengths)
            logits = network.logits(features, frames).float().cpu().numpy()
            for utterance, rows, encoded, count in zip(group, logits, features.transpose(1, 2), frames.tolist(), strict=True):
                yield utterance, rows[:count], encoded[:count]
            if progress:
                progress.advance(sum(u.duration for u in group))


def _groups(durations: np.ndarray, seconds: float) -> Iterator[list[int]]:
    """Rows, shortest first, in groups that fit in `seconds` when padded; an utterance that is longer gets its own group."""
    group: list[int] = []
    for row in np.argsort(durations, kind="stable"):
        if group and durations[row] * (len(group) + 1) > seconds:
            yield group
            group = []
        group.append(int(row))
    if group:
        yield group


def dev_errors(model, processor, corpus: AudioCorpus, utterances: Sequence[Utterance]) -> tuple[int, int]:
    """(errors, length of the references) of greedy decoding, in words or characters: the unit of the corpus's objective."""
    scored_as = scoring(corpus.rules)
    known = vocabulary.of(processor.tokenizer, model.config.vocab_size)
    errors = length = 0
    for utterance, logits in frame_logits(model, processor, corpus, utterances):
        hypothesis = text.greedy(logits.argmax(-1), known.texts, known.blank)
        counted = count_errors(utterance.text, scored_as.written(hypothesis), scored_as.objective)
        errors, length = errors + counted.errors, length + counted.length
    return errors, length


def padded(rows: list[torch.Tensor], length: int = 0) -> torch.Tensor:
    """Rows of different lengths [n, ...] -> [rows, longest or `length`, ...], padded with zeros."""
    filled = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    more = max(0, length - filled.shape[1])
    return torch.nn.functional.pad(filled, [0, 0] * (filled.dim() - 2) + [0, more])
