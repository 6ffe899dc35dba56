"""The config of every model of a params file, before any of them exists."""

from pathlib import Path
from typing import Any

from pipeline.common.errors import BigfootError
from pipeline.models.checkpoint import Checkpoint, not_a_model, one_line
from pipeline.params import Params, Teacher


def configs(params: Params, root: Path, letters: int) -> dict[str, Any]:
    """{model: its config, an object of transformers}, for an alphabet of so many letters.

    Raises BigfootError where a shape is impossible, or a pretrained teacher's is not on this machine yet.
    """
    from pipeline.distill.surgery.student import config_of

    teacher = _teacher(params.teacher, root)
    if params.teacher.alphabet == "corpus":
        teacher.vocab_size = letters
    found, waiting = {"teacher": teacher}, dict(params.students)
    while ready := {name: student for name, student in waiting.items() if student.parent in found}:
        for name, student in ready.items():
            try:
                found[name] = config_of(found[student.parent], student)
            except BigfootError as error:
                raise BigfootError(f"students.{name}: {error}") from None
            del waiting[name]
    return found


def _teacher(teacher: Teacher, root: Path) -> Any:
    from transformers import AutoConfig

    if teacher.init == "config":
        known: dict = {"model_type": "wav2vec2"}
    elif teacher.name is None:
        known = Checkpoint(str(root / teacher.data), is_folder=True).config()
    else:
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(teacher.name, "config.json", revision=teacher.revision)
        if not isinstance(path, str):
            raise BigfootError(f"no plan: the shape of {teacher.name} is known once the stage teacher has fetched it")
        known = Checkpoint(str(Path(path).parent), is_folder=True).config()
    settings = known | teacher.config
    try:
        return AutoConfig.for_model(settings.pop("model_type"), **settings)
    except not_a_model() as error:
        raise BigfootError(f"teacher.config does not describe a valid model: {one_line(error)}") from None
