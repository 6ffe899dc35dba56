"""An energy figure is given only where the meter can resolve it."""

import pytest

from pipeline.benchmark.consumption import Block, figures

IDLE = [Block(10, 0.010), Block(10, 0.011)]  # 3.6 and 3.96 W


def test_what_is_well_above_idle_is_the_whole_machines_use_per_hour_of_audio():
    row = figures([Block(10, 0.040, 1800), Block(10, 0.042, 1800)], IDLE, "cpu: intel_rapl")
    assert row["energy_resolved"] and row["energy_note"] is None
    assert row["energy_wh_per_audio_hour"] == pytest.approx(0.082)
    assert row["energy_above_idle_w"] == pytest.approx(14.76 - 3.78) and row["energy_resolution_w"] == pytest.approx(0.72)


def test_a_modeled_power_is_noted_as_modeled():
    row = figures([Block(10, 0.040, 1800), Block(10, 0.042, 1800)], IDLE, "cpu: cpu_load, ram: constant")
    assert row["energy_resolved"] and row["energy_note"].startswith("modeled")


@pytest.mark.parametrize(
    ("used", "note"),
    [
        (
            [Block(10, 0.011, 900), Block(10, 0.011, 900)],
            "not resolved: 0.18 W above idle, and rounds differ by 0.36 W",
        ),
        ([Block(10, 0.010, 900), Block(10, 0.030, 900)], "rounds differ by 7.20 W"),
        ([Block(10, 0.040, 900)], "one round shows no spread"),
        ([Block(10, None, 900), Block(10, 0.04, 900)], "no reading"),
    ],
)
def test_what_the_meter_cannot_resolve_is_null_with_a_reason(used, note):
    row = figures(used, IDLE, "cpu: intel_rapl")
    assert row["energy_wh_per_audio_hour"] is None and row["energy_resolved"] is False and note in row["energy_note"]
