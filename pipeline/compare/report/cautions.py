"""Warnings for a reader of the figures, one sentence each: about the timings, and about the CPU that was timed.

Decision: what a CPU lacks is named where that was measured to matter: where a low precision is no faster than floating point of
the same model in the same runtime, with one thread, since how several get their cores varies more than that. The flags alone
don't tell; a missing one is the likely cause of a loss that was seen.
"""

from collections.abc import Mapping

from pipeline.benchmark.timings import Timing, Timings
from pipeline.common import host
from pipeline.common.numbers import times, with_range
from pipeline.compare.inputs import Evidence

NEEDS = {"int8": (host.VNNI, "neither VNNI nor AMX"), "bf16": (host.BF16, "no bfloat16 instructions")}
RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "torch": "PyTorch"}


def lacking(evidence: Evidence) -> list[str]:
    """One sentence for each precision that gains nothing here and needs instructions that this CPU lacks.

    [] where the CPU's features are unknown.
    """
    features, sentences = set(evidence.timings.host.get("features") or []), []
    for precision, (needed, lack) in NEEDS.items():
        slow = _no_faster_than_float(evidence, precision)
        if features and not features & set(needed) and slow:
            sentences.append(
                f"the CPU has {lack}, and {precision} is no faster than floating point here "
                f"(one thread; {'; '.join(slow)}): on a CPU that has them it gains more"
            )
    return sentences


def _no_faster_than_float(evidence: Evidence, precision: str) -> list[str]:
    """["OpenVINO: teacher 1.5x against 1.8x", ...]: for each runtime the variant that loses most against float."""
    speedup = {
        name: timing.speedup_one_thread
        for name, timing in evidence.timings.variants.items()
        if evidence.kinds.get(name) == "own"
    }

    def fastest(runtime: str, model: str, start: str) -> float | None:
        found = [
            gained
            for name, gained in speedup.items()
            if evidence.runtimes[name] == runtime and evidence.scores[name].model == model
            and evidence.schemes[name].startswith(start)
        ]  # fmt: skip
        return max(found, default=None)

    losses: dict[str, tuple[float, str]] = {}
    for name in speedup:
        runtime, model = evidence.runtimes[name], evidence.scores[name].model
        low, full = fastest(runtime, model, precision), fastest(runtime, model, "fp32")
        if low is not None and full is not None and low <= full:
            text = f"{RUNTIMES.get(runtime, runtime)}: {model} {times(low)} against {times(full)}"
            losses[runtime] = min(losses.get(runtime, (low / full, text)), (low / full, text))
    return [text for _, text in losses.values()]


def cautions(timings: Timings) -> list[str]:
    """Warn of times of another host, a busy host, intervals that stayed wide, and energy below the method's resolution."""
    warnings, rows = [], timings.variants
    if elsewhere := host.elsewhere(timings.host):
        warnings.append(f"the times are of {elsewhere}")
    if timings.busy:
        warnings.append(
            f"the host was busy with something else ({timings.busy:.0%} of its CPU time): times and energy are too high"
        )
    if wide := {name: timing for name, timing in rows.items() if not timing.narrow}:
        warnings.append(
            f"the speedup's interval is wider than {timings.precision:.0%} of it after {timings.restarts} starts for "
            f"{', '.join(wide)}"
        )
        warnings += _steady_with_one_thread(wide, timings.threads)
    if timings.groups > 1:
        warnings.append(
            f"memory did not hold all variants at once: they ran in {timings.groups} groups, each beside the teacher, so "
            "ratios to it hold, but milliseconds of different groups were taken at different times"
        )
    unresolved = [name for name, timing in rows.items() if (timing.energy_note or "").startswith("not resolved")]
    if unresolved:
        warnings.append(f"the method cannot distinguish the energy from that of an idle machine for {', '.join(unresolved)}")
    return warnings


def _steady_with_one_thread(wide: Mapping[str, Timing], threads: int) -> list[str]:
    """Which speedup to trust where an interval is wide, and less than half as wide, as a part of the speedup, with one thread.

    Both are of the same starts and utterances, so what is left to differ is how the machine runs the threads.
    """
    shown = []
    for name, timing in wide.items():
        one = (timing.speedup_one_thread, timing.speedup_one_thread_low, timing.speedup_one_thread_high)
        if 2 * (one[2] - one[1]) / one[0] < (timing.speedup_high - timing.speedup_low) / timing.speedup:
            shown.append(f"{name} {with_range(*one, times)}")
    if not shown:
        return []
    return [
        f"with one thread, in the same starts, the speedup's interval is less than half as wide ({', '.join(shown)}): what "
        f"differs between starts is how {threads} threads get their cores. Trust the speedup with one thread for what a model "
        f"gains; with {threads} expect any value of its interval"
    ]
