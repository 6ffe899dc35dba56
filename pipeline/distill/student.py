"""Distillation: a student cut from its parent learns from the teacher and the labels, or nothing where it isn't trained."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from pipeline.common.errors import BigfootError
from pipeline.common.files import read_json
from pipeline.distill import bit_widths, fake_int8
from pipeline.distill.logits.speeds import AtSpeeds
from pipeline.distill.logits.store import LogitsStore
from pipeline.distill.loss import Imitation
from pipeline.distill.pooling import pooled
from pipeline.distill.pseudo_labels import pseudo_labels
from pipeline.distill.surgery import student
from pipeline.models import few_bits, vocabulary
from pipeline.models.folder import check_sums, load_model, save_model
from pipeline.models.forward import frames_in_one
from pipeline.models.training import read_metrics
from pipeline.params import Student
from pipeline.speech.audio import SAMPLE_RATE
from pipeline.speech.corpus import UNLABELLED, AudioCorpus, Corpus, durations, spread
from pipeline.speech.shards import Utterance
from pipeline.speech.text import frames_needed
from pipeline.train import fitting, machine, trainer
from pipeline.train.bookkeeping import Bookkeeping
from pipeline.train.job import Job
from pipeline.train.teacher import save_as_it_is

log = logging.getLogger(__name__)


def make_student(
    settings: Student,
    corpus: Corpus,
    parent_folder: Path,
    teacher_folder: Path,
    logits: Path,
    out: Path,
    bookkeeping: Bookkeeping,
) -> dict:
    """Parent, teacher, the teacher's stored logits and corpus -> models/NAME; returns its metrics.

    Raises BigfootError where the student doesn't fit into its parent, or the store lacks data that it needs.
    """
    name = bookkeeping.model
    parent, processor = load_model(parent_folder)
    audio = importance_audio(corpus, processor, spread(corpus.utterances("train"), settings.importance_utterances))
    try:
        model, rows = student.build(parent, settings, audio)
        if settings.quantize_aware:
            fake_int8.attach(model, audio)
        rounding = _rounding(model, settings, audio)
        if rounding:
            few_bits.attach(model, rounding)
    except BigfootError as error:
        raise BigfootError(f"students.{name}: {error}") from None
    fresh = [row["to"] for row in rows if row["from"] is None]
    from_scratch = "all" if len(fresh) == len(rows) else ", ".join(fresh) or "nothing"
    log.info("%s: %s; from scratch: %s", name, student.describe(model, rows), from_scratch)
    if rounding:
        counts = Counter(rounding["bits"].values())
        log.info("%s: bits per weight: %s", name, ", ".join(f"{bits} in {n} Linears" for bits, n in sorted(counts.items())))
    if settings.training is None:
        trained = read_metrics(parent_folder, None).get("trained", True)
        metrics = save_as_it_is(model, processor, corpus, out, trained)
        (out / "initialization.json").write_text(json.dumps(rows, indent=1) + "\n")
        return metrics
    inputs = [parent_folder / "model.safetensors", parent_folder / "config.json"]
    audio_corpus: AudioCorpus = corpus
    store: LogitsStore | None = None
    teacher = features = None
    if settings.distillation.reads_store:
        store = LogitsStore(logits, corpus)
        store.check()
        audio_corpus = AtSpeeds(corpus, store.speeds)
        inputs.append(logits / "index.json")  # it has the digest of all logits
    if settings.distillation.teacher == "online":
        teacher, _ = load_model(teacher_folder)
        inputs.append(teacher_folder / "model.safetensors")
    if store is not None and settings.distillation.features == "stored":
        _check_feature_encoder(name, model, store, teacher_folder)
        features = store.features
        inputs.append(teacher_folder / "model.safetensors")
    known = vocabulary.of(processor.tokenizer, model.config.vocab_size)
    factor = _frames_in_one(model, teacher_folder)
    precision = machine.precision(settings.training.precision)
    imitation = Imitation(settings.distillation, known.blank, teacher, factor, precision)
    train = corpus.utterances("train")
    speeds = store.speeds if store else [1.0]
    if line := fitting.note(name, settings, model.config, durations(train), fitting.frames_needed_by(train), speeds):
        log.warning(line)
    fingerprint = bookkeeping.fingerprint(settings, audio_corpus, inputs)

    def finish(out: Path) -> None:
        if settings.quantize_aware:
            _save_plain(model, processor, out)
        if rounding:
            few_bits.save(rounding, out)

    job = Job(
        model, processor, audio_corpus, settings.training, settings, fingerprint, bookkeeping,
        teacher_logits=_at_frames(store, factor, known.blank) if store else None, features=features, loss=imitation,
        unlabelled=settings.distillation.unlabelled,
        pseudo_labels=_pseudo_labels(name, settings, corpus, audio_corpus, store, known, model.config), finish=finish,
    )  # fmt: skip
    metrics = trainer.train(job, out)
    (out / "initialization.json").write_text(json.dumps(rows, indent=1) + "\n")
    return metrics


def _rounding(model, settings: Student, audio: list[torch.Tensor]) -> few_bits.Rounding | None:
    """What the weights of this student's Linears are rounded to while it learns; None: they are not."""
    if not (wanted := settings.few_bits):
        return None
    return {"bits": bit_widths.chosen(model, audio, wanted.bits, wanted.block, settings.seed), "block": wanted.block}


def _frames_in_one(model, teacher_folder: Path) -> int:
    """How many frames of the teacher are one of the student's."""
    teacher = read_json(teacher_folder / "config.json", "dvc repro teacher")
    return frames_in_one(model.config.conv_stride, teacher["conv_stride"])


def _at_frames(store: LogitsStore, factor: int, blank: int) -> Callable[[Utterance], np.ndarray]:
    """The teacher's stored logits of an utterance, frame by frame of a student, of which each is `factor` of the teacher's."""
    if factor == 1:
        return store.logits
    return lambda utterance: pooled(torch.from_numpy(store.logits(utterance)), factor, blank).numpy()


def _pseudo_labels(
    name: str,
    settings: Student,
    corpus: Corpus,
    at_speeds: AudioCorpus,
    store: LogitsStore | None,
    known: vocabulary.Vocabulary,
    config,
) -> Callable[[Utterance], list[int]] | None:
    """The labels of audio without text; None where it has none. Logs how much audio teaches with and without text.

    `at_speeds`: the corpus with its utterances at all stored speeds, each of which has labels of its own.
    """
    wanted = settings.distillation
    if not wanted.unlabelled:
        return None
    if not corpus.utterances(UNLABELLED):
        raise BigfootError(f"students.{name}.distillation.unlabelled: the corpus has no split {UNLABELLED}: see corpus.source")
    hours = [durations(corpus.utterances(split)).sum() / 3600 for split in ("train", UNLABELLED)]
    log.info("%s: %.2f h with text, %.2f h without in %.0f%% of the batches", name, *hours, 100 * wanted.unlabelled)
    if wanted.pseudo_labels is None or store is None:
        return None
    labels = pseudo_labels(store.logits, known, wanted.pseudo_labels)
    utterances = at_speeds.utterances(UNLABELLED)
    needed = np.array([frames_needed(labels(utterance)) for utterance in utterances])
    left_out = int((fitting.frames(config, durations(utterances)) < needed).sum())
    times = len(utterances) // len(corpus.utterances(UNLABELLED))
    log.info(
        "%s: the teacher is confident of the text of %d of %d utterances without%s%s",
        name, int((needed > 0).sum()), len(needed), f", each at {times} speeds" if times > 1 else "",
        f"; CTC leaves out {left_out} of them that have more characters than frames" if left_out else "",
    )  # fmt: skip
    return labels


def _check_feature_encoder(name: str, model, store: LogitsStore, teacher_folder: Path) -> None:
    """Raise BigfootError where the feature encoder's output isn't stored, or the student's encoder isn't the teacher's."""
    if store.channels is None:
        raise BigfootError(f"students.{name}.distillation.features: logits/teacher does not hold it: set logits.features: true")
    check_sums(teacher_folder)
    with safe_open(teacher_folder / "model.safetensors", "pt") as teacher:
        for key, own in model.base_model.feature_extractor.state_dict().items():
            if not torch.equal(own, teacher.get_tensor(f"{model.base_model_prefix}.feature_extractor.{key}")):
                raise BigfootError(
                    f"students.{name}.distillation.features: {key} differs from the teacher's: train its parents with "
                    "features: stored too, or set it to computed"
                )


def _save_plain(model, processor, out: Path) -> None:
    """Save a model that was trained with int8 rounding as a plain float model, with its ranges beside it."""
    fake_int8.save(fake_int8.detach(model), out)
    save_model(model, processor, out)


def importance_audio(corpus, processor, utterances: Iterable[Utterance]) -> list[torch.Tensor]:
    """The audio by which importance is measured, of each utterance as model input [1, samples]."""
    inputs = (processor.feature_extractor(corpus.audio(utterance), sampling_rate=SAMPLE_RATE) for utterance in utterances)
    return [torch.from_numpy(extracted.input_values[0])[None] for extracted in inputs]
