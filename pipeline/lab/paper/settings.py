"""What `bigfoot paper-scale` makes and measures: paper_scale.yaml, and the profile whose students and schemes it names.

Decision: shapes are not written down a second time. What is measured untrained is what the profile would train.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import Field

from pipeline import params
from pipeline.common.errors import BigfootError
from pipeline.params import Benchmark, Section, Seed, Student, Variant
from pipeline.project import load_params

REFERENCE = "teacher-fp32"
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*-[a-z0-9-]+$", description="MODEL-SCHEME")]


class Audio(Section):
    """What is heard: utterances of one length, as time depends on the length alone."""

    seconds: float = Field(10.0, ge=1, le=30)
    calibration: int = Field(4, ge=1, description="utterances whose ranges int8-openvino takes")
    seed: Seed = 7


class PaperScale(Section):
    """paper_scale.yaml."""

    profile: str = Field(description="the params file whose students and schemes these are")
    teacher: dict[str, int | float | bool | str | list[int]] = Field(description="Wav2Vec2Config keys of the teacher")
    whole_front_end: str | None = Field(None, description="a student that is also made with the teacher's whole front end")
    variants: list[Slug] = Field(description="teacher-fp32 among them")
    goal: float = Field(30.0, gt=1, description="how many times smaller and faster than teacher.fp32 the best should be")
    audio: Audio = Audio()
    benchmark: Benchmark


@dataclass(frozen=True)
class Plan:
    """The settings with what they name: `students` holds those that variants need, each after its parent."""

    settings: PaperScale
    students: dict[str, Student]
    schemes: dict[str, dict]

    @cached_property
    def variants(self) -> list[Variant]:
        return [_variant(slug) for slug in self.settings.variants]

    def shape(self, model: str) -> dict[str, int]:
        """layers, hidden, heads, feed_forward and conv_channels of a model."""
        return params.shape(model, self.students, self.settings.teacher)


def load(path: str) -> Plan:
    """Read and check the settings, and the profile that they name.

    Raises BigfootError, in one line, for a mistake in either, for a model or scheme that the profile doesn't have, and for a
    student that doesn't fit into its parent.
    """
    settings = params.read(path, PaperScale)
    profile = load_params(settings.profile)
    students = dict(profile.students)
    if (narrow := settings.whole_front_end) is not None:
        if narrow not in students:
            raise BigfootError(f"{path}: whole_front_end: {settings.profile} has no student '{narrow}'")
        students[f"{narrow}_whole"] = _with_whole_front_end(narrow, students, settings.teacher, path)
    if REFERENCE not in settings.variants:
        raise BigfootError(f"{path}: variants: {REFERENCE} is missing, which all others are compared with")
    needed: dict[str, Student] = {}
    for slug in settings.variants:
        variant = _variant(slug)
        if variant.scheme not in profile.schemes:
            known = ", ".join(profile.schemes)
            raise BigfootError(f"{path}: variants: {slug} is no MODEL-SCHEME, the schemes of {settings.profile} are {known}")
        _add(variant.model, students, needed, f"{path}: variants: {slug}")
    for name in needed:
        _shape(name, needed, settings.teacher, path)
    return Plan(settings, needed, profile.schemes)


def _shape(name: str, students: dict[str, Student], teacher: dict, path: str) -> dict[str, int]:
    try:
        return params.shape(name, students, teacher)
    except ValueError as error:
        raise BigfootError(f"{path}: {error}") from None


def _with_whole_front_end(name: str, students: dict[str, Student], teacher: dict, path: str) -> Student:
    """The student cut straight out of the teacher, with all of its convolutions; its encoder's shape as it is."""
    shape = _shape(name, students, teacher, path)
    encoder = {key: shape[key] for key in ("layers", "hidden", "heads", "feed_forward")}
    return students[name].model_copy(update={"parent": "teacher", "conv_channels": None, "conv_merge": None, **encoder})


def _variant(slug: str) -> Variant:
    model, _, scheme = slug.partition("-")
    return Variant(model=model, scheme=scheme)


def _add(model: str, students: dict[str, Student], needed: dict[str, Student], where: str) -> None:
    """Add a model to `needed`, its parents first."""
    if model == "teacher" or model in needed:
        return
    if model not in students:
        raise BigfootError(f"{where}: unknown model '{model}', known: teacher, {', '.join(students)}")
    _add(students[model].parent, students, needed, where)
    needed[model] = students[model]
