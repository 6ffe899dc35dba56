"""Energy of transcribing: in several rounds, one contiguous block per variant and one idle block, all on one meter.

Decision: a figure is the energy of the whole machine during a variant's blocks, idle power included, per hour of audio. It is
given only where the meter can resolve the variant: where the mean power of its blocks exceeds that of the idle blocks by more
than the rounds of either differ among themselves. Otherwise, as on a machine that is busy with something else, the figure is
None and `energy_note` says why. One round shows no such spread, so it gives no figure.
"""

import logging
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pipeline.benchmark.processes import Process
from pipeline.common.energy import EnergyMeter, Reading, is_modeled
from pipeline.params import Benchmark

METER_SECONDS, LEAST_SAMPLES = 0.5, 2  # between two samples of the meter; samples per block, at least
MODELED = "modeled from the CPU's load, not measured"
IDLE = ""  # stands for a variant's name where none works
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Block(Reading):
    """What the machine used while one variant transcribed `audio_seconds` of audio, or while none did."""

    audio_seconds: float = 0.0

    @property
    def watts(self) -> float | None:
        """The mean power in W; None where the energy is not known."""
        return None if self.wh is None else self.wh * 3600 / self.seconds


def run(workers: dict[str, Process], settings: Benchmark) -> tuple[dict[str, dict], float | None]:
    """The energy figures of each variant (see `figures`), and the machine's idle power in W."""
    if settings.energy_seconds < LEAST_SAMPLES * METER_SECONDS:
        why = f"not measured: benchmark.energy_seconds is {settings.energy_seconds:g}, less than {LEAST_SAMPLES} meter samples"
        return {name: figures([], [], None, why) for name in workers}, None
    order = [IDLE, *workers]
    blocks: dict[str, list[Block]] = {name: [] for name in order}
    rng = random.Random(settings.seed)
    with EnergyMeter(every=METER_SECONDS) as meter:
        for number in range(settings.energy_rounds):
            log.info("benchmark: energy, round %d of %d", number + 1, settings.energy_rounds)
            rng.shuffle(order)
            for name in order:
                blocks[name].append(_block(meter, partial(_work, workers, name, settings.energy_seconds)))
    idle = blocks.pop(IDLE)
    idle_watts = _watts(idle)
    rows = {name: figures(used, idle, meter.mode) for name, used in blocks.items()}
    return rows, round(statistics.mean(idle_watts), 2) if len(idle_watts) == len(idle) else None


def figures(used: list[Block], idle: list[Block], mode: str | None, why: str | None = None) -> dict:
    """Wh per hour of audio, and whether the method can resolve it (`energy_resolved`); see this module's docstring.

    `energy_note` says why not (it is `why` where nothing was measured), or that the power was modeled and not measured.
    """
    row: dict[str, float | str | bool | None] = {
        "energy_wh_per_audio_hour": None, "energy_mode": mode, "energy_resolved": False,
        "energy_w": None, "energy_above_idle_w": None, "energy_resolution_w": None, "energy_note": why,
    }  # fmt: skip
    if why:
        return row
    watts, idle_watts = _watts(used), _watts(idle)
    if len(watts) < len(used) or len(idle_watts) < len(idle):
        return row | {"energy_note": "not measured: codecarbon gave no reading"}
    if len(used) < 2:
        return row | {"energy_note": "not resolved: one round shows no spread: set benchmark.energy_rounds to 2 or more"}
    mean = statistics.mean(watts)
    above = mean - statistics.mean(idle_watts)
    resolution = max(_spread(watts), _spread(idle_watts))
    row |= {"energy_w": mean, "energy_above_idle_w": above, "energy_resolution_w": resolution}
    if above <= resolution:
        return row | {"energy_note": f"not resolved: {above:.2f} W above idle, and rounds differ by {resolution:.2f} W"}
    hours = sum(block.audio_seconds for block in used) / 3600
    row["energy_wh_per_audio_hour"] = sum(block.wh for block in used if block.wh is not None) / hours
    return row | {"energy_resolved": True, "energy_note": MODELED if is_modeled(mode) else None}


def _watts(blocks: list[Block]) -> list[float]:
    """The mean power of each block whose energy is known."""
    return [block.watts for block in blocks if block.watts is not None]


def _spread(watts: list[float]) -> float:
    return max(watts) - min(watts)


def _work(workers: dict[str, Process], name: str, seconds: float) -> float:
    """Transcribe, or do nothing, for so many seconds: -> seconds of audio transcribed."""
    if name == IDLE:
        time.sleep(seconds)
        return 0.0
    return workers[name].ask("work", seconds=seconds)["audio_seconds"]


def _block(meter: EnergyMeter, work: Callable[[], float]) -> Block:
    before = meter.reading()
    audio_seconds = work()
    after = meter.reading()
    wh = None if before.wh is None or after.wh is None else after.wh - before.wh
    return Block(after.seconds - before.seconds, wh, audio_seconds)
