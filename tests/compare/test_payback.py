"""After how many audio hours training is paid back: by hand."""

from dataclasses import fields

import pytest

from pipeline.benchmark.timings import Timing
from pipeline.common import energy
from pipeline.compare import payback
from pipeline.compare.payback import Spent

PARENTS = {"half": "teacher", "thin": "half", "lost": "gone"}
METRICS = {"half": {"train_energy_wh": 6.0}, "thin": {"train_energy_wh": 2.0}, "lost": {"train_energy_wh": 1.0}}


@pytest.mark.parametrize(("model", "wh"), [("teacher", 0.0), ("half", 6.0), ("thin", 8.0), ("lost", None), ("new", None)])
def test_a_student_costs_what_its_parents_did_too_but_not_the_teacher(model, wh):
    spent = payback.spent(model, PARENTS, METRICS)
    assert (spent.wh if spent else None) == wh


def test_one_training_without_a_meter_makes_the_sum_a_modeled_one():
    gpu, rapl, none = (
        "cpu: cpu_load, gpu: nvml, ram: constant",
        "cpu: intel_rapl, ram: constant",
        "cpu: cpu_load, ram: constant",
    )
    for own, parents, is_modeled in ((gpu, rapl, False), (gpu, none, True), (none, rapl, True)):
        metrics = {"thin": METRICS["thin"] | {"energy_mode": own}, "half": METRICS["half"] | {"energy_mode": parents}}
        assert payback.spent("thin", PARENTS, metrics) == Spent(8.0, is_modeled)


def used(wh: float | None, watts: float | None = 50.0, resolution: float | None = 1.0, mode: str | None = None) -> Timing:
    known = {"energy_mode": mode, "energy_wh_per_audio_hour": wh, "energy_w": watts, "energy_resolution_w": resolution}
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
    trained = None if spent is None else Spent(spent)
    assert payback.hours(trained, teacher, variant) == (None if hours is None else pytest.approx(hours))


@pytest.mark.parametrize(
    ("is_modeled", "mode", "runs"), [(True, "cpu: cpu_load", 2), (True, "cpu: intel_rapl", 1), (False, None, 1)]
)
def test_each_modeled_energy_widens_the_range_and_two_meters_leave_none(is_modeled, mode, runs):
    ends = payback.range_of(20.0, Spent(8.0, is_modeled), used(0.5, mode=mode))
    assert ends == energy.widened(20.0, runs) and ends[0] < 20 / 1.5 and ends[1] > 30
    assert payback.range_of(20.0, Spent(8.0), used(0.5, mode="cpu: intel_rapl, ram: constant")) is None
