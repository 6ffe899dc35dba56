"""What `benchmark` measures of all variants in one run on one host, and timings.json, which holds it under the same names.

What could not be measured is None, null in the file, which is sealed (`pipeline.common.files`), so that an edited figure is
found. docs/speed.md and docs/energy.md describe how each figure is measured.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from pipeline.common import host
from pipeline.common.errors import BigfootError
from pipeline.common.files import again, sealed, write_json
from pipeline.common.objects import read_object
from pipeline.common.shapes import problem

COMMAND = "dvc repro benchmark"
REFERENCE = "teacher.fp32"  # every ratio is relative to it
BUSY = {"cpu_use_before": 0.2, "others_cpu_use": 0.1, "cpu_use_after": 0.2}  # of all cores' time, for a second or on average


@dataclass(frozen=True)
class Known:
    """What is known of a variant before it runs, None where an older variant.json lacks it; `files` is the mark of its seal."""

    files: str | None
    disk_mb: float
    weights_mb: float | None
    params: int | None
    macs_per_second: float | None


@dataclass(frozen=True)
class Skipped(Known):
    """A variant that can't run on this host, and the reason."""

    reason: str


@dataclass(frozen=True)
class Timing(Known):
    """The figures of one variant; `narrow`: whether the speedup's interval is narrow.

    `device`: what it ran on, "cpu" or the name of a GPU; teacher.fp32, to which speedups refer, runs on the CPU.
    `speedup_to_choose`: of starts of their own, so that no choice is made by the timings that are reported.
    `speedups`: over each of the teacher's variants that was in memory at the same time, {its name: [estimate, low, high]}.
    """

    ram_mb: float
    ram_model_mb: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    ms_per_audio_second_p50: float
    ms_per_audio_second_p95: float
    ms_per_audio_second_p99: float
    rtfx: float
    rtfx_low: float
    rtfx_high: float
    speedup: float
    speedup_low: float
    speedup_high: float
    speedup_to_choose: float
    narrow: bool
    turns: int
    latency_p50_ms_one_thread: float
    speedup_one_thread: float
    speedup_one_thread_low: float
    speedup_one_thread_high: float
    speedups: dict[str, list[float]]
    rtfx_batched: float | None
    cnn_ms: float | None
    encoder_ms: float | None
    int8_share: float | None
    latency_by_length: dict[str, float] | None
    latency_by_length_one_thread: dict[str, float] | None
    cold_start_ms: float | None
    load_ms: float | None
    energy_wh_per_audio_hour: float | None
    energy_mode: str | None
    energy_resolved: bool
    energy_w: float | None
    energy_above_idle_w: float | None
    energy_resolution_w: float | None
    energy_note: str | None
    device: str = "cpu"


class ColdStart(TypedDict):
    """What was heard at a cold start, in seconds, and whether the variant's files were in memory."""

    seconds: float
    file_cache: str


@dataclass(frozen=True)
class Sample:
    """What was timed: the number of utterances, and their duration in total."""

    utterances: int
    seconds: float


@dataclass(frozen=True)
class Timings:
    """One run: `host` as `pipeline.common.host.describe` returns it, `turn` utterances of the sample timed per round.

    `seconds`: how long the run took. `restarts`: how many times each process was started. `precision`: how wide a speedup's
    interval may be, as a fraction of the speedup. `groups`: how many groups of variants were in memory one after the other.
    `skipped`: the variants that were not timed.
    """

    measured_at: str
    seconds: float
    host: dict
    threads: int
    versions: dict[str, str]
    sample: Sample
    restarts: int
    rounds: int
    turn: int
    precision: float
    cold_start: dict
    idle_w: float | None
    variants: dict[str, Timing]
    groups: int
    skipped: dict[str, Skipped] = field(default_factory=dict)

    def known(self, variant: str) -> Known | None:
        """What is known of a variant, timed or skipped; None where the run had no such variant."""
        return self.variants.get(variant) or self.skipped.get(variant)

    @property
    def timed_on(self) -> str:
        """What decides the speeds, in one line; see `pipeline.common.host.timed_on`."""
        return host.timed_on({"host": self.host, "threads": self.threads})

    @property
    def busy(self) -> float | None:
        """The part of all cores' time that other work took before, during or after the run; None where it is little."""
        used = [use for key, most in BUSY.items() if (use := self.host.get(key) or 0.0) > most]
        return max(used, default=None)


def read(path: Path) -> Timings:
    """Read timings.json; raises BigfootError where it is missing, broken or made by an older Bigfoot."""
    timings = read_object(path, Timings, COMMAND)
    for name, shape in (("host", host.Host), ("cold_start", ColdStart)):
        if found := problem(getattr(timings, name), shape):
            raise BigfootError(f"{path}: {name}{found}: {again(COMMAND)}")
    return timings


def write(path: Path, timings: Timings) -> None:
    write_json(path, sealed(asdict(timings)))
