"""Warnings for a reader of timings.json, one sentence each."""

from pipeline.benchmark.timings import Timings
from pipeline.common import host


def cautions(timings: Timings) -> list[str]:
    """Warn of times of another host, a busy host, intervals that stayed wide, and energy below the method's resolution."""
    warnings, rows = [], timings.variants
    if elsewhere := host.elsewhere(timings.host):
        warnings.append(f"the times are of {elsewhere}")
    if timings.busy:
        warnings.append(
            f"the host was busy with something else ({timings.busy:.0%} of its CPU time): times and energy are too high"
        )
    if wide := [name for name, timing in rows.items() if not timing.narrow]:
        warnings.append(
            f"the speedup's interval is wider than {timings.precision:.0%} of it after {timings.restarts} starts for "
            f"{', '.join(wide)}"
        )
    if timings.groups > 1:
        warnings.append(
            f"memory did not hold all variants at once: they ran in {timings.groups} groups, each beside the teacher, so "
            "ratios to it hold, but milliseconds of different groups were taken at different times"
        )
    unresolved = [name for name, timing in rows.items() if (timing.energy_note or "").startswith("not resolved")]
    if unresolved:
        warnings.append(f"the method cannot distinguish the energy from that of an idle machine for {', '.join(unresolved)}")
    return warnings
