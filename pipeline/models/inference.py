"""What a model folder computes while the pipeline trains and distills: frame logits in PyTorch, and the dev WER.

Decision: padding must not matter. A group-norm front end's logits change with padding (by up to 0.98 at twice the length),
so batches go through pipeline.models.forward, which is exact to 1e-5, and not through transformers' own forward. As padding
is free of effect, batches have few lengths: oneDNN prepares its convolutions anew for every shape, which at free lengths
took more than half the time of a training step.
"""

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import torch

from pipeline.common.progress import Progress
from pipeline.models.forward import unpadded
from pipeline.speech import audio, text
from pipeline.speech.corpus import Corpus, Utterance

BATCH_SECONDS = 60.0
STEP = 8000  # samples


def device_of_choice() -> str:
    """'cuda' where there is a GPU, else 'cpu'."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def model_inputs(processor, waveforms: list[np.ndarray]) -> torch.Tensor:
    """input_values [batch, samples], padded to a whole number of STEP.

    Each waveform is normalized before it is padded: the extractor on its own would let the padding of a group-norm
    model's batch into mean and variance.
    """
    extractor = processor.feature_extractor
    rows = [torch.from_numpy(extractor(w, sampling_rate=audio.SAMPLE_RATE).input_values[0]) for w in waveforms]
    return padded(rows, whole_steps(max(map(len, rows))))


def whole_steps(samples: int) -> int:
    """So many samples, rounded up to a whole number of STEP."""
    return samples + -samples % STEP


def frame_logits(
    model, processor, corpus: Corpus, utterances: list[Utterance], what: str | None = None
) -> Iterator[tuple[Utterance, np.ndarray]]:
    """float32 [frames, vocabulary] for each utterance, without padding frames, by rising length.

    In batches of BATCH_SECONDS, padding included. `what` names the work in progress lines; None is silent.
    """
    for utterance, logits, _ in frame_logits_and_front_end(model, processor, corpus, utterances, what):
        yield utterance, logits


@torch.inference_mode()
def frame_logits_and_front_end(
    model, processor, corpus: Corpus, utterances: list[Utterance], what: str | None = None
) -> Iterator[tuple[Utterance, np.ndarray, torch.Tensor]]:
    """`frame_logits`, and what the front end gave [frames, channels], on the model's device still, as few want it."""
    forward = unpadded(model)
    progress = Progress(what, sum(u.duration for u in utterances), "s of audio") if what else None
    with progress or nullcontext():
        for group in _groups(sorted(utterances, key=lambda u: u.duration), BATCH_SECONDS):
            waveforms = [corpus.audio(u) for u in group]
            lengths = torch.tensor([len(w) for w in waveforms], device=model.device)
            inputs = model_inputs(processor, waveforms).to(model.device)
            features, frames = forward.front_end(inputs, lengths)
            logits = forward.encoded(features, frames).float().cpu().numpy()
            for utterance, rows, given, count in zip(group, logits, features.transpose(1, 2), frames.tolist(), strict=True):
                yield utterance, rows[:count], given[:count]
            if progress:
                progress.advance(sum(u.duration for u in group))


def _groups(utterances: list[Utterance], seconds: float) -> Iterator[list[Utterance]]:
    """Consecutive utterances that fit in `seconds` when padded; single ones where they don't."""
    group: list[Utterance] = []
    for utterance in utterances:
        if group and max(u.duration for u in [*group, utterance]) * (len(group) + 1) > seconds:
            yield group
            group = []
        group.append(utterance)
    if group:
        yield group


def dev_wer(model, processor, corpus: Corpus, utterances: list[Utterance]) -> tuple[int, int]:
    """(wrong words, reference words) of greedy decoding."""
    import jiwer

    tokenizer = processor.tokenizer
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    references, hypotheses = [], []
    for utterance, logits in frame_logits(model, processor, corpus, utterances):
        references.append(utterance.text)
        hypotheses.append(text.greedy(logits.argmax(-1), tokens, tokenizer.pad_token_id, tokenizer.word_delimiter_token))
    if not references:
        return 0, 0
    words = jiwer.process_words(references, hypotheses)
    return words.substitutions + words.deletions + words.insertions, words.hits + words.substitutions + words.deletions


def padded(rows: list[torch.Tensor], length: int = 0) -> torch.Tensor:
    """Rows of unlike length [n, ...] -> [rows, longest or `length`, ...], filled up with zeros."""
    filled = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    more = max(0, length - filled.shape[1])
    return torch.nn.functional.pad(filled, [0, 0] * (filled.dim() - 2) + [0, more])
