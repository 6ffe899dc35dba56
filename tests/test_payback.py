"""After how many audio hours training is paid back: by hand."""

import pytest

from pipeline import payback

PARENTS = {"half": "teacher", "thin": "half", "lost": "gone"}
METRICS = {"half": {"train_energy_wh": 6.0}, "thin": {"train_energy_wh": 2.0}, "lost": {"train_energy_wh": 1.0}}


@pytest.mark.parametrize(("model", "spent"), [("teacher", 0.0), ("half", 6.0), ("thin", 8.0), ("lost", None), ("new", None)])
def test_a_student_costs_what_its_parents_did_too_but_not_the_teacher(model, spent):
    assert payback.training_wh(model, PARENTS, METRICS) == spent


@pytest.mark.parametrize(
    ("spent", "teacher", "variant", "hours"),
    [(8.0, 0.5, 0.1, 20.0), (0.0, 0.5, 0.1, 0.0), (8.0, 0.5, 0.5, None), (8.0, 0.5, None, None), (None, 0.5, 0.1, None)],
)
def test_it_is_paid_back_by_what_an_hour_saves_or_it_is_not_said(spent, teacher, variant, hours):
    assert payback.hours(spent, teacher, variant) == (None if hours is None else pytest.approx(hours))
