"""Sections `teacher`, `logits` and `students`: how models are trained and distilled."""

import re
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pipeline.params.section import (
    MOST,
    NAME,
    WIDEST,
    Count,
    Fraction,
    Hours,
    Seconds,
    Section,
    Seed,
    Speed,
    Text,
    Weight,
    Width,
    each_once,
)

Decibels = Annotated[float, Field(ge=-100, le=100)]

SHAPE: dict[str, type] = {"num_hidden_layers": int, "hidden_size": int, "num_attention_heads": int, "intermediate_size": int}
SHAPE |= {"conv_dim": list, "conv_kernel": list, "conv_stride": list}  # of a model: keys of transformers' config


class Augment(Section):
    """Changes to the training audio, seeded by (seed, epoch, utterance). `speed` moves frames: not for stored logits."""

    speed: tuple[Speed, Speed] | None = Field(
        None, description="slowest and fastest speed factor, drawn for each utterance: [0.9, 1.1]; null: speed is not changed"
    )
    noise_probability: Fraction = Field(0.0, description="fraction of utterances that get white noise; 0: none")
    noise_snr_db: tuple[Decibels, Decibels] = Field(
        (10.0, 40.0), description="lowest and highest ratio of speech to that noise, in dB, drawn for each utterance"
    )
    join: int = Field(
        1,
        ge=1,
        le=100,
        description="most utterances of one speaker that are joined to an example, with short pauses, as many as are drawn and "
        "fit in batch_seconds: for corpora of short recordings; 1: none are",
    )

    @field_validator("speed", "noise_snr_db")
    @classmethod
    def _rises(cls, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        if ends and ends[0] > ends[1]:
            raise ValueError(f"the lower end comes first: [{ends[1]:g}, {ends[0]:g}]")
        return ends


class Training(Section):
    """One run of the Trainer. Steps are optimizer steps; a batch holds as many utterances as fit in `batch_seconds`."""

    steps: Count = Field(description="optimizer steps of the whole run")
    batch_seconds: float = Field(
        16.0,
        ge=0.1,
        le=100_000,
        description="maximum seconds of audio per batch, padding included; a longer utterance is a batch by itself",
    )
    accumulate: int = Field(1, ge=1, le=100_000, description="batches per step and process")
    learning_rate: float = Field(
        ge=1e-12, le=1, description="the highest, after the warm-up; it then falls to 0 along a cosine"
    )
    warmup: Fraction = Field(0.1, description="fraction of the steps over which the learning rate rises from 0")
    freeze_feature_encoder_steps: int = Field(
        0,
        ge=0,
        le=MOST,
        description="first steps, in which the feature encoder is frozen; 0: none, but all with distillation.features: stored",
    )
    precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto",
        description="of the computation; auto: bf16 where the hardware has it, otherwise fp16 on a GPU and fp32 on a CPU",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="true: compute activations again in the backward pass: the same gradients from less memory, a third slower",
    )
    evaluate_every: Count = Field(200, description="steps between two measurements on dev, each also a checkpoint")
    evaluate_hours: Hours | None = Field(None, description="of dev, drawn once, that they take; null: all of it")
    patience: Count | None = Field(
        None,
        description="stop after this many measurements on dev without a better one, while the learning rate is still high: the "
        "log says how high; null: never",
    )
    grow: list[tuple[Annotated[int, Field(ge=0, le=MOST)], Width]] = Field(
        [], description="[step, layers in use from then on]...: deep only once it can spell; []: all layers from the start"
    )
    chunk: tuple[Seconds, Seconds] | None = Field(
        None,
        description="[shortest, longest] in seconds: half of the batches are seen in chunks of such a length, without what "
        "follows, for live recognition with a short right context (docs/live.md); null: none",
    )
    augment: Augment = Field(Augment(), description="changes to the training audio; {}: none")
    seed: Seed = Field(7, description="of everything that is drawn: new weights, the order of batches, augmentation")

    @field_validator("grow")
    @classmethod
    def _grows(cls, grow: list[tuple[int, int]]) -> list[tuple[int, int]]:
        rises = all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(grow))
        if grow and (grow[0][0] != 0 or not rises):
            raise ValueError("needs rising steps and layers, the first from step 0 on, such as [[0, 3], [2000, 6], [4000, 12]]")
        return grow

    @field_validator("chunk")
    @classmethod
    def _ascends(cls, chunk: tuple[float, float] | None) -> tuple[float, float] | None:
        if chunk and chunk[0] > chunk[1]:
            raise ValueError("name the shortest first, such as [0.16, 0.64]")
        return chunk

    @model_validator(mode="after")
    def _grows_up(self) -> "Training":
        if self.grow and self.grow[-1][0] >= self.steps:
            raise ValueError(f"grow: the last layers start at step {self.grow[-1][0]}, but there are only {self.steps}")
        return self


def with_values(config: object) -> object:
    """A config as it is; raises ValueError for a value of a kind that none has: pydantic would name one of several kinds."""
    for key, value in config.items() if isinstance(config, dict) else ():
        widths = value if isinstance(value, list) else [1]
        if not isinstance(value, int | float | str | list) or not all(type(w) is int and 0 < w <= WIDEST for w in widths):
            raise ValueError(f"{key} has to be a number, a text, true, false, or a list of numbers from 1 to {WIDEST:,}")
    return config


def within_bounds(config: dict) -> dict:
    """transformers' config as it is; raises ValueError where a value is one that no model can have."""
    for key, value in config.items():
        if (kind := SHAPE.get(key)) and (type(value) is not kind or not value):
            raise ValueError(f"{key} is {value!r}: it has to be {'a list of numbers' if kind is list else 'a whole number'}")
        most = 1 if re.search(r"dropout$|^layerdrop$|_prob$", key) else WIDEST
        if isinstance(value, int | float) and not 0 <= value <= most:
            raise ValueError(f"{key} is {value}: it has to be within 0 and {most:,}")
    return config


class Teacher(Section):
    """The model that is shrunk: built from `config`, or pretrained (a folder in `data`, or a hub `name`).

    Built from a config with `finetune: false` it is UNTRAINED: size and speed can be measured, word errors mean nothing.
    """

    init: Literal["config", "pretrained"] = Field(
        description="config: new weights in the shape that `config` states; pretrained: weights from `data` or `name`"
    )
    data: Text = Field(description="the pretrained model's folder, which DVC watches; data/none where there is none")
    name: str | None = Field(None, description="name of a pretrained model on the hub; null: the folder in data")
    revision: str | None = Field(None, description="commit, branch or tag of `name` on the hub; null: its main branch")
    alphabet: Literal["corpus", "model"] = Field(
        "corpus",
        description="corpus: a new CTC head over the characters of the training text; model: its own head and vocabulary",
    )
    target_lang: str | None = Field(
        None, description="the language, of a model with one adapter and vocabulary per language, such as MMS: deu; null: none"
    )
    finetune: bool = Field(True, description="false: used unchanged, a pretrained one zero-shot, which needs a CTC head")
    config: Annotated[
        dict[str, int | float | bool | str | list[Width]], BeforeValidator(with_values), AfterValidator(within_bounds)
    ] = Field(
        default_factory=dict,
        description="transformers' config: the architecture, dropout, SpecAugment; {}: its defaults, or the pretrained model's",
    )
    training: Training | None = Field(None, description="how it is fine-tuned; null only with finetune: false")

    @model_validator(mode="after")
    def _is_complete(self) -> "Teacher":
        chosen = [key for key in ("name", "revision", "target_lang") if getattr(self, key) is not None]
        chosen += ["alphabet"] if self.alphabet == "model" else []
        if self.init == "config" and chosen:
            raise ValueError(f"{chosen[0]} is of a pretrained model: set init to pretrained, or leave {chosen[0]} out")
        if self.revision is not None and self.name is None:
            raise ValueError("revision is a commit of the hub's model: name that model")
        if self.target_lang is not None and self.alphabet == "corpus":
            raise ValueError("target_lang chooses one of the model's own alphabets: set alphabet to model")
        if self.finetune and self.training is None:
            raise ValueError("finetune: true needs a training section")
        grow = self.training.grow if self.training else []
        layers = int(str(self.config.get("num_hidden_layers", 12)))  # `within_bounds` has seen that it is a whole number
        if grow and self.init == "pretrained":
            raise ValueError("training.grow is for a model built from a config: it would overwrite a pretrained model's layers")
        if grow and grow[-1][1] != layers:
            raise ValueError(f"training.grow: ends with {grow[-1][1]} layers, the model has {layers}")
        if grow and not self.config.get("do_stable_layer_norm"):
            raise ValueError(
                "training.grow: needs a pre-norm model: set config.do_stable_layer_norm to true, or leave grow out"
            )
        if self.is_untrained and self.training:
            raise ValueError("init: config with finetune: false is UNTRAINED: leave its training section out")
        if not self.finetune and self.init == "pretrained" and self.alphabet == "corpus":
            raise ValueError("finetune: false keeps the model's own head, so alphabet has to be model")
        return self

    @property
    def is_untrained(self) -> bool:
        """Whether it has learned nothing, here or elsewhere."""
        return self.init == "config" and not self.finetune


class Logits(Section):
    """The teacher's outputs for the training audio, stored once for all students."""

    speeds: Annotated[list[Speed], each_once("a speed occurs twice")] = Field(
        [1.0],
        min_length=1,
        description="speed factors; the training audio is passed through the teacher at each of them",
    )
    features: bool = Field(
        False,
        description="true: also for distillation.features: stored, the feature encoder's output; 2 bytes per channel and frame",
    )
    top_k: int | None = Field(
        None,
        ge=1,
        description="how many tokens of each frame are stored, the likeliest, beside the mass of the others: for large "
        "vocabularies; null: all",
    )


Temperature = Annotated[float, Field(gt=0, le=1_000)]
Ramp = Weight | tuple[Weight, Weight]


class Distillation(Section):
    """Loss = kl_weight * T^2 * KL(teacher || student at temperature T) + ctc_weight * CTC.

    See pipeline/distill/loss.py. A pair of numbers changes linearly from the first to the second over the run.
    """

    teacher: Literal["stored", "online"] = Field(
        "stored", description="stored: its logits from the stage teacher_logits; online: the model runs beside the student"
    )
    temperature: Temperature | tuple[Temperature, Temperature] = Field(
        1.0, description="by which both models' logits are divided in the KL term; above 1: flatter distributions"
    )
    kl_weight: Ramp = Field(1.0, description="of learning the teacher's distribution over characters in each frame")
    ctc_weight: Ramp = Field(1.0, description="of learning the reference text")
    features: Literal["computed", "stored"] = Field(
        "computed",
        description="computed: from audio; stored: the student keeps the teacher's feature encoder and reads its stored output",
    )
    unlabelled: Fraction = Field(
        0.0, description="share of the batches that hold audio without text, the corpus's split unlabelled; 0: none"
    )
    pseudo_labels: Fraction | None = Field(
        None, description="the least confidence with which the teacher's own text of unlabelled audio counts; null: never"
    )

    @model_validator(mode="after")
    def _has_a_loss(self) -> "Distillation":
        if not is_used(self.kl_weight) and not is_used(self.ctc_weight):
            raise ValueError("kl_weight and ctc_weight are both 0: there is nothing to learn from")
        if self.pseudo_labels is not None and not is_used(self.ctc_weight):
            raise ValueError("pseudo_labels teach by CTC alone: set ctc_weight above 0, or leave pseudo_labels out")
        if self.pseudo_labels is not None and (not self.unlabelled or self.teacher == "online"):
            raise ValueError("pseudo_labels needs unlabelled above 0, and the stored teacher: set teacher to stored")
        if self.unlabelled and self.pseudo_labels is None and not is_used(self.kl_weight):
            raise ValueError("unlabelled audio teaches by kl_weight or pseudo_labels: set one of them")
        if self.features == "stored" and self.teacher == "online":
            raise ValueError("features: stored gives no audio to an online teacher: set teacher to stored")
        return self

    @property
    def needs_logits(self) -> bool:
        """Whether anything is learned from the teacher's logits."""
        return is_used(self.kl_weight) or self.pseudo_labels is not None

    @property
    def reads_store(self) -> bool:
        """Whether anything is read from the store of the teacher's logits."""
        return self.features == "stored" or (self.teacher == "stored" and self.needs_logits)


def is_used(weight: Ramp) -> bool:
    """Whether a weight is anything but 0 during a run."""
    return weight not in (0, (0, 0))


class FewBits(Section):
    """How a student rounds the weights of its Linears while it learns; the schemes int4w-onnx and int4w-openvino keep it."""

    bits: float = Field(
        ge=2,
        le=8,
        description="bits per weight: 2, 4 or 8; or a mean over all weights, such as 3, so that rounding loses least",
    )
    block: Literal[16, 32, 64, 128] = Field(32, description="inputs that share a scale: 16, 32, 64 or 128")


class Student(Section):
    """A smaller model: which layers of its parent it keeps, and how wide it is (null: as its parent)."""

    parent: str = Field(alias="from", pattern=NAME, description="the model it is cut from: teacher, or another student")
    init: Literal["parent", "scratch"] = Field(
        "parent", description="parent: weights cut from its parent; scratch: new ones in the same shape, as a control"
    )
    layers: Width | list[Annotated[int, Field(ge=0, le=WIDEST)]] | None = Field(
        None, description="how many of its parent's layers it keeps, or which, counted from 0; null: all"
    )
    choose: Literal["even", "first", "last"] = Field(
        "even", description="which layers, where `layers` is a number: even: evenly spaced; the first; the last"
    )
    hidden: Width | None = Field(None, description="width of the residual stream; null: as its parent")
    heads: Width | None = Field(None, description="attention heads per layer; null: as its parent")
    feed_forward: Width | None = Field(None, description="units of each layer's feed-forward part; null: as its parent")
    conv_channels: Width | None = Field(
        None, description="channels of each convolution of the feature encoder, at most; null: as its parent"
    )
    conv_merge: list[Width] | None = Field(
        None,
        description="how many neighboring convolutions of its parent each of its own replaces: [2, 2, 2, 1]; null: one each",
    )
    frame_rate: float | None = Field(
        None,
        ge=10,
        le=1_000,
        description="frames per second, its parent's divided by a whole number, such as 25; null: as its parent",
    )
    importance: Literal["measured", "weights", "position"] = Field(
        "measured",
        description="what a narrower student keeps; measured: what matters on training audio; weights: the largest; "
        "position: the first",
    )
    importance_utterances: Count = Field(
        64, description="utterances of train, evenly spaced, on which importance is measured and convolutions are merged"
    )
    quantize_aware: bool = Field(
        False,
        description="true: train with all convolutions but the first in int8, for the scheme int8qat-openvino",
    )
    few_bits: FewBits | None = Field(
        None,
        description="train with the Linears' weights in few bits, as int4w-onnx and int4w-openvino store them; null: in float",
    )
    config: Annotated[dict[str, int | float | bool], BeforeValidator(with_values)] = Field(
        default_factory=dict, description="dropout and SpecAugment: *dropout, mask_*; {}: as its parent"
    )
    distillation: Distillation = Field(Distillation(), description="what it learns from")
    training: Training | None = Field(description="how it is trained; null: it is cut from its parent and not trained")

    @field_validator("config")
    @classmethod
    def _keeps_its_shape(cls, config: dict) -> dict:
        for key in config:
            if not re.search(r"dropout$|^layerdrop$|^mask_(time|feature)_|^apply_spec_augment$", key):
                raise ValueError(
                    f"{key} is not a dropout or SpecAugment key: a student's shape is in layers, hidden, heads, ..."
                )
        return within_bounds(config)

    @property
    def ancestor(self) -> str | None:
        """The model whose training its own builds on: its parent, or, of new weights, the teacher if it learns from it."""
        if self.init == "parent":
            return self.parent
        return "teacher" if self.distillation.needs_logits else None

    @property
    def seed(self) -> int:
        """The seed of its surgery and its training."""
        return self.training.seed if self.training else 0

    @model_validator(mode="after")
    def _can_be_trained(self) -> "Student":
        if self.training is None:
            if self.init == "scratch":
                raise ValueError("init: scratch has nothing of its parent, so training can't be null")
            if self.quantize_aware or self.few_bits:
                key = "quantize_aware" if self.quantize_aware else "few_bits"
                raise ValueError(f"{key} is a way to train, so training can't be null")
            return self
        if self.quantize_aware and self.few_bits:
            raise ValueError("quantize_aware and few_bits are for two schemes, of which none keeps both: leave one out")
        if self.training.augment.speed is not None and self.distillation.reads_store:
            raise ValueError(
                "training.augment.speed moves frames away from the teacher's stored logits: put speeds in logits.speeds, "
                "or set distillation.teacher to online, with features: computed"
            )
        if self.distillation.features == "stored":
            changes = {
                "init": self.init == "scratch",
                **{key: getattr(self, key) for key in ("conv_channels", "conv_merge", "frame_rate", "quantize_aware")},
                "training.augment.noise_probability": self.training.augment.noise_probability,
                "training.augment.join": self.training.augment.join > 1,
            }
            if changed := [key for key, value in changes.items() if value]:
                raise ValueError(f"distillation.features: stored keeps the teacher's feature encoder: leave {changed[0]} out")
        if self.training.grow:
            raise ValueError("training.grow is for a teacher built from a config: a student starts with its parent's layers")
        return self
