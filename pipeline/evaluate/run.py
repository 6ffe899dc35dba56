"""evaluate: the hypotheses of one variant on dev and every test set, and their errors.

Decision: a score depends on files alone (not on time or host), so that DVC may keep it for ever. Utterances are transcribed one
by one, as in the benchmark: what is scored is what is timed, and padding has no effect. The signal-to-noise ratio is stored
with every hypothesis, because small models fail first in noise.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.common.progress import Progress
from pipeline.evaluate import scores
from pipeline.evaluate.scores import Score, SetScore
from pipeline.evaluate.wer import score
from pipeline.params import Evaluate
from pipeline.recognition import seal
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.audio import SAMPLE_RATE
from pipeline.speech.corpus import Corpus
from pipeline.speech.scoring import scoring

FRAME, HOP = SAMPLE_RATE * 25 // 1000, SAMPLE_RATE * 10 // 1000
LEAST_FRAMES = 20
QUIETEST = 1 / (12 * 32768**2)  # the power of 16-bit rounding: the audio of a corpus is never quieter

log = logging.getLogger(__name__)


def evaluate(settings: Evaluate, variant_folder: Path, corpus: Corpus, out: Path) -> Score:
    """Score a variant and write scores/MODEL.SCHEME.json.

    Raises BigfootError where the variant can't be opened or its files have changed.
    """
    info = seal.read(variant_folder)
    recognizer = Recognizer.load(variant_folder)
    score = Score(
        **{key: info[key] for key in ("variant", "model", "scheme")},
        files=seal.mark(info),
        first_test=corpus.test_sets[0],
        sets={name: _evaluate_set(recognizer, corpus, name, settings) for name in ("dev", *corpus.test_sets)},
    )
    scores.write(out, score)
    return score


def snr_db(samples: np.ndarray) -> float | None:
    """An estimate of the signal-to-noise ratio of float [T] in dB: the power of its loud frames over that of its quiet ones.

    The frames last 25 ms, one every 10 ms; loud is the 95th percentile of their power (speech), quiet the 10th (pauses).
    Without pauses the quiet frames are speech too, and the estimate is too low; digital silence counts as 16-bit rounding.
    None for fewer than 20 frames (about 0.2 s) and for silence.
    """
    if len(samples) < FRAME + (LEAST_FRAMES - 1) * HOP:
        return None
    samples = samples.astype(np.float64) - samples.mean(dtype=np.float64)
    summed = np.concatenate([[0.0], np.cumsum(samples**2)])
    starts = np.arange(0, len(samples) - FRAME + 1, HOP)
    power = np.maximum((summed[starts + FRAME] - summed[starts]) / FRAME, QUIETEST)
    quiet, loud = np.quantile(power, [0.1, 0.95])
    return None if loud <= QUIETEST else round(float(10 * np.log10(loud / quiet)), 2)


def _evaluate_set(recognizer: Recognizer, corpus: Corpus, name: str, settings: Evaluate) -> SetScore:
    utterances, hypotheses, ratios = corpus.utterances(name), [], []
    scored_as = scoring(corpus.info)
    title = f"{recognizer.info['variant']} on {name}"
    with Progress(title, sum(utterance.duration for utterance in utterances), "s of audio") as progress:
        for utterance in utterances:
            samples = corpus.audio(utterance)
            hypotheses.append(scored_as.written(recognizer.transcribe(samples)))
            ratios.append(snr_db(samples))
            progress.advance(utterance.duration)
    scored = score(utterances, hypotheses, settings.bootstrap, settings.seed)
    log.info(
        "%s: WER %.2f%% [%.2f, %.2f] of %d words, CER %.2f%% [%.2f, %.2f] of %d characters",
        title, 100 * scored.wer, 100 * scored.wer_low, 100 * scored.wer_high, scored.words,
        100 * scored.cer, 100 * scored.cer_low, 100 * scored.cer_high, scored.characters,
    )  # fmt: skip
    rows = [replace(row, snr_db=ratio) for row, ratio in zip(scored.hypotheses, ratios, strict=True)]
    return replace(scored, hypotheses=rows)
