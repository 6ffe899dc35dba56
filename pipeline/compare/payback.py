"""The hours of audio after which a variant has saved as much energy as its training took.

Energy taken: the training runs of the student and of its ancestors, except the teacher, which existed before. The pass that
stores the teacher's logits is not metered, so it is not included. Energy saved per hour of audio: that of teacher.fp32 minus
that of the variant, where the difference exceeds the variation of both from round to round. A teacher in another precision
took no training: 0 hours, where it saves energy. Where power is modeled, so are the hours, and they have a range.
"""

from dataclasses import dataclass

from pipeline.benchmark.timings import Timing
from pipeline.common import energy

TEACHER = "teacher"


@dataclass(frozen=True)
class Spent:
    """The energy of trainings, and whether that of one of them is modeled."""

    wh: float = 0.0
    is_modeled: bool = False


def spent(model: str, parents: dict[str, str], metrics: dict[str, dict]) -> Spent | None:
    """What all training runs took, from the teacher's first child to `model`; None where one is not known.

    `parents`: the parent of each student; `metrics`: the metrics.json of each model that has one.
    """
    total = Spent()
    while model != TEACHER:
        own = metrics.get(model, {})
        if (wh := own.get("train_energy_wh")) is None or model not in parents:
            return None
        total = Spent(total.wh + wh, total.is_modeled or energy.is_modeled(own.get("energy_mode"), on_gpu=True))
        model = parents[model]
    return total


def hours(trained: Spent | None, teacher: Timing, variant: Timing) -> float | None:
    """Hours of audio until what it took is saved; None where that is unknown, nothing is saved, or the saving is noise."""
    before, after = teacher.energy_wh_per_audio_hour, variant.energy_wh_per_audio_hour
    if trained is None or before is None or after is None:
        return None
    saved = before - after
    return trained.wh / saved if saved > _relative_error(teacher) * before + _relative_error(variant) * after else None


def range_of(hours: float | None, trained: Spent | None, teacher: Timing) -> tuple[float, float] | None:
    """The ends of the hours' range; None where both energies were measured, and where nothing was trained: 0 hours.

    Training and benchmark ran at different times, so each has a spread of its own.
    """
    if not hours or trained is None:
        return None
    modeled = trained.is_modeled + energy.is_modeled(teacher.energy_mode)
    return energy.widened(hours, runs=modeled) if modeled else None


def _relative_error(timing: Timing) -> float:
    """By which part the energy may be off, because power differs between rounds; 1 where that is unknown."""
    watts, resolution = timing.energy_w, timing.energy_resolution_w
    return resolution / watts if watts and resolution is not None else 1.0
