"""What a reader of timings.json has to be warned of, in one sentence each."""

from pipeline.benchmark.timings import Timings
from pipeline.common import host

BUSY = 0.2  # of all cores' time


def cautions(timings: Timings) -> list[str]:
    """Times of another host, a host that was busy, intervals that stayed wide, energy below what the method can tell."""
    warnings, rows = [], timings.variants
    if elsewhere := host.elsewhere(timings.host):
        warnings.append(f"the times are of {elsewhere}")
    busy = max(timings.host.get(f"cpu_use_{when}") or 0.0 for when in ("before", "after"))
    if busy > BUSY:
        warnings.append(f"the host was busy with something else ({busy:.0%} of its CPU time): times and energy are too high")
    if wide := [name for name, timing in rows.items() if not timing.narrow]:
        warnings.append(
            f"the speedup's interval is wider than {timings.precision:.0%} of it after {timings.rounds} rounds for "
            f"{', '.join(wide)}"
        )
    if timings.groups > 1:
        warnings.append(
            f"memory didn't hold all variants at once: they were timed in {timings.groups} groups, each beside the teacher, so "
            "ratios to it hold, and milliseconds of different groups are of different minutes"
        )
    unseen = [name for name, timing in rows.items() if (timing.energy_note or "").startswith("not resolved")]
    if unseen:
        warnings.append(f"energy is below what the method can tell apart from an idle machine for {', '.join(unseen)}")
    return warnings
