"""The hours of audio after which a variant has saved as much energy as its training took.

Energy taken: the training runs of the student and of its ancestors, except the teacher, which existed before. The pass that
stores the teacher's logits is not metered, so it is not included. Energy saved per hour of audio: that of teacher.fp32 minus
that of the variant, where the difference exceeds the variation of both from round to round. A teacher in another precision
took no training: 0 hours, where it saves energy.
"""

from pipeline.benchmark.timings import Timing

TEACHER = "teacher"


def training_wh(model: str, parents: dict[str, str], metrics: dict[str, dict]) -> float | None:
    """Watt-hours of all training runs from the teacher's first child to `model`; None where one is not known.

    `parents`: the parent of each student; `metrics`: the metrics.json of each model that has one.
    """
    spent = 0.0
    while model != TEACHER:
        own = metrics.get(model, {}).get("train_energy_wh")
        if own is None or model not in parents:
            return None
        spent, model = spent + own, parents[model]
    return spent


def hours(spent_wh: float | None, teacher: Timing, variant: Timing) -> float | None:
    """Hours of audio until `spent_wh` is saved; None where that is unknown, nothing is saved, or the saving is noise."""
    before, after = teacher.energy_wh_per_audio_hour, variant.energy_wh_per_audio_hour
    if spent_wh is None or before is None or after is None:
        return None
    saved = before - after
    return spent_wh / saved if saved > _relative_error(teacher) * before + _relative_error(variant) * after else None


def _relative_error(timing: Timing) -> float:
    """By which part the energy may be off, because power differs between rounds; 1 where that is unknown."""
    watts, resolution = timing.energy_w, timing.energy_resolution_w
    return resolution / watts if watts and resolution is not None else 1.0
