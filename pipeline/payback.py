"""After how many hours of audio a student's training has saved as much energy as it took.

What it took: the training runs of the student and of those that it descends from, the teacher left out, since it was there
already. The pass that stores the teacher's logits is not metered, and so not in it. What it saves: a transcribed hour's energy
of teacher.fp32 less that of the variant. A teacher in another precision took no training: 0 hours, where it saves anything.
"""

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


def hours(spent_wh: float | None, teacher_wh: float | None, variant_wh: float | None) -> float | None:
    """Audio hours until `spent_wh` is saved, at these an audio hour; None where nothing is saved, or one is unknown."""
    if spent_wh is None or teacher_wh is None or variant_wh is None or variant_wh >= teacher_wh:
        return None
    return spent_wh / (teacher_wh - variant_wh)
