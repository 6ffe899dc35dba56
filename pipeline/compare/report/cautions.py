"""What a reader of timings.json has to be warned of, in one sentence each."""

from pipeline.common import host

BUSY = 0.2  # of all cores' time


def cautions(timings: dict) -> list[str]:
    """Times of another host, a host that was busy, intervals that stayed wide, energy that the method can't tell."""
    said, rows = [], timings["variants"]
    if elsewhere := host.elsewhere(timings["host"]):
        said.append(f"the times are of {elsewhere}")
    busy = max(timings["host"].get(f"cpu_use_{when}") or 0.0 for when in ("before", "after"))
    if busy > BUSY:
        said.append(f"the host was busy with something else ({busy:.0%} of its CPU time): times and energy are too high")
    if wide := [name for name, row in rows.items() if row.get("narrow") is False]:
        said.append(
            f"the speedup's interval is wider than {timings['precision']:.0%} of it after {timings['rounds']} rounds for "
            f"{', '.join(wide)}"
        )
    if (groups := timings.get("groups", 1)) > 1:
        said.append(
            f"memory didn't hold all variants at once: they were timed in {groups} groups, each beside the teacher, so ratios "
            "to it hold, and milliseconds of different groups are of different minutes"
        )
    unseen = [name for name, row in rows.items() if (row.get("energy_note") or "").startswith("not resolved")]
    if unseen:
        said.append(f"energy is below what the method can tell apart from an idle machine for {', '.join(unseen)}")
    return said
