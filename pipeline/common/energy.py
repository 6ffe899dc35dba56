"""The energy of a stretch of work, by codecarbon, and the CO2 that it stands for in a country.

Decision: what is measured and kept is energy alone. CO2 is energy times a country's carbon intensity, so it is multiplied where
it is shown, and another country makes no measurement stale. The offline tracker asks nothing of the network. Where the machine
tells no energy (no RAPL, no NVML) codecarbon models it from CPU load and a constant for RAM; `mode` says which it was, and
belongs beside every figure. A meter never fails the work it measures: without codecarbon's help its readings are None.
"""

import json
import logging
import time
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ANY_COUNTRY = "USA"  # the tracker wants one; its CO2 is not used
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """What has been used since the meter began: seconds and watt-hours (None: not known)."""

    seconds: float
    wh: float | None


class EnergyMeter:
    """Measures while its `with` block runs: `reading()` tells how much so far, `mode` how it is found out.

    `every`: seconds between samples of the power.
    """

    def __init__(self, every: float = 5.0):
        self.every = every
        self.mode: str | None = None
        self._tracker = None
        self._last: Reading | None = None

    def __enter__(self) -> "EnergyMeter":
        self._began = time.monotonic()
        try:
            from codecarbon import OfflineEmissionsTracker

            logging.getLogger("codecarbon").disabled = True
            self._tracker = OfflineEmissionsTracker(
                country_iso_code=ANY_COUNTRY, measure_power_secs=self.every, output_methods=[], log_level="critical",
                allow_multiple_runs=True, tracking_mode="machine",
            )  # fmt: skip
            self._tracker.start()
            self.mode = _mode(self._tracker)
        except Exception as error:  # codecarbon raises whatever the machine's sensors make it raise
            log.warning("energy is not measured: codecarbon failed (%s)", " ".join(str(error).split())[:200])
            self._tracker = None
        return self

    def __exit__(self, *_) -> None:
        self._last = self.reading()
        if self._tracker is not None:
            self._tracker.stop()
            self._tracker = None

    def reading(self) -> Reading:
        """What has been used until now, or until the block ended."""
        if self._last is not None:
            return self._last
        seconds = time.monotonic() - self._began
        if self._tracker is None:
            return Reading(seconds, None)
        self._tracker.flush()  # measures the power once more, so that the last seconds count
        return Reading(seconds, self._tracker._prepare_emissions_data().energy_consumed * 1000)


def _mode(tracker) -> str:
    """How codecarbon finds the power of each part, such as 'cpu: cpu_load, ram: constant, gpu: nvml'."""
    parts = []
    for hardware in tracker._hardware:
        kind = type(hardware).__name__.lower()
        how = getattr(hardware, "_mode", None) or {"ram": "constant", "gpu": "nvml"}.get(kind, "constant")
        parts.append(f"{kind}: {how}")
    return ", ".join(sorted(parts))


def co2_g(wh: float | None, country: str) -> float | None:
    """Grams of CO2 equivalent for watt-hours of a country's electricity; None where the energy is not known."""
    return None if wh is None else wh / 1000 * _intensities()[country]


def known_country(country: str) -> str:
    """`country`, an ISO 3166 code of three letters; raises ValueError where codecarbon has no electricity mix for it."""
    if country not in _intensities():
        raise ValueError(f"codecarbon knows no electricity mix of '{country}': give an ISO code such as DEU, FRA or USA")
    return country


@cache
def _intensities() -> dict[str, float]:
    """Grams of CO2 equivalent per kWh by country, read from codecarbon's data without importing it."""
    data = Path(find_spec("codecarbon").origin).parent / "data" / "private_infra" / "global_energy_mix.json"
    mixes = json.loads(data.read_text(encoding="utf-8"))
    return {country: mix["carbon_intensity"] for country, mix in mixes.items() if mix.get("carbon_intensity")}
