"""Distillation: a student cut from its parent learns from the teacher and the labels."""

import json
import logging
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors import safe_open

from pipeline import fake_int8, front_end, imitation, importance, models, student, training
from pipeline.audio import SAMPLE_RATE
from pipeline.corpus.manifest import open_corpus, spread
from pipeline.errors import BigfootError
from pipeline.imitation import Imitation
from pipeline.logits import AtSpeeds, LogitsStore
from pipeline.params import Params

TEACHER = Path("models/teacher")
log = logging.getLogger(__name__)
CODE = [Path(__file__), *(Path(module.__file__) for module in (fake_int8, front_end, imitation, importance, student))]


def make_student(name: str, params: Params, out: Path) -> dict:
    """models/PARENT + teacher's logits + corpus -> models/NAME."""
    if name not in params.students:
        raise BigfootError(f"unknown student '{name}', known: {', '.join(params.students)}: add it to params.yaml")
    settings = params.students[name]
    corpus = open_corpus(Path("corpora") / params.corpus.name)
    parent_folder = Path("models") / settings.parent
    parent, processor = models.load(parent_folder)
    heard = _some_audio(corpus, processor, settings.importance_utterances)
    try:
        model, rows = student.build(parent, settings, heard)
        if settings.quantise_aware:
            fake_int8.attach(model, heard)
    except BigfootError as error:
        raise BigfootError(f"students.{name}: {error}") from None
    store = LogitsStore(Path("logits/teacher")) if settings.distillation.reads_store else None
    fresh = [row["to"] for row in rows if row["from"] is None]
    log.info("%s: %s; from scratch: %s", name, student.describe(model, rows), ", ".join(fresh) or "nothing")
    origin = [parent_folder / "model.safetensors", parent_folder / "config.json", *CODE]
    if store is not None:
        corpus = AtSpeeds(corpus, store.speeds)
        origin.append(Path("logits/teacher/logits.bin"))
    teacher = None
    if settings.distillation.teacher == "online":
        teacher, _ = models.load(TEACHER)
        origin.append(TEACHER / "model.safetensors")
    given = None
    if settings.distillation.front_end == "stored":
        _check_front_end(name, model, store)
        given = store.front_end
        origin.append(TEACHER / "model.safetensors")
    objective = Imitation(settings.distillation, model.config.pad_token_id, teacher)
    job = training.Job(
        name=name, model=model, processor=processor, corpus=corpus, training=settings.training,
        fingerprint=training.fingerprint(settings, params.benchmark.country, corpus, origin),
        country=params.benchmark.country, experiment=params.tracking.experiment,
        params=settings.model_dump(mode="json", by_alias=True), store=store, front_end=given, objective=objective,
    )  # fmt: skip
    metrics = training.train(job, out)
    if settings.quantise_aware:
        _save_plain(model, processor, out)
    (out / "initialisation.json").write_text(json.dumps(rows, indent=1) + "\n")
    return metrics


def _check_front_end(name: str, model, store: LogitsStore) -> None:
    """Refuse to read what the teacher's front end gave where it isn't kept, or isn't what this student's would give."""
    if store.channels is None:
        raise BigfootError(
            f"students.{name}.distillation.front_end: logits/teacher doesn't hold it: set logits.front_end: true"
        )
    with safe_open(TEACHER / "model.safetensors", "pt") as teacher:
        for key, own in model.wav2vec2.feature_extractor.state_dict().items():
            if not torch.equal(own, teacher.get_tensor(f"wav2vec2.feature_extractor.{key}")):
                raise BigfootError(
                    f"students.{name}.distillation.front_end: {key} is not the teacher's: train its parents with "
                    "front_end: stored too, or set it to heard"
                )


def _save_plain(model, processor, out: Path) -> None:
    """Save a model that was trained in int8 as the float model that it is, and its ranges beside it."""
    ranges = fake_int8.detach(model)
    if PartialState().is_main_process:
        models.save(model, processor, out)
        fake_int8.save(ranges, out)


def _some_audio(corpus, processor, count: int) -> list[torch.Tensor]:
    """`count` training utterances, evenly spread over train, each [1, samples] as the models hear it."""
    chosen = spread(corpus.utterances("train"), count)
    heard = (processor.feature_extractor(corpus.audio(one), sampling_rate=SAMPLE_RATE) for one in chosen)
    return [torch.from_numpy(one.input_values[0])[None] for one in heard]
