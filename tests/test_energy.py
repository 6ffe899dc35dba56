"""The meter adds up, says how it knows, and never fails the work it measures."""

import sys
import time

from pipeline.energy import EnergyMeter


def test_energy_grows_with_time_and_its_mode_is_named():
    with EnergyMeter("DEU", every=0.2) as meter:
        time.sleep(0.5)
        early = meter.reading()
        time.sleep(0.5)
    late = meter.reading()
    assert 0 < early.wh < late.wh and 0 < early.co2_g < late.co2_g
    assert late.seconds > 0.9 and "cpu: " in meter.mode and "ram: " in meter.mode
    assert meter.reading() == late  # it has stopped


def test_without_codecarbon_the_work_goes_on_and_nothing_is_claimed(monkeypatch):
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with EnergyMeter("DEU") as meter:
        pass
    assert (meter.reading().wh, meter.reading().co2_g, meter.mode) == (None, None, None)
