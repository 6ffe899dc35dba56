"""After how many hours of audio a student's training has saved as much energy as it took.

What it took: the training runs of the student and of those that it descends from, the teacher left out, since it was there
already. The pass that stores the teacher's logits is not metered, and so not in it. What it saves: a transcribed hour's energy
of teacher.fp32 less that of the variant, where that is more than the power of either differs from round to round. A teacher
in another precision took no training: 0 hours, where it saves anything.
"""

from pipeline.benchmark.timings import Timing

TEACHER = "teacher"


def training_wh(model: str, parents: dict[str, str], metrics: dict[str, dict]) -> float | None:
    """Watt-hours of all training runs from the teacher's first child to `model`; None where one is not known.

    `parents`: each student's parent; `metrics`: models' metrics.json, as far as there are any.
    """
    spent = 0.0
    while model != TEACHER:
        own = metrics.get(model, {}).get("train_energy_wh")
        if own is None or model not in parents:
            return None
        spent, model = spent + own, parents[model]
    return spent


def hours(spent_wh: float | None, teacher: Timing, variant: Timing) -> float | None:
    """Audio hours until `spent_wh` is saved; None where nothing is, where it can't be told from noise, or one is unknown."""
    used = [timing.energy_wh_per_audio_hour for timing in (teacher, variant)]
    if spent_wh is None or None in used:
        return None
    saved = used[0] - used[1]
    return spent_wh / saved if saved > _blur(teacher) + _blur(variant) else None


def _blur(timing: Timing) -> float:
    """By how many Wh per hour of audio a figure may be off, since rounds differ in power; all of it where that is unknown."""
    watts, resolution = timing.energy_w, timing.energy_resolution_w
    share = resolution / watts if watts and resolution is not None else 1.0
    return share * timing.energy_wh_per_audio_hour
