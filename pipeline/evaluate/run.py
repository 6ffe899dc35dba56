"""evaluate: what one variant hears on dev and every test set, and how much of it is wrong.

Decision: a score depends on files alone (no time, no host), so that DVC may keep it for ever. Utterances go through one by
one, as they do in the benchmark: what is scored is what is timed, and padding can't touch it. Beside every hypothesis is
kept how far its audio stands out from its own background, because that is where small models fail first.
"""

import json
import logging
import time
from pathlib import Path

import numpy as np

from pipeline.common.files import write_whole
from pipeline.evaluate.wer import score
from pipeline.params import Evaluate
from pipeline.recognition import seal
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.audio import SAMPLE_RATE
from pipeline.speech.corpus import Corpus

FRAME, HOP = SAMPLE_RATE * 25 // 1000, SAMPLE_RATE * 10 // 1000
LEAST_FRAMES = 20
QUIETEST = 1 / (12 * 32768**2)  # the power of 16-bit rounding: nothing quieter is in a corpus's audio

log = logging.getLogger(__name__)


def evaluate(settings: Evaluate, variant_folder: Path, corpus: Corpus, out: Path) -> dict:
    """Score a variant and write scores/MODEL.SCHEME.json: {variant, model, scheme, files, first_test, sets: {dev: ..., ...}}.

    `files` is the mark of the variant's seal: whose weights were heard. A set is what `scoring.score` says of it, with
    `snr_db` added to each of its hypotheses.

    Raises BigfootError where the variant can't be opened.
    """
    recognizer = Recognizer.load(variant_folder)
    seal.check(variant_folder, recognizer.info, sums=True)
    head = {key: recognizer.info[key] for key in ("variant", "model", "scheme")}
    sets = {name: _evaluate_set(recognizer, corpus, name, settings) for name in ("dev", *corpus.test_sets)}
    scored = {**head, "files": seal.mark(recognizer.info), "first_test": corpus.test_sets[0], "sets": sets}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, json.dumps(scored, indent=1, ensure_ascii=False) + "\n")
    return scored


def snr_db(samples: np.ndarray) -> float | None:
    """How many dB the loud frames of float [T] lie above its quiet ones: an estimate of the signal-to-noise ratio.

    The 95th percentile of the power of 25 ms frames, every 10 ms, over the 10th: the speech, and what is left in its
    pauses. Without pauses the quiet frames are speech too, and it reads low; digital silence in them counts as 16-bit
    rounding. None where there are fewer than 20 frames (0.2 s) or nothing but silence.
    """
    if len(samples) < FRAME + (LEAST_FRAMES - 1) * HOP:
        return None
    samples = samples.astype(np.float64) - samples.mean(dtype=np.float64)
    summed = np.concatenate([[0.0], np.cumsum(samples**2)])
    starts = np.arange(0, len(samples) - FRAME + 1, HOP)
    power = np.maximum((summed[starts + FRAME] - summed[starts]) / FRAME, QUIETEST)
    quiet, loud = np.quantile(power, [0.1, 0.95])
    return None if loud <= QUIETEST else round(float(10 * np.log10(loud / quiet)), 2)


def _evaluate_set(recognizer: Recognizer, corpus: Corpus, name: str, settings: Evaluate) -> dict:
    utterances, hypotheses, noise = corpus.utterances(name), [], []
    variant, seconds = recognizer.info["variant"], sum(u.duration for u in utterances)
    started, said, done = time.monotonic(), time.monotonic(), 0.0
    for utterance in utterances:
        samples = corpus.audio(utterance)
        hypotheses.append(recognizer.transcribe(samples))
        noise.append(snr_db(samples))
        done += utterance.duration
        if time.monotonic() - said > 10:
            said = time.monotonic()
            rate = done / (said - started)
            log.info(
                "%s on %s: %.0f%%, %.0f s of audio a second, %.0f s left",
                variant, name, 100 * done / seconds, rate, (seconds - done) / rate,
            )  # fmt: skip
    found = score(utterances, hypotheses, settings.bootstrap, settings.seed)
    for row, snr in zip(found["hypotheses"], noise, strict=True):
        row["snr_db"] = snr
    log.info(
        "%s on %s: WER %.2f%% [%.2f, %.2f] of %d words",
        variant, name, *(100 * found[key] for key in ("wer", "wer_low", "wer_high")), found["words"],
    )  # fmt: skip
    return found
