"""evaluate: the hypotheses of one variant on dev, gate and every test set, and their errors.

Decision: a score depends on files alone (not on time or host), so that DVC may keep it for ever. Little audio is recognized in
this process, with the threads that the runtime chooses; much of it, or any on a cluster, in one process per core, with one
thread each, which is the faster way on every runtime. A GPU of this machine, where it scores the variant, does all of it in
batches in this process; a variant for a GPU is scored in its own precision on any machine. What is recognized lies in `scratch`
until all is, so a run that was killed goes on.
"""

import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.common import cluster, engine, graph
from pipeline.common.numbers import percent, with_range
from pipeline.common.progress import Progress
from pipeline.evaluate import pieces, scores
from pipeline.evaluate.noise import Noise
from pipeline.evaluate.scores import LiveScore, NoisyScore, Score, SetScore
from pipeline.evaluate.wer import paired_interval, score
from pipeline.params import Evaluate
from pipeline.recognition import gpu, seal
from pipeline.speech.corpus import Corpus, drawn, scored_splits
from pipeline.speech.live import Live
from pipeline.speech.scoring import Objective, Scoring, scoring
from pipeline.speech.shards import Utterance

MUCH_AUDIO = 3600.0  # seconds in all sets, from which on several processes recognize

log = logging.getLogger(__name__)


def evaluate(settings: Evaluate, variant_folder: Path, corpus: Corpus, out: Path, scratch: Path) -> Score:
    """Score a variant and write scores/MODEL.SCHEME.json.

    Raises BigfootError where the variant can't be opened or its files have changed.
    """
    info = seal.read(variant_folder)
    names = scored_splits(corpus.info["splits"])
    scored_as, first = scoring(corpus.info), corpus.test_sets[0]
    sets = score_sets(settings, variant_folder, info, corpus, {name: name for name in names}, scored_as, scratch)
    lives = []
    for live in _lives(settings, info):
        heard = score_sets(settings, variant_folder, info, corpus, {first: first}, scored_as, scratch, live)[first]
        lives.append(_live_score(live, sets[first], heard, scored_as.objective))
    noisy = []
    for noise in (Noise(ratio, settings.seed) for ratio in settings.noise_snr_db):
        heard = score_sets(settings, variant_folder, info, corpus, {first: first}, scored_as, scratch, noise)[first]
        rates = {key: getattr(heard, key) for key in ("wer", "cer", "wer_low", "wer_high", "cer_low", "cer_high")}
        noisy.append(NoisyScore(noise.snr_db, **rates))
    found = Score(
        **{key: info[key] for key in ("variant", "model", "scheme")},
        files=seal.mark(info),
        first_test=first,
        sets=sets,
        live=lives,
        noisy=noisy,
    )
    scores.write(out, found)
    shutil.rmtree(scratch, ignore_errors=True)
    return found


def _lives(settings: Evaluate, info: dict) -> list[Live]:
    """How it is heard live, if at all; live recognition has no language model."""
    asked = settings.live
    if asked is None:
        return []
    if "decoding" in info:
        log.info("%s is not heard live: live recognition decodes without a language model", info["variant"])
        return []
    return [Live(asked.chunk, asked.left, right) for right in asked.right]


def _live_score(live: Live, whole: SetScore, heard: SetScore, objective: Objective) -> LiveScore:
    rise = getattr(heard, objective) - getattr(whole, objective)
    low, high = paired_interval(whole, heard, objective)
    return LiveScore(live.chunk, live.left, live.right, heard.wer, heard.cer, rise, low, high)


def score_sets(
    settings: Evaluate,
    variant_folder: Path,
    info: dict,
    corpus: Corpus,
    names: Mapping[str, str],
    scored_as: Scoring,
    scratch: Path,
    condition: Live | Noise | None = None,
) -> dict[str, SetScore]:
    """The scores of a variant on these sets, heard live or in noise where `condition` says so; leaves `scratch` behind.

    `names` is {set: what the log calls it}, `info` the variant.json as `seal.read` gives it. Raises BigfootError where the
    variant can't be opened.
    """
    chosen = {name: drawn(corpus.utterances(name), settings.max_hours, settings.seed) for name in names}
    on_gpu = not isinstance(condition, Live) and not cluster.is_used() and gpu.scores(info)
    is_much = not on_gpu and sum(utterance.duration for rows in chosen.values() for utterance in rows) > MUCH_AUDIO
    threads = 1 if is_much or cluster.is_used() else None
    folder = scratch / graph.fingerprint("evaluate", str(seal.mark(info)), [])
    heard = f", live with a right context of {condition.right:g} s" if isinstance(condition, Live) else ""
    heard += f", with noise {condition.snr_db:g} dB below it" if isinstance(condition, Noise) else ""
    scored = {}
    for name, utterances in chosen.items():
        planned = pieces.planned(variant_folder, corpus, utterances, threads, on_gpu, folder, condition)
        done = engine.mapped(pieces.recognize, planned, None if is_much else 0)
        scored[name] = _score_set(f"{info['variant']} on {names[name]}{heard}", scored_as, utterances, done, settings)
    return scored


def _score_set(
    title: str, scored_as: Scoring, utterances: list[Utterance], done: Iterable[Path], settings: Evaluate
) -> SetScore:
    """The score of the utterances of a set; `done` gives the files of its pieces as they are recognized."""
    found: list[tuple[str, float | None]] = []
    with Progress(title, sum(utterance.duration for utterance in utterances), "s of audio") as progress:
        for piece in done:
            before = len(found)
            found += pieces.read(piece)
            progress.advance(sum(utterance.duration for utterance in utterances[before : len(found)]))
    hypotheses = [scored_as.written(hypothesis) for hypothesis, _ in found]
    scored = score(utterances, hypotheses, settings.bootstrap, settings.seed)
    log.info(
        "%s: WER %s%% of %d words, CER %s%% of %d characters",
        title, with_range(scored.wer, scored.wer_low, scored.wer_high, percent), scored.words,
        with_range(scored.cer, scored.cer_low, scored.cer_high, percent), scored.characters,
    )  # fmt: skip
    with_ratios = zip(scored.hypotheses, found, strict=True)
    return replace(scored, hypotheses=[replace(row, snr_db=ratio) for row, (_, ratio) in with_ratios])
