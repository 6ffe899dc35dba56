"""evaluate: what one variant hears on dev and every test set, and how much of it is wrong.

Decision: a score depends on files alone (no time, no host), so that DVC may keep it for ever. Utterances go through one by
one, as they do in the benchmark: what is scored is what is timed, and padding can't touch it.
"""

import json
import logging
import time
from pathlib import Path

from pipeline import sealed
from pipeline.corpus.manifest import Corpus, open_corpus
from pipeline.files import write_whole
from pipeline.params import Evaluate
from pipeline.recognizer import Recognizer
from pipeline.scoring import score

log = logging.getLogger(__name__)


def evaluate(variant_folder: Path, corpus_folder: Path, settings: Evaluate, out: Path) -> dict:
    """Score a variant and write scores/MODEL.SCHEME.json: {variant, model, scheme, first_test, sets: {dev: ..., ...}}.

    Raises BigfootError where the variant or the corpus can't be opened.
    """
    recognizer, corpus = Recognizer.load(variant_folder), open_corpus(corpus_folder)
    sealed.check(variant_folder, recognizer.info, sums=True)
    head = {key: recognizer.info[key] for key in ("variant", "model", "scheme")}
    sets = {name: _evaluate_set(recognizer, corpus, name, settings) for name in ("dev", *corpus.test_sets)}
    scored = {**head, "first_test": corpus.test_sets[0], "sets": sets}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, json.dumps(scored, indent=1, ensure_ascii=False) + "\n")
    return scored


def _evaluate_set(recognizer: Recognizer, corpus: Corpus, name: str, settings: Evaluate) -> dict:
    utterances, hypotheses = corpus.utterances(name), []
    variant, seconds = recognizer.info["variant"], sum(u.duration for u in utterances)
    started, said, done = time.monotonic(), time.monotonic(), 0.0
    for utterance in utterances:
        hypotheses.append(recognizer.transcribe(corpus.audio(utterance)))
        done += utterance.duration
        if time.monotonic() - said > 10:
            said = time.monotonic()
            rate = done / (said - started)
            log.info(
                "%s on %s: %.0f%%, %.0f s of audio a second, %.0f s left",
                variant, name, 100 * done / seconds, rate, (seconds - done) / rate,
            )  # fmt: skip
    found = score(utterances, hypotheses, settings.bootstrap, settings.seed)
    log.info(
        "%s on %s: WER %.2f%% [%.2f, %.2f] of %d words",
        variant, name, *(100 * found[key] for key in ("wer", "wer_low", "wer_high")), found["words"],
    )  # fmt: skip
    return found
