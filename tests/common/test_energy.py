"""The meter's energy grows, its method is named, and its failure never stops the measured work."""

import sys
import time

import pytest

from pipeline.common.energy import EnergyMeter, co2_g, known_country


def test_energy_grows_with_time_and_its_mode_is_named():
    with EnergyMeter(every=0.2) as meter:
        time.sleep(0.5)
        early = meter.reading()
        time.sleep(0.5)
    late = meter.reading()
    assert 0 < early.wh < late.wh
    assert late.seconds > 0.9 and "cpu: " in meter.mode and "ram: " in meter.mode
    assert meter.reading() == late  # it has stopped


def test_without_codecarbon_the_work_continues_and_readings_are_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with EnergyMeter() as meter:
        pass
    assert (meter.reading().wh, meter.mode) == (None, None)


def test_co2_is_energy_times_a_countrys_carbon_intensity():
    assert co2_g(2000, "DEU") == pytest.approx(2 * co2_g(1000, "DEU")) and 200 < co2_g(1000, "DEU") < 600
    assert co2_g(1000, "FRA") < co2_g(1000, "DEU") and co2_g(None, "DEU") is None
    with pytest.raises(ValueError, match="XXX"):
        known_country("XXX")
