"""Sections `variants`, `evaluate`, `benchmark`, `gate` and `tracking`: what is made from models, and how it is measured."""

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.params.section import MOST, NAME, Hours, Section, Seed, each_once
from pipeline.speech.live import Live


class Variant(Section):
    """A model in a scheme; `name` is its folder and run name, `slug` its name where dots and + are refused.

    A scheme's name may end in a decoding: thin.int8-onnx+lm, in short thin-int8-onnx-lm.
    """

    model: str = Field(pattern=NAME, description="teacher, or a student by its name")
    scheme: str = Field(description="a key of `schemes`")

    @property
    def name(self) -> str:
        return f"{self.model}.{self.scheme}"

    @property
    def slug(self) -> str:
        return f"{self.model}-{self.scheme}".replace("+", "-")


Context = Annotated[float, Field(ge=0, le=60)]


class EvaluateLive(Section):
    """Seconds of audio that the first test set is recognized with, as if it were live: once for each right context."""

    chunk: float = Field(Live.chunk, ge=0.02, le=60, description="recognized at a time")
    left: Context = Field(Live.left, description="heard again before each chunk")
    right: list[Context] = Field(
        [0.0, 0.16, Live.right, 2 * Live.right], min_length=1, max_length=20, description="waited for after each chunk"
    )

    @field_validator("right")
    @classmethod
    def _ascends(cls, right: list[float]) -> list[float]:
        if right != sorted(set(right)):
            raise ValueError("list each right context once, in ascending order")
        return right


class Evaluate(Section):
    """How much of dev, gate and the test sets is recognized, and the bootstrap behind the intervals of an error rate."""

    max_hours: Hours | None = Field(
        None, description="of each set, drawn once, the same utterances for all variants; null: all of it"
    )
    live: EvaluateLive | None = Field(
        None, description="the errors of live recognition (docs/live.md); null: none; {}: with its defaults"
    )
    noise_snr_db: Annotated[list[Annotated[float, Field(ge=-100, le=100)]], each_once("list each ratio once")] = Field(
        [],
        max_length=20,
        description="the errors on the first test set with more noise: dB by which white noise lies below each utterance; "
        "[]: none",
    )
    bootstrap: int = Field(2000, ge=100, le=1_000_000, description="resamples")
    seed: Seed = Field(7, description="of the resamples, and of the utterances drawn")


class Benchmark(Section):
    """How speed, memory and energy are measured; see pipeline/benchmark/run.py."""

    threads: int = Field(2, ge=1, le=1_024, description="threads of each variant, besides the measurement with one")
    utterances: int = Field(20, ge=2, le=MOST, description="gate's utterances timed, the same for all variants")
    restarts: int = Field(
        5,
        ge=2,
        le=1_000,
        description="how many times each variant's process is started anew, at least, spread over the run",
    )
    rounds: int = Field(10, ge=2, le=10_000, description="minimum number of rounds; in each round every variant has one turn")
    max_rounds: int | None = Field(
        None,
        ge=2,
        le=10_000,
        description="maximum number of rounds, reached only while intervals are wide; null: three times `rounds`",
    )
    precision: float = Field(
        0.15, gt=0, le=10, description="how wide a speedup's interval may be, as a fraction of the speedup"
    )
    turn: int = Field(6, ge=1, le=10_000, description="timed utterances per turn, after one untimed")
    batch: int = Field(8, ge=1, le=10_000, description="utterances per batch where throughput in batches is measured")
    lengths: Annotated[list[Annotated[float, Field(ge=0.01, le=3600)]], each_once("list each length once")] = Field(
        [1, 2, 5, 10, 30, 60], max_length=100, description="seconds of audio for which latency is measured; []: none"
    )
    cold_starts: int = Field(
        3, ge=0, le=1_000, description="fresh processes per variant, fewer where one takes seconds; 0: none"
    )
    energy_seconds: float = Field(
        6.0, ge=0, le=3_600, description="seconds for which a variant's power is measured; 0: no energy pass"
    )
    energy_rounds: int = Field(
        2,
        ge=1,
        le=1_000,
        description="such measurements per variant; with 1 the resolution is unknown and energy is not reported",
    )
    seed: Seed = Field(7, description="of the choice of utterances and the order of variants")

    @property
    def most_rounds(self) -> int:
        return 3 * self.rounds if self.max_rounds is None else self.max_rounds

    @property
    def rounds_per_start(self) -> int:
        return math.ceil(self.rounds / self.restarts)

    @property
    def most_starts(self) -> int:
        return max(self.restarts, self.most_rounds // self.rounds_per_start)

    @model_validator(mode="after")
    def _times_every_utterance(self) -> "Benchmark":
        if self.most_rounds < self.rounds:
            raise ValueError(f"max_rounds is {self.max_rounds}, less than rounds, which is {self.rounds}: raise it")
        if (least := self.restarts * self.rounds_per_start) > self.most_rounds:
            raise ValueError(
                f"{self.restarts} restarts of {self.rounds_per_start} rounds each are {least} rounds, and max_rounds is "
                f"{self.most_rounds}: raise it, or start less often"
            )
        if self.rounds * self.turn < self.utterances:
            raise ValueError(
                f"{self.rounds} rounds of {self.turn} utterances don't reach all {self.utterances}: raise rounds or turn"
            )
        return self


class Budget(Section):
    """What students were proposed for: the gate judges it, and the report states it beside what came of it."""

    max_mb: float = Field(ge=0.0001, le=1e9, description="megabytes (10^6 bytes) of a variant's folder, at most")
    max_ms: float = Field(ge=0.001, le=1e9, description="milliseconds for `length` seconds of audio, at most")
    length: float = Field(3.0, ge=0.1, le=30, description="seconds of audio that `max_ms` is for")
    threads: int = Field(1, ge=1, le=1_024, description="CPU threads")
    runtime: Literal["onnx", "openvino", "any"] = Field(
        "any", description="proposed for; onnx: ONNX Runtime; openvino; any: either"
    )
    max_wer_rise: float | None = Field(
        None, ge=0, le=100, description="points of WER (or CER) over the teacher, at most: sets gate.max_rise; null: as it is"
    )

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.max_mb:g} MB and {self.max_ms:g} ms for {self.length:g} s of audio with {threads}"


class Gate(Section):
    """The budget that a variant has to stay within, on the split gate, to be promoted."""

    max_rise: float = Field(
        0.01, ge=0, le=1, description="of WER or CER (corpus.objective) over teacher.fp32, as a fraction: 0.01 is one point"
    )
    confidence: float = Field(
        0.95, gt=0.5, lt=1, description="of the upper bound of the rise, which has to be within the budget"
    )
    max_disk_mb: float | None = Field(None, gt=0, le=1e9, description="megabytes of the variant's files; null: no limit")
    max_latency_p50_ms: float | None = Field(
        None, gt=0, le=1e9, description="median latency on the machine of the benchmark; null: no limit"
    )
    budget: Budget | None = Field(
        None, description="what `bigfoot propose` was asked for, as it wrote it; its MB and ms are limits too; null: nothing"
    )
    prefer: Literal["both", "speed", "size"] = Field(
        "both",
        description="the gain that chooses the champion: speed, size, or both, which is the smaller of the two; docs/gate.md",
    )

    def limits(self) -> list[tuple[str, float, str]]:
        """What is allowed beside errors: (figure of a row, the most, its unit)."""
        limits = [("disk_mb", self.max_disk_mb, "MB"), ("latency_p50_ms", self.max_latency_p50_ms, "ms")]
        if asked := self.budget:
            limits += [
                ("disk_mb", asked.max_mb, "MB"),
                ("latency_asked_ms", asked.max_ms, f"ms for {asked.length:g} s of audio"),
            ]
        return [(figure, most, unit) for figure, most, unit in limits if most is not None]


class Tracking(Section):
    """Where runs are logged; the server is set by MLFLOW_TRACKING_URI, not by a parameter."""

    experiment: str = Field(
        "bigfoot",
        pattern=r"^[\w/][\w ./-]*$",
        description="name of the experiment in MLflow: letters, digits, / . - _ and spaces",
    )

    @field_validator("experiment")
    @classmethod
    def _leads_nowhere(cls, experiment: str) -> str:
        if ".." in experiment:
            raise ValueError("must not contain two dots: files are put in a folder of this name")
        return experiment
