"""params.yaml as a whole: its sections, and checks that they fit together."""

import math
from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from pipeline.common import energy
from pipeline.params.corpus import Corpus
from pipeline.params.learning import Logits, Student, Teacher
from pipeline.params.measuring import Benchmark, Evaluate, Gate, Tracking, Variant
from pipeline.params.section import LONGEST, NAME, Section, each_once

Country = Annotated[str, AfterValidator(energy.known_country)]


class Params(Section):
    """params.yaml. A key that dvc.yaml names can't be left out: DVC refuses a stage whose params are missing."""

    profile: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        max_length=LONGEST,
        description="name of this set of params: of its folder in results/ and its runs in MLflow",
    )
    country: Country = Field(description="ISO 3166 code of three letters: its electricity mix converts energy to CO2")
    corpus: Corpus = Field(description="the speech, its text rules and checks")
    teacher: Teacher = Field(description="the model that is shrunk")
    logits: Logits = Field(description="the teacher's outputs that students learn from")
    students: dict[Annotated[str, Field(pattern=NAME, max_length=LONGEST)], Student] = Field(
        description="the smaller models, by name; {}: none"
    )
    schemes: dict[str, dict] = Field(
        description="ways to lower precision, by name, each with its settings: `bigfoot schemes`; names with a +, such as "
        "int8-onnx+lm, decode with a language model: docs/decoding.md"
    )
    variants: dict[str, Variant] = Field(description="what is made and measured, each under the key MODEL-SCHEME")
    evaluate: Evaluate = Field(description="intervals of error rates")
    benchmark: Benchmark = Field(description="how speed, memory and energy are measured")
    gate: Gate = Field(description="the budget that decides what is promoted")
    exports: dict[str, Annotated[list[str], each_once("list each layout once"), Field(min_length=1)]] = Field(
        description="layouts for other runtimes, by a variant's name: `thin.int8-onnx: [onnx]`, see deploy.md; {}: none"
    )
    tracking: Tracking = Field(description="where runs are logged")
    time_limits: dict[str, Annotated[float, Field(gt=0, le=100_000)]] = Field(
        default_factory=dict,
        description="hours per stage (teacher, student, student@half), after which Prefect's flow ends it; {}: no limit",
    )

    @model_validator(mode="after")
    def _names_agree(self) -> "Params":
        models = {"teacher", *self.students}
        for name, student in self.students.items():
            if name == "teacher":
                raise ValueError("students.teacher: this name is the teacher's, give the student another")
            _check_chain(name, student, self.students)
            if self.teacher.is_untrained and student.training:
                raise ValueError(f"students.{name}.training: has to be null: an untrained teacher has nothing to teach")
            _check_stored_features(name, student, self)
            if student.distillation.unlabelled and not getattr(self.corpus.source, "unlabelled", None):
                raise ValueError(f"students.{name}.distillation.unlabelled: corpus.source has no unlabelled: name it there")
        for key, variant in self.variants.items():
            if variant.model not in models:
                raise ValueError(f"variants.{key}: unknown model '{variant.model}', known: {', '.join(sorted(models))}")
            if variant.scheme not in self.schemes:
                raise ValueError(f"variants.{key}: unknown scheme '{variant.scheme}', known: {', '.join(self.schemes)}")
            if key != variant.slug:
                raise ValueError(f"variants.{key}: has to be named {variant.slug}, after its model and scheme")
        names = [variant.name for variant in self.variants.values()]
        for name in self.exports:
            if name not in names:
                raise ValueError(f"exports.{name}: is no variant here, known: {', '.join(names)}")
        if self.teacher.init == "config":  # a pretrained teacher's shape is not known before it is loaded
            for name in self.students:
                shape(name, self.students, self.teacher.config)
        _check_budget(self)
        _check_time_limits(self)
        if "teacher-fp32" not in self.variants:
            raise ValueError("variants: teacher-fp32 is missing, which all others are compared with")
        return self


def _check_chain(name: str, student: Student, students: dict[str, Student]) -> None:
    """Refuse a student whose parents do not lead to the teacher."""
    seen, parent = {name}, student.parent
    while parent != "teacher":
        if parent not in students:
            raise ValueError(f"students.{name}: unknown parent '{parent}' in from, known: teacher, {', '.join(students)}")
        if parent in seen:
            raise ValueError(f"students.{name}: its parents form a circle and never lead to the teacher")
        seen.add(parent)
        parent = students[parent].parent


def _check_budget(params: Params) -> None:
    """Refuse a budget in ms that the benchmark doesn't measure, or a rise that the gate doesn't judge."""
    if (asked := params.gate.budget) is None:
        return
    if asked.threads != params.benchmark.threads:
        raise ValueError(f"gate.budget.threads: {asked.threads}, but benchmark.threads is {params.benchmark.threads}")
    if asked.length not in params.benchmark.lengths:
        raise ValueError(f"gate.budget.length: {asked.length:g} is none of benchmark.lengths, so it is not measured")
    if asked.max_wer_rise is not None and not math.isclose(asked.max_wer_rise, 100 * params.gate.max_rise, abs_tol=1e-3):
        raise ValueError(
            f"gate.budget.max_wer_rise: {asked.max_wer_rise:g}, but 100 * gate.max_rise is {100 * params.gate.max_rise:g}"
        )


def _check_time_limits(params: Params) -> None:
    """Refuse a limit of a stage that is not in the graph: no run would keep it."""
    whole = dict.fromkeys(("prepare", "teacher", "teacher_logits", "benchmark", "compare"), ())
    parts: dict[str, Collection[str]] = {
        **whole, "student": params.students, "quantize": params.variants, "evaluate": params.variants, "export": params.exports,
    }  # fmt: skip
    for stage in params.time_limits:
        kind, at, part = stage.partition("@")
        if kind not in parts:
            raise ValueError(f"time_limits.{stage}: is not a stage, known: {', '.join(parts)}")
        if at and part not in parts[kind]:
            raise ValueError(f"time_limits.{stage}: {kind} has no part '{part}', known: {', '.join(parts[kind]) or 'none'}")


def _check_stored_features(name: str, student: Student, params: Params) -> None:
    """Refuse a student that reads stored features where none are stored, or where its feature encoder differs."""
    if student.distillation.features != "stored":
        return
    if not params.logits.features:
        raise ValueError(f"students.{name}.distillation.features: stored needs logits.features: true")
    parent = student.parent
    if parent != "teacher" and params.students[parent].distillation.features != "stored":
        raise ValueError(
            f"students.{name}.distillation.features: stored needs the teacher's feature encoder, which its parent {parent} "
            f"may change: set it for {parent} too"
        )


def shape(name: str, students: dict[str, Student], config: dict) -> dict[str, int]:
    """A model's shape, derived from the teacher's config; raises ValueError for a student that doesn't fit in its parent."""
    if name == "teacher":
        keys = {"layers": ("num_hidden_layers", 12), "hidden": ("hidden_size", 768), "heads": ("num_attention_heads", 12),
                "feed_forward": ("intermediate_size", 3072)}  # fmt: skip
        channels = config.get("conv_dim", [512] * 7)
        return {key: config.get(*default) for key, default in keys.items()} | {
            "conv_channels": max(channels), "convolutions": len(channels)
        }  # fmt: skip
    student = students[name]
    parent, own = shape(student.parent, students, config), {}
    convolutions = parent.pop("convolutions")
    if student.conv_merge and sum(student.conv_merge) != convolutions:
        merged = student.conv_merge
        raise ValueError(f"students.{name}.conv_merge: {merged} has to add up to its parent's {convolutions} convolutions")
    for key, most in parent.items():
        wanted = getattr(student, key)
        if isinstance(wanted, list):
            if not wanted or sorted(set(wanted)) != wanted or not 0 <= wanted[0] <= wanted[-1] < most:
                raise ValueError(f"students.{name}.layers: {wanted}, needs rising numbers from 0 to {most - 1}")
            wanted = len(wanted)
        if wanted is not None and not 1 <= wanted <= most:
            raise ValueError(f"students.{name}.{key}: {wanted}, its parent has {most}")
        own[key] = most if wanted is None else wanted
    if own["hidden"] % own["heads"]:
        raise ValueError(f"students.{name}: hidden {own['hidden']} is not a multiple of heads {own['heads']}")
    return own | {"convolutions": len(student.conv_merge or range(convolutions))}
