"""Measures energy with codecarbon, and converts it to CO2 for a country.

Decision: only energy is measured and stored. CO2 is energy times a country's carbon intensity, so it is computed where it is
shown, and a change of country makes no measurement stale. The offline tracker does not use the network. Where the machine
does not report energy (no RAPL, no NVML), codecarbon models it from CPU load and a constant for RAM. `mode` names the method
and belongs beside every figure. Such a figure follows time, so it is called modeled and has a range wherever it is shown
(`range_of`). A meter never makes the measured work fail: where codecarbon fails, readings are None.
"""

import json
import logging
import math
import time
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ANY_COUNTRY = "USA"  # the tracker requires a country; its CO2 is not used
METERS = {"intel_rapl", "intel_power_gadget", "windows_emi", "apple_powermetrics"}  # codecarbon's names of what reads a CPU
# The standard deviation of the logarithm of the power that codecarbon's model gave two busy threads, 14 to 38 W, in the 14
# published runs of digits and quickstart of November 2026. tests/common/test_energy.py has them.
SPREAD = 0.28
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """Seconds and watt-hours since the meter started (None: not known)."""

    seconds: float
    wh: float | None


class EnergyMeter:
    """Measures while its `with` block runs: `reading()` is the energy so far, `mode` the method.

    `every`: seconds between two samples of the power.
    """

    def __init__(self, every: float = 5.0):
        self.every = every
        self.mode: str | None = None
        self._tracker: Any = None  # an OfflineEmissionsTracker, which is not typed
        self._last: Reading | None = None

    def __enter__(self) -> "EnergyMeter":
        self._started = time.monotonic()
        try:
            from codecarbon import OfflineEmissionsTracker

            logging.getLogger("codecarbon").disabled = True
            self._tracker = OfflineEmissionsTracker(
                country_iso_code=ANY_COUNTRY, measure_power_secs=self.every, output_methods=[], log_level="critical",
                allow_multiple_runs=True, tracking_mode="machine",
            )  # fmt: skip
            self._tracker.start()
            self.mode = _mode(self._tracker)
        except Exception as error:  # codecarbon lets the sensors' errors of any kind through
            log.warning("energy is not measured: codecarbon failed (%s)", " ".join(str(error).split())[:200])
            self._tracker = None
        return self

    def __exit__(self, *_) -> None:
        self._last = self.reading()
        if self._tracker is not None:
            self._tracker.stop()
            self._tracker = None

    def reading(self) -> Reading:
        """Energy and time until now, or until the block ended."""
        if self._last is not None:
            return self._last
        seconds = time.monotonic() - self._started
        if self._tracker is None:
            return Reading(seconds, None)
        self._tracker.flush()  # samples the power once more, so that the last seconds count
        return Reading(seconds, self._tracker._prepare_emissions_data().energy_consumed * 1000)


def _mode(tracker) -> str:
    """How codecarbon measures the power of each part, such as 'cpu: cpu_load, ram: constant, gpu: nvml'."""
    parts = []
    for hardware in tracker._hardware:
        kind = type(hardware).__name__.lower()
        method = getattr(hardware, "_mode", None) or {"ram": "constant", "gpu": "nvml"}.get(kind, "constant")
        parts.append(f"{kind}: {method}")
    return ", ".join(sorted(parts))


def is_modeled(mode: str | None, on_gpu: bool = False) -> bool:
    """Whether a figure of this mode is a model's, because nothing read the power; `on_gpu`: the work may have been a GPU's."""
    methods = dict(part.split(": ", 1) for part in (mode or "").split(", ") if ": " in part)
    return methods.get("cpu") not in METERS and not (on_gpu and "gpu" in methods)


def range_of(wh: float | None, mode: str | None, on_gpu: bool = False) -> tuple[float, float] | None:
    """The ends of the range of a modeled figure; None where it was measured, or isn't known."""
    return widened(wh) if wh is not None and is_modeled(mode, on_gpu) else None


def widened(value: float, runs: int = 1) -> tuple[float, float]:
    """Between which ends the model's mean over many runs of the same work lies, 95 of 100 times.

    `runs`: how many runs with a spread of their own the value is made of. How far the model lies from what a meter would read
    is not known, and not in the range.
    """
    factor = math.exp(1.96 * SPREAD * math.sqrt(runs))
    return value / factor, value * factor


def co2_g(wh: float | None, country: str) -> float | None:
    """Grams of CO2 equivalent for this much of a country's electricity; None where the energy is not known."""
    return None if wh is None else wh / 1000 * _intensities()[country]


def known_country(country: str) -> str:
    """Return `country`, an ISO 3166 code of three letters; raise ValueError where codecarbon has no electricity mix for it."""
    if country not in _intensities():
        raise ValueError(f"codecarbon has no electricity mix for '{country}': give an ISO code such as DEU, FRA or USA")
    return country


@cache
def _intensities() -> dict[str, float]:
    """Grams of CO2 equivalent per kWh for each country, read from codecarbon's data without importing codecarbon."""
    spec = find_spec("codecarbon")
    assert spec and spec.origin, "codecarbon is among the requirements"
    data = Path(spec.origin).parent / "data" / "private_infra" / "global_energy_mix.json"
    mixes = json.loads(data.read_text(encoding="utf-8"))
    return {country: mix["carbon_intensity"] for country, mix in mixes.items() if mix.get("carbon_intensity")}
