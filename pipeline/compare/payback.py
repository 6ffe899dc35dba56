"""After how many hours of audio a student's training has saved as much energy as it took.

What it took: the training runs of the student and of those that it descends from, the teacher left out, since it was there
already. The pass that stores the teacher's logits is not metered, and so not in it. What it saves: a transcribed hour's energy
of teacher.fp32 less that of the variant, where that is more than the power of either differs from round to round. A teacher
in another precision took no training: 0 hours, where it saves anything.
"""

from collections.abc import Mapping

TEACHER = "teacher"


def training_wh(model: str, parents: dict[str, str], metrics: dict[str, dict]) -> float | None:
    """Watt-hours of all training runs from the teacher's first child to `model`; None where one is not known.

    `parents`: each student's parent; `metrics`: models' metrics.json, as far as there are any.
    """
    spent = 0.0
    while model != TEACHER:
        one = metrics.get(model, {}).get("train_energy_wh")
        if one is None or model not in parents:
            return None
        spent, model = spent + one, parents[model]
    return spent


def hours(spent_wh: float | None, teacher: Mapping, variant: Mapping) -> float | None:
    """Audio hours until `spent_wh` is saved; None where nothing is, where it can't be told from noise, or one is unknown.

    `teacher` and `variant` are their entries in timings.json: energy_wh_per_audio_hour, energy_w, energy_resolution_w.
    """
    used = [one.get("energy_wh_per_audio_hour") for one in (teacher, variant)]
    if spent_wh is None or None in used:
        return None
    saved = used[0] - used[1]
    return spent_wh / saved if saved > _blur(teacher) + _blur(variant) else None


def _blur(timing: Mapping) -> float:
    """By how many Wh an hour of audio a figure may be off, since rounds differ in power; all of it where that is unknown."""
    watts, resolution = timing.get("energy_w"), timing.get("energy_resolution_w")
    share = resolution / watts if watts and resolution is not None else 1.0
    return share * timing["energy_wh_per_audio_hour"]
