"""Energy of transcribing: contiguous blocks a variant, several rounds, idle blocks among them, one meter.

Decision: a figure is the whole machine's use during a variant's blocks, idle power included, for an hour of audio. It is
told only where the meter can see the variant at all: where the mean power of its blocks is above that of the idle ones by more
than the rounds of either differ among themselves. Otherwise the figure is None and `energy_note` says why; so it is on a
machine that is busy with something else. One round shows no such difference, so it tells nothing.
"""

import logging
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.benchmark.processes import Process
from pipeline.common.energy import EnergyMeter, Reading
from pipeline.params import Benchmark

METER_SECONDS, LEAST_SAMPLES = 0.5, 2  # of one block
IDLE = ""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Block(Reading):
    """What the machine used while one variant transcribed `audio_seconds` of audio, or while nothing did."""

    audio_seconds: float = 0.0

    @property
    def watts(self) -> float:
        return self.wh * 3600 / self.seconds


def run(workers: dict[str, Process], settings: Benchmark) -> tuple[dict[str, dict], float | None]:
    """The energy figures of each variant (see `figures`), and the machine's idle power in W."""
    if settings.energy_seconds < LEAST_SAMPLES * METER_SECONDS:
        why = f"not measured: benchmark.energy_seconds is {settings.energy_seconds:g}, less than {LEAST_SAMPLES} meter samples"
        return {name: figures([], [], None, why) for name in workers}, None
    order, blocks = [IDLE, *workers], {name: [] for name in [IDLE, *workers]}
    rng = random.Random(settings.seed)
    with EnergyMeter(every=METER_SECONDS) as meter:
        for number in range(settings.energy_rounds):
            log.info("benchmark: energy, round %d of %d", number + 1, settings.energy_rounds)
            rng.shuffle(order)
            for name in order:
                blocks[name].append(_block(meter, lambda n=name: _work(workers, n, settings.energy_seconds)))
    idle = blocks.pop(IDLE)
    known = all(block.wh is not None for block in idle)
    rows = {name: figures(used, idle, meter.mode) for name, used in blocks.items()}
    return rows, round(statistics.mean(block.watts for block in idle), 2) if known else None


def figures(used: list[Block], idle: list[Block], mode: str | None, why: str | None = None) -> dict:
    """Wh per hour of audio, and whether that is more than what the method can tell apart (`energy_resolved`).

    `energy_note` says why not (`why`, where nothing was measured), or that the power was not measured but modeled.
    """
    row = {
        "energy_wh_per_audio_hour": None, "energy_mode": mode, "energy_resolved": False,
        "energy_w": None, "energy_above_idle_w": None, "energy_resolution_w": None, "energy_note": why,
    }  # fmt: skip
    if why:
        return row
    if any(block.wh is None for block in [*used, *idle]):
        return row | {"energy_note": "not measured: codecarbon gave no reading"}
    if len(used) < 2:
        return row | {"energy_note": "not resolved: one round shows no spread, benchmark.energy_rounds has to be 2 or more"}
    watts = statistics.mean(block.watts for block in used)
    above = watts - statistics.mean(block.watts for block in idle)
    resolution = max(_spread(used), _spread(idle))
    row |= {"energy_w": watts, "energy_above_idle_w": above, "energy_resolution_w": resolution}
    if above <= resolution:
        return row | {"energy_note": f"not resolved: {above:.2f} W above idle, and rounds differ by {resolution:.2f} W"}
    hours = sum(block.audio_seconds for block in used) / 3600
    row["energy_wh_per_audio_hour"] = sum(block.wh for block in used) / hours
    is_modeled = "cpu_load" in (mode or "") or "cpu: constant" in (mode or "")
    return row | {"energy_resolved": True, "energy_note": "modeled from the CPU's load, not measured" if is_modeled else None}


def _spread(blocks: list[Block]) -> float:
    watts = [block.watts for block in blocks]
    return max(watts) - min(watts)


def _work(workers: dict[str, Process], name: str, seconds: float) -> float:
    """Seconds of audio that the variant has heard; idle hears none."""
    if name == IDLE:
        time.sleep(seconds)
        return 0.0
    return workers[name].ask("work", seconds=seconds)["audio_seconds"]


def _block(meter: EnergyMeter, work: Callable[[], float]) -> Block:
    before = meter.reading()
    heard = work()
    after = meter.reading()
    known = before.wh is not None and after.wh is not None
    return Block(after.seconds - before.seconds, after.wh - before.wh if known else None, heard)
