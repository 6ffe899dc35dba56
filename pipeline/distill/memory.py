"""What each training of a params file needs in memory, foretold before anything runs: lines for `bigfoot check`.

The shapes are those that training would make: the teacher's from its config, each student's from its parent's, so that a
student that doesn't fit into its parent is refused here.

Decision: the configs are transformers' own, since their defaults and checks decide the shapes, and a copy could be wrong. Their
import takes PyTorch with it, more than half of the time of `bigfoot check`, so they are imported only where a shape is needed.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.models.checkpoint import Checkpoint, not_a_model, one_line
from pipeline.params import Distillation, Params, Student, Teacher, Training
from pipeline.train import memory


def lines(params: Params, root: Path) -> Iterator[str]:
    """One line per training: parameters, and at most how much memory, in one process and beside PyTorch itself.

    Raises BigfootError where a model's shape is impossible, or its family can't be trained as asked.
    """
    teacher = params.teacher
    is_trained = teacher.training is not None and teacher.finetune
    if not is_trained and not params.students and teacher.init == "pretrained":
        return
    known = configs(params, root)
    if not known:
        yield f"memory: the shape of {teacher.name} is known once the stage teacher has fetched it"
        return
    if teacher.training and is_trained:
        yield _line("teacher", known, teacher.training, params)
    for name, student in params.students.items():
        if student.training:
            yield _line(name, known, student.training, params, student)


def _line(name: str, known: dict, training: Training, params: Params, student: Student | None = None) -> str:
    """`known`: the config of each model; `student`: None for the teacher."""
    from pipeline.train import chunks, machine

    chunks.check(known[name], training.chunk, name)
    distillation = student.distillation if student else None
    precision, longest = machine.precision(training.precision), _longest(params, training, distillation)
    batch = max(training.batch_seconds, longest)
    stored = distillation is not None and distillation.features == "stored"
    settings = memory.Training(
        precision,
        machine.has_gpu(),
        longest if training.augment.join == 1 else batch,
        frozen=stored or training.freeze_feature_encoder_steps >= training.steps,
        checkpointing=training.gradient_checkpointing,
        chunk=training.chunk[0] if training.chunk else None,
        int8=student is not None and student.quantize_aware,
        few_bits=student is not None and student.few_bits is not None,
    )
    need = memory.foretold(known[name], settings)
    if distillation is not None and distillation.teacher == "online":
        need += memory.running(known["teacher"], settings)
    what = "a batch" if batch == training.batch_seconds else "the longest utterance, a batch by itself"
    how = "at most" if training.chunk is None else "about"  # shorter utterances need more of a context before each chunk
    is_bounded = params.corpus.checks.too_long != "report"
    beyond = "" if is_bounded else "; longer utterances, which corpus.checks.too_long: report keeps, need more"
    fixed, per_second = math.ceil(need.fixed / 1e6), math.ceil(need.per_second / 1e5) / 10  # so that the parts make the whole
    return (
        f"memory: {name} needs {how} {fixed + batch * per_second:,.0f} MB to train in {precision}: "
        f"{fixed:,} MB for its {need.parameters / 1e6:.1f}M parameters, and {per_second:,.1f} MB for each of the "
        f"{round(batch, 1):g} s of {what}{beyond}"
    )


def _longest(params: Params, training: Training, distillation: Distillation | None) -> float:
    """Seconds of the longest utterance, at the slowest speed, in a batch."""
    from pipeline.train.batches import STEP_SECONDS

    speeds = [1.0, *(training.augment.speed or ())]
    if distillation is not None and distillation.reads_store:
        speeds += params.logits.speeds
    return math.ceil(params.corpus.limits.max_seconds / min(speeds) / STEP_SECONDS) * STEP_SECONDS


def configs(params: Params, root: Path, letters: int | None = None) -> dict:
    """{model: its config}; {} where the teacher's is on the hub and not in the cache. `letters`: of the corpus, if known."""
    teacher = _teacher(params.teacher, root)
    if teacher is None:
        return {}
    if letters is not None and params.teacher.alphabet == "corpus":
        teacher.vocab_size = letters
    found, waiting = {"teacher": teacher}, dict(params.students)
    while ready := {name: student for name, student in waiting.items() if student.parent in found}:
        found |= {name: _student(name, found[student.parent], student) for name, student in ready.items()}
        waiting = {name: student for name, student in waiting.items() if name not in ready}
    return found


def _teacher(teacher: Teacher, root: Path):
    if teacher.init == "config":
        known: dict = {"model_type": "wav2vec2"}
    elif teacher.name is None:
        known = Checkpoint(str(root / teacher.data), is_folder=True).config()
    else:
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(teacher.name, "config.json", revision=teacher.revision)
        if not isinstance(path, str):
            return None
        known = Checkpoint(str(Path(path).parent), is_folder=True).config()
    from transformers import AutoConfig

    settings = known | teacher.config
    try:
        return AutoConfig.for_model(settings.pop("model_type"), **settings)
    except not_a_model() as error:
        raise BigfootError(f"teacher.config does not describe a valid model: {one_line(error)}") from None


def _student(name: str, parent, settings: Student):
    from pipeline.distill.surgery.student import config_of

    try:
        return config_of(parent, settings)
    except BigfootError as error:
        raise BigfootError(f"students.{name}: {error}") from None
