"""params.yaml as typed, validated objects: the only place that defines what each parameter means.

Unknown keys are refused, because a mistyped parameter that is silently ignored costs a training run.
"""

from pipeline.params.corpus import (
    Checks,
    Column,
    Corpus,
    DigitsSource,
    FolderSource,
    HuggingFaceSource,
    LibriSpeechSource,
    Limits,
    Shares,
    Source,
    SyntheticSource,
)
from pipeline.params.learning import Augment, Distillation, Logits, Ramp, Student, Teacher, Training
from pipeline.params.measuring import Benchmark, Budget, Evaluate, Gate, Tracking, Variant
from pipeline.params.section import NAME, Fraction, Section, Seed, read
from pipeline.params.whole import Params, shape

__all__ = [
    "Augment",
    "Benchmark",
    "Budget",
    "Checks",
    "Column",
    "Corpus",
    "DigitsSource",
    "Distillation",
    "Evaluate",
    "FolderSource",
    "Fraction",
    "Gate",
    "HuggingFaceSource",
    "LibriSpeechSource",
    "Limits",
    "Logits",
    "NAME",
    "Params",
    "Ramp",
    "Section",
    "Seed",
    "Shares",
    "Source",
    "Student",
    "SyntheticSource",
    "Teacher",
    "Tracking",
    "Training",
    "Variant",
    "read",
    "shape",
]
