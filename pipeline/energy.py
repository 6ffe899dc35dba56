"""Energy and CO2 of a stretch of work, by codecarbon: what a process used, and how that was found out.

Decision: the offline tracker, whose country is a parameter, so that nothing is asked of the network. Where the machine
tells no energy (no RAPL, no NVML) codecarbon models it from CPU load and a constant for RAM; `mode` says which it was, and
belongs beside every figure. A meter never fails the work it measures: without codecarbon's help its readings are None.
"""

import logging
import time
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """What has been used since the meter began: seconds, watt-hours and grams of CO2 equivalent (None: not known)."""

    seconds: float
    wh: float | None
    co2_g: float | None


class EnergyMeter:
    """Measures while its `with` block runs: `reading()` tells how much so far, `mode` how it is found out.

    `country`: ISO 3166 code of three letters, whose electricity mix turns energy into CO2; `every`: seconds between
    samples of the power.
    """

    def __init__(self, country: str, every: float = 5.0):
        self.country, self.every = country, every
        self.mode: str | None = None
        self._tracker = None
        self._last: Reading | None = None

    def __enter__(self) -> "EnergyMeter":
        self._began = time.monotonic()
        try:
            from codecarbon import OfflineEmissionsTracker

            logging.getLogger("codecarbon").disabled = True
            self._tracker = OfflineEmissionsTracker(
                country_iso_code=self.country, measure_power_secs=self.every, output_methods=[], log_level="critical",
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
            return Reading(seconds, None, None)
        self._tracker.flush()  # measures the power once more, so that the last seconds count
        data = self._tracker._prepare_emissions_data()
        return Reading(seconds, data.energy_consumed * 1000, data.emissions * 1000)


def _mode(tracker) -> str:
    """How codecarbon finds the power of each part, such as 'cpu: cpu_load, ram: constant, gpu: nvml'."""
    parts = []
    for hardware in tracker._hardware:
        kind = type(hardware).__name__.lower()
        how = getattr(hardware, "_mode", None) or {"ram": "constant", "gpu": "nvml"}.get(kind, "constant")
        parts.append(f"{kind}: {how}")
    return ", ".join(sorted(parts))
