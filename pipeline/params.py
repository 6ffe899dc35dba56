"""params.yaml as typed, validated objects: the only reader of it, and the one place that says what each parameter means.

Unknown keys are refused, because a mistyped parameter that is silently ignored costs a training run. `load` turns every
mistake into one line that names the key. Stages are handed only the sections that dvc.yaml declares for them.
"""

import json
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.errors import BigfootError

NAME = r"^[a-z][a-z0-9_]*$"
Severity = Literal["report", "drop", "stop"]
Unusable = Literal["drop", "stop"]  # the severity of a check without which there is nothing to train on or to score
TestSet = Annotated[str, Field(pattern=r"^test[a-z0-9_-]*$")]
Positive = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of params.yaml: fixed once read, and without room for unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


S = TypeVar("S", bound=Section)


# ---------------------------------------------------------------- corpus


class SyntheticSource(Section):
    """Digit strings spoken by espeak-ng's voices; the voices and sentences of dev and test never occur in train."""

    kind: Literal["synthetic"]
    seed: Seed = 7
    train_utterances: int = Field(3200, ge=1, description="1.4 s each: 75 minutes")
    dev_utterances: int = Field(100, ge=1)
    test_utterances: int = Field(150, ge=1)


class DigitsSource(Section):
    """Connected digits cut together from the single digits of FSDD: real people, closed vocabulary, known speakers."""

    kind: Literal["digits"]
    seed: Seed = 7
    uses: int = Field(4, ge=1, description="how often each training recording is used")


class FolderSource(Section):
    """A JSONL or CSV manifest a split, in `corpus.data`: audio (path relative to the manifest), text; speaker, recording,
    duration, id.
    """

    kind: Literal["folder"]
    train: str = "train.jsonl"
    dev: str = "dev.jsonl"
    test: dict[TestSet, str] = Field(default_factory=lambda: {"test": "test.jsonl"})


class LibriSpeechSource(Section):
    """LibriSpeech in its own folder layout under `corpus.data`; pipeline/corpus/librispeech.py also fetches it."""

    kind: Literal["librispeech"]
    train: list[str] = ["train-clean-100"]
    dev: list[str] = ["dev-clean"]
    test: list[str] = ["test-clean", "test-other"]


class HuggingFaceSource(Section):
    """Any Hugging Face dataset with audio and text: the hub's, or one that lies in `corpus.data`."""

    kind: Literal["huggingface"]
    path: str | None = Field(None, description="the dataset's name on the hub; null: what lies in corpus.data")
    name: str | None = Field(None, description="its configuration, such as a language")
    revision: str | None = Field(None, description="a commit of the hub's dataset, so that it stays what it was")
    audio_column: str = "audio"
    text_column: str = "text"
    speaker_column: str | None = None
    recording_column: str | None = Field(None, description="what several utterances were cut from")
    train: str = "train"
    dev: str = "validation"
    test: dict[TestSet, str] = Field(default_factory=lambda: {"test": "test"})


class TextRules(Section):
    """How references and training targets are written; kept in corpus.json."""

    case: Literal["lower", "upper", "keep"] = "lower"
    punctuation: Literal["drop", "keep"] = "drop"
    digits: Literal["spell", "keep"] = "spell"
    apostrophes: Literal["keep", "drop"] = "keep"


class Limits(Section):
    """The bounds of the checks that have one."""

    min_seconds: float = Field(0.3, ge=0)
    max_seconds: float = Field(20.0, gt=0)
    silence_dbfs: float = Field(-60.0, le=0, description="an utterance whose peak stays below is silent")
    clipped_fraction: Fraction = Field(0.01, description="an utterance with more samples at full scale is clipped")


class Checks(Section):
    """What happens to an utterance that fails a check: it is reported, dropped, or stops the stage."""

    missing: Unusable = "drop"
    unreadable: Unusable = "drop"
    empty: Unusable = "drop"
    truncated: Unusable = "drop"
    nan: Unusable = "drop"
    silent: Severity = "drop"
    clipped: Severity = "report"
    too_short: Severity = "drop"
    too_long: Severity = "drop"
    no_text: Unusable = "drop"
    unspellable: Severity = "drop"
    text_too_long: Severity = "drop"
    duplicate_audio: Severity = "drop"
    shared_audio: Severity = "stop"
    shared_sentence: Severity = "report"
    shared_speaker: Severity = "report"


Source = Annotated[
    SyntheticSource | DigitsSource | FolderSource | LibriSpeechSource | HuggingFaceSource, Field(discriminator="kind")
]


class Corpus(Section):
    """What `prepare` makes of a source; `data` is what DVC watches: the raw data, or the module that makes it."""

    name: str = Field(pattern=NAME)
    data: str
    licence: str
    source: Source
    text: TextRules = TextRules()
    limits: Limits = Limits()
    checks: Checks = Checks()


# ---------------------------------------------------------------- training


class Augment(Section):
    """Changes to the training audio, seeded by (seed, epoch, utterance). `speed` moves frames: not for stored logits."""

    speed: tuple[Positive, Positive] | None = Field(None, description="range of the speed factor")
    noise_probability: Fraction = 0.0
    noise_snr_db: tuple[float, float] = (10.0, 40.0)

    @field_validator("speed", "noise_snr_db")
    @classmethod
    def _rises(cls, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        if ends and ends[0] > ends[1]:
            raise ValueError(f"the lower end comes first: [{ends[1]:g}, {ends[0]:g}]")
        return ends


class Training(Section):
    """One run of the Trainer. Steps are optimiser steps; a batch is as many utterances as fit in `batch_seconds`."""

    steps: int = Field(ge=1)
    batch_seconds: float = Field(16.0, gt=0, description="most seconds of audio in a batch, padding included")
    accumulate: int = Field(1, ge=1, description="batches a step and process")
    learning_rate: float = Field(gt=0)
    warmup: Fraction = 0.1
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    weight_decay: float = Field(0.0, ge=0)
    head_only_steps: int = Field(0, ge=0, description="steps for which only the CTC head learns")
    freeze_feature_encoder_steps: int = Field(
        0, ge=0, description="steps for which the CNN front end stays as it is; all, with distillation.front_end: stored"
    )
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    evaluate_every: int = Field(200, ge=1, description="steps between dev WERs, which are also the checkpoints")
    patience: int | None = Field(None, ge=1, description="stop after so many dev WERs without a better one")
    grow: list[tuple[int, int]] = Field([], description="[step, layers in use from then on]...: deep only once it can spell")
    augment: Augment = Augment()
    seed: Seed = 7

    @field_validator("grow")
    @classmethod
    def _grows(cls, grow: list[tuple[int, int]]) -> list[tuple[int, int]]:
        rises = all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(grow))
        if grow and (grow[0][0] != 0 or grow[0][1] < 1 or not rises):
            raise ValueError("needs rising steps and layers, the first from step 0 on, such as [[0, 3], [2000, 6], [4000, 12]]")
        return grow

    @model_validator(mode="after")
    def _grows_up(self) -> "Training":
        if self.grow and self.grow[-1][0] >= self.steps:
            raise ValueError(f"grow: the last layers join at step {self.grow[-1][0]}, but there are only {self.steps}")
        return self


class Teacher(Section):
    """The model that is shrunk: built from `config`, or pretrained (a folder in `data`, or a hub `name`)."""

    init: Literal["config", "pretrained"]
    data: str = Field(description="what DVC watches: the model's folder, else pipeline/teacher.py")
    name: str | None = Field(None, description="hub name of a pretrained model; null: the folder in data")
    revision: str | None = None
    alphabet: Literal["corpus", "model"] = "corpus"
    finetune: bool = Field(True, description="false: used as it is (zero-shot), which needs a CTC head")
    config: dict[str, int | float | bool | str | list[int]] = Field(
        default_factory=dict, description="Wav2Vec2Config keys: the architecture, dropout and SpecAugment"
    )
    training: Training | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> "Teacher":
        if self.finetune and self.training is None:
            raise ValueError("finetune: true needs a training section")
        if self.init == "pretrained" and self.training and self.training.grow:
            raise ValueError("training.grow is for a model built from a config: it would wipe out a pretrained one's layers")
        if not self.finetune and self.init == "config":
            raise ValueError("init: config makes an untrained model, so finetune has to be true")
        if not self.finetune and self.alphabet == "corpus":
            raise ValueError("finetune: false keeps the model's own head, so alphabet has to be model")
        return self


class Logits(Section):
    """What the teacher says of the training audio, once for all students."""

    speeds: list[Annotated[float, Field(ge=0.5, le=2.0)]] = Field(
        [1.0], min_length=1, description="train is heard at each of these: more varied audio for students, at its price"
    )
    front_end: bool = Field(
        False, description="keep what its front end gives, too, for distillation.front_end: stored; 2 bytes a channel and frame"
    )

    @field_validator("speeds")
    @classmethod
    def _each_once(cls, speeds: list[float]) -> list[float]:
        if len(set(speeds)) < len(speeds):
            raise ValueError("a speed is named twice")
        return speeds


Weight = Annotated[float, Field(ge=0)]
Ramp = Weight | tuple[Weight, Weight]


class Distillation(Section):
    """Loss = kl_weight * T^2 * KL(teacher || student at temperature T) + ctc_weight * CTC + hidden_weight * similarity loss.

    See pipeline/imitation.py. A pair of numbers goes linearly from the first to the second over the run.
    """

    teacher: Literal["stored", "online"] = Field("stored", description="its stored logits, or itself beside the student")
    temperature: Positive | tuple[Positive, Positive] = 1.0
    kl_weight: Ramp = 1.0
    ctc_weight: Ramp = 1.0
    hidden_weight: Ramp = Field(0.0, description="which frames the teacher's layers find alike; needs teacher: online")
    front_end: Literal["heard", "stored"] = Field(
        "heard", description="stored: the student keeps the teacher's front end as it is and reads what it gave from the store"
    )

    @model_validator(mode="after")
    def _has_a_loss(self) -> "Distillation":
        if not any(map(_is_used, (self.kl_weight, self.ctc_weight, self.hidden_weight))):
            raise ValueError("kl_weight, ctc_weight and hidden_weight are all 0: there is nothing to learn from")
        if _is_used(self.hidden_weight) and self.teacher == "stored":
            raise ValueError("hidden_weight needs the teacher's hidden states, which are not stored: set teacher to online")
        if self.front_end == "stored" and self.teacher == "online":
            raise ValueError("front_end: stored leaves no audio for a teacher that is online: set teacher to stored")
        return self

    @property
    def reads_store(self) -> bool:
        """Whether anything is read from the store of the teacher's logits."""
        return self.front_end == "stored" or (self.teacher == "stored" and _is_used(self.kl_weight))


def _is_used(weight: Ramp) -> bool:
    return weight not in (0, (0, 0))


class Student(Section):
    """A smaller model: which layers of its parent it keeps, and how wide it is (null: as its parent)."""

    parent: str = Field(alias="from", pattern=NAME)
    layers: int | list[int] | None = Field(None, description="how many layers, or which (counted from 0)")
    choose: Literal["even", "first", "last"] = "even"
    hidden: int | None = Field(None, ge=1)
    heads: int | None = Field(None, ge=1)
    feed_forward: int | None = Field(None, ge=1)
    conv_channels: int | None = Field(None, ge=1)
    conv_merge: list[Annotated[int, Field(ge=1)]] | None = Field(
        None, description="of how many of its parent's neighbouring convolutions each of its own takes the place: [2, 2, 2, 1]"
    )
    importance: Literal["measured", "weights", "position"] = Field(
        "measured", description="what is kept: what matters on training audio, what has the largest weights, or the first"
    )
    importance_utterances: int = Field(64, ge=1, description="of train, evenly spread: heard to measure and to merge")
    quantise_aware: bool = Field(
        False, description="train with the front end in int8, all convolutions but the first, for the scheme int8qat-openvino"
    )
    config: dict[str, int | float | bool] = Field(default_factory=dict, description="dropout and SpecAugment: *dropout, mask_*")
    distillation: Distillation = Distillation()
    training: Training

    @field_validator("config")
    @classmethod
    def _keeps_its_shape(cls, config: dict) -> dict:
        for key in config:
            if not re.search(r"dropout$|^layerdrop$|^mask_(time|feature)_|^apply_spec_augment$", key):
                raise ValueError(f"{key} is no dropout or SpecAugment key: a student's shape is in layers, hidden, heads, ...")
        return config

    @model_validator(mode="after")
    def _can_be_trained(self) -> "Student":
        if self.training.augment.speed is not None and self.distillation.reads_store:
            raise ValueError(
                "training.augment.speed moves frames away from the teacher's stored logits: name speeds in logits.speeds, "
                "or set distillation.teacher to online, with front_end: heard"
            )
        if self.distillation.front_end == "stored":
            changes = {key: getattr(self, key) for key in ("conv_channels", "conv_merge", "quantise_aware")}
            changes["training.augment.noise_probability"] = self.training.augment.noise_probability
            if changed := [key for key, value in changes.items() if value]:
                raise ValueError(f"distillation.front_end: stored needs the teacher's front end as it is, without {changed[0]}")
        if self.training.grow:
            raise ValueError("training.grow is for a teacher built from a config: a student starts with its parent's layers")
        return self


# ---------------------------------------------------------------- variants and measurements


class Variant(Section):
    """A model in a scheme; `name` is its folder and run name, `slug` its name where dots are refused."""

    model: str = Field(pattern=NAME)
    scheme: str

    @property
    def name(self) -> str:
        return f"{self.model}.{self.scheme}"

    @property
    def slug(self) -> str:
        return f"{self.model}-{self.scheme}"


class Evaluate(Section):
    """How sure a WER is: resamples of the bootstrap, and its seed."""

    bootstrap: int = Field(2000, ge=100)
    seed: Seed = 7


class Benchmark(Section):
    """How speed, memory and energy are measured; see pipeline/benchmark.py."""

    threads: int = Field(2, ge=1)
    utterances: int = Field(20, ge=2, description="test utterances timed, the same for all variants")
    rounds: int = Field(10, ge=2, description="at least so many")
    max_rounds: int | None = Field(None, description="at most so many, while intervals are wide; null: three times rounds")
    precision: float = Field(0.15, gt=0, description="how wide the interval of a speedup may be, as a part of it")
    turn: int = Field(6, ge=1, description="timed utterances a turn, after one untimed")
    batch: int = Field(8, ge=1)
    lengths: list[Annotated[float, Field(gt=0, le=3600)]] = Field(
        [1, 2, 5, 10, 30, 60], description="seconds of audio for which latency is told; []: none"
    )
    cold_starts: int = Field(3, ge=0, description="fresh processes a variant, fewer where one takes seconds; 0: none")
    energy_seconds: float = Field(6.0, ge=0, description="length of a variant's energy block; 0: no energy pass")
    energy_rounds: int = Field(2, ge=1, description="one tells no resolution, so no energy either")
    country: str = Field(description="ISO code whose electricity mix gives CO2")
    seed: Seed = 7

    @field_validator("country")
    @classmethod
    def _has_a_mix(cls, country: str) -> str:
        known = _countries()
        if country not in known:
            raise ValueError(f"codecarbon knows no electricity mix of '{country}': give an ISO code such as DEU, FRA or USA")
        return country

    @property
    def most_rounds(self) -> int:
        return 3 * self.rounds if self.max_rounds is None else self.max_rounds

    @model_validator(mode="after")
    def _hears_every_utterance(self) -> "Benchmark":
        if self.most_rounds < self.rounds:
            raise ValueError(f"max_rounds is {self.max_rounds}, less than rounds, which is {self.rounds}: raise it")
        if self.rounds * self.turn < self.utterances:
            raise ValueError(
                f"{self.rounds} rounds of {self.turn} don't reach all {self.utterances} utterances: raise rounds or turn"
            )
        return self


@cache
def _countries() -> frozenset[str]:
    """Countries whose electricity mix codecarbon has, read from its data without importing it."""
    from importlib.util import find_spec

    data = Path(find_spec("codecarbon").origin).parent / "data" / "private_infra" / "global_energy_mix.json"
    return frozenset(json.loads(data.read_text(encoding="utf-8")))


class Gate(Section):
    """The budget a variant has to keep, on dev, to be promoted."""

    max_wer_rise: float = Field(0.01, ge=0)
    confidence: float = Field(0.95, gt=0.5, lt=1)
    max_disk_mb: float | None = None
    max_latency_p50_ms: float | None = None
    objective: Literal["both", "speed", "size"] = Field(
        "both", description="what the champion gains most of: speed, size, or both, which is the smaller gain of the two"
    )


class Tracking(Section):
    """Where runs go; the server is MLFLOW_TRACKING_URI's business, not a parameter."""

    experiment: str = "bigfoot"


class Params(Section):
    """params.yaml. What dvc.yaml names has to be written out, since DVC refuses a stage whose params aren't there."""

    profile: str
    corpus: Corpus
    teacher: Teacher
    logits: Logits
    students: dict[Annotated[str, Field(pattern=NAME)], Student]
    schemes: dict[str, dict]
    variants: dict[str, Variant]
    evaluate: Evaluate
    benchmark: Benchmark
    gate: Gate
    tracking: Tracking = Tracking()
    time_limits: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="hours, by stage (teacher, student, student@half), after which Prefect's flow ends it"
    )

    @model_validator(mode="after")
    def _names_agree(self) -> "Params":
        models = {"teacher", *self.students}
        for name, student in self.students.items():
            if name == "teacher":
                raise ValueError("students.teacher: that name is the teacher's, call the student otherwise")
            _check_chain(name, student, self.students)
            _check_front_end(name, student, self)
        for key, variant in self.variants.items():
            if variant.model not in models:
                raise ValueError(f"variants.{key}: unknown model '{variant.model}', known: {', '.join(sorted(models))}")
            if variant.scheme not in self.schemes:
                raise ValueError(f"variants.{key}: unknown scheme '{variant.scheme}', known: {', '.join(self.schemes)}")
            if key != variant.slug:
                raise ValueError(f"variants.{key}: has to be called {variant.slug}, after its model and scheme")
        if self.teacher.init == "config":  # of a pretrained one the shape is not known before it is loaded
            for name in self.students:
                shape(name, self.students, self.teacher.config)
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
            raise ValueError(f"students.{name}: its parents form a ring and never lead to the teacher")
        seen.add(parent)
        parent = students[parent].parent


def _check_front_end(name: str, student: Student, params: Params) -> None:
    """Refuse a student that is to read what the teacher's front end gave where that isn't kept, or isn't what it has."""
    if student.distillation.front_end != "stored":
        return
    if not params.logits.front_end:
        raise ValueError(f"students.{name}.distillation.front_end: stored needs logits.front_end: true")
    parent = student.parent
    if parent != "teacher" and params.students[parent].distillation.front_end != "stored":
        raise ValueError(
            f"students.{name}.distillation.front_end: stored needs the teacher's front end, which its parent {parent} may "
            f"change: set it for {parent} too"
        )


def shape(name: str, students: dict[str, Student], config: dict) -> dict[str, int]:
    """How large a model is, from the teacher's config down; refuses a student that doesn't fit into its parent."""
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
        raise ValueError(f"students.{name}: hidden {own['hidden']} is no multiple of heads {own['heads']}")
    return own | {"convolutions": len(student.conv_merge or range(convolutions))}


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml; raises BigfootError as `read` does, and where a scheme or one of its settings is unknown."""
    from pipeline import schemes

    if not Path(path).is_file():
        raise BigfootError(f"{path} is missing: run this in the project's folder, or `bigfoot use PROFILE` to make one")
    params = read(path, Params)
    for name, settings in params.schemes.items():
        schemes.make(name, settings)
    return params


def read(path: str | Path, kind: type[S]) -> S:
    """A file of settings of this kind.

    Raises BigfootError, in one line that names the key, where the file is absent, is no YAML or has a wrong value.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = Path(path)
    if not path.is_file():
        raise BigfootError(f"{path} is missing: run this in the project's folder")
    try:
        raw = YAML(typ="safe").load(path)
    except YAMLError as error:
        where = re.sub(r"\s+", " ", str(error))
        raise BigfootError(f"{path} is not valid YAML: {where}") from None
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise BigfootError(_first_problem(path, error)) from None


def _key(place: tuple[str | int, ...]) -> str:
    """Where pydantic found the problem, as one would write it: without the names of the alternatives it tried."""
    parts = list(place)
    if parts[:2] == ["corpus", "source"]:
        del parts[2:3]  # the kind of source
    while len(parts) > 1 and str(parts[-1]).split("[")[0] in ("int", "list", "tuple", "float", "str"):
        parts.pop()
    return ".".join(str(part) for part in parts)


def _first_problem(where: str | Path, error: ValidationError) -> str:
    """One line for the first of pydantic's complaints: file, key, what is wrong, and how many more there are."""
    # A mistyped key is the reason why the right one is missing, so it comes first.
    first, *more = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    key = _key(first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "is no parameter of Bigfoot: check its spelling, or remove it"
    elif first["type"] == "missing":
        message = "is missing"
    else:
        message = f"{message[0].lower()}{message[1:]}" if key else message
        given = first.get("input")
        if isinstance(given, str | int | float | bool) and not isinstance(first.get("ctx", {}).get("error"), ValueError):
            message += f", not {given!r}"
    rest = f" (and {len(more)} more)" if more else ""
    return f"{where}: {key + ': ' if key else ''}{message}{rest}"
