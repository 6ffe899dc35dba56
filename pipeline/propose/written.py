"""Writes what is proposed into params.yaml, as students and variants; comments stay, nothing is trained."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.params import Params, Training
from pipeline.params.edit import edited
from pipeline.project import load_params
from pipeline.propose.budget import Budget
from pipeline.propose.shapes import Shape

PREFIX = "propose_"
STEPS, RATE = 2000, 1e-3  # where no student of params.yaml says how students are trained


def write(file: Path, params: Params, chosen: Sequence[tuple[str, Shape, str]], budget: Budget) -> str:
    """Put each (student, shape, scheme) into a params file, in place of earlier proposals; returns what was done.

    Raises BigfootError, and changes nothing, where the file would not be valid: another student may come from a proposal.
    """
    trial = file.with_name(f".{file.name}.trial")
    shutil.copyfile(file, trial)
    try:
        with edited(trial) as content:
            old = [name for name in content["students"] if name.startswith(PREFIX)]
            for key in [key for key, variant in content["variants"].items() if variant["model"] in old]:
                del content["variants"][key]
            for name in old:
                del content["students"][name]
            learning = _learning(params)
            for position, (name, shape) in enumerate(dict((name, shape) for name, shape, _ in chosen).items()):
                content["students"].insert(position, name, {"from": "teacher", **shape, **learning})
            for position, (name, _, scheme) in enumerate(chosen):
                content["variants"].insert(position, f"{name}-{scheme}", _inline({"model": name, "scheme": scheme}))
        load_params(trial)
        trial.replace(file)
    finally:
        trial.unlink(missing_ok=True)
    names = ", ".join(dict.fromkeys(name for name, _, _ in chosen))
    replaced = f" in place of {', '.join(old)}" if old else ""
    return f"{file} has the students {names}{replaced}, with {len(chosen)} variants; next: dvc repro"


def _learning(params: Params) -> dict:
    """How a proposed student is trained: as the first student of params.yaml that is cut from the teacher and trained."""
    for name, student in params.students.items():
        if student.parent == "teacher" and student.training and not name.startswith(PREFIX):
            said = student.model_dump(mode="json", by_alias=True, exclude_unset=True)
            return {key: said[key] for key in ("distillation", "training") if key in said}
    default = Training(steps=STEPS, learning_rate=RATE)
    return {"training": default.model_dump(mode="json", exclude_unset=True)}


def _inline(entry: dict):
    from ruamel.yaml.comments import CommentedMap

    entry = CommentedMap(entry)
    entry.fa.set_flow_style()
    return entry
