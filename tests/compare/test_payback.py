"""After how many audio hours training is paid back: by hand."""

from dataclasses import fields

import pytest

from pipeline.benchmark.timings import Timing
from pipeline.compare import payback

PARENTS = {"half": "teacher", "thin": "half", "lost": "gone"}
METRICS = {"half": {"train_energy_wh": 6.0}, "thin": {"train_energy_wh": 2.0}, "lost": {"train_energy_wh": 1.0}}


@pytest.mark.parametrize(("model", "spent"), [("teacher", 0.0), ("half", 6.0), ("thin", 8.0), ("lost", None), ("new", None)])
def test_a_student_costs_what_its_parents_did_too_but_not_the_teacher(model, spent):
    assert payback.training_wh(model, PARENTS, METRICS) == spent


def used(wh: float | None, watts: float | None = 50.0, resolution: float | None = 1.0) -> Timing:
    known = {"energy_wh_per_audio_hour": wh, "energy_w": watts, "energy_resolution_w": resolution}
    return Timing(**dict.fromkeys(field.name for field in fields(Timing)) | known)


@pytest.mark.parametrize(
    ("spent", "teacher", "variant", "hours"),
    [
        (8.0, used(0.5), used(0.1), 20.0),
        (0.0, used(0.5), used(0.1), 0.0),
        (8.0, used(0.5), used(0.5), None),
        (8.0, used(0.5), used(None), None),
        (None, used(0.5), used(0.1), None),
        (8.0, used(0.5), used(0.47), 8.0 / 0.03),  # 6% less, and rounds differ by 2% each
        (8.0, used(0.5), used(0.49), None),  # 2% less
        (8.0, used(0.5), used(0.3, watts=None), None),
    ],
)
def test_it_is_paid_back_by_what_an_hour_saves_or_it_is_not_said(spent, teacher, variant, hours):
    assert payback.hours(spent, teacher, variant) == (None if hours is None else pytest.approx(hours))
