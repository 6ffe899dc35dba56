"""The meter's energy grows, its method is named, and its failure never stops the measured work."""

import math
import statistics
import sys
import time

import pytest

from pipeline.common.energy import SPREAD, EnergyMeter, co2_g, is_modeled, known_country, range_of, widened

# The power that codecarbon's model implied for two busy threads, in W: Wh per audio hour x RTFx, the mean of all variants of a
# published run. `git log results/digits/comparison.json` (the first five) and quickstart's have them.
IMPLIED = [25.0, 24.4, 26.2, 25.6, 34.6, 16.6, 17.3, 14.2, 17.4, 38.0, 24.1, 26.8, 28.7, 22.6]


def test_the_range_of_a_modeled_figure_holds_what_other_runs_gave():
    assert statistics.stdev(map(math.log, IMPLIED)) == pytest.approx(SPREAD, abs=0.005)
    typical = statistics.geometric_mean(IMPLIED)
    low, high = widened(typical)
    assert sum(low < watts < high for watts in IMPLIED) >= 13 and math.sqrt(low * high) == pytest.approx(typical)
    assert widened(1.0, runs=2)[1] == pytest.approx(math.exp(1.96 * SPREAD * math.sqrt(2)))


@pytest.mark.parametrize(
    ("mode", "by_cpu", "by_gpu"),
    [
        ("cpu: intel_rapl, ram: constant", False, False),
        ("cpu: cpu_load, ram: constant", True, True),
        ("cpu: constant, gpu: nvml, ram: constant", True, False),  # the CPU's work was not read, the GPU's was
        (None, True, True),
    ],
)
def test_a_figure_is_modeled_where_nothing_read_the_power(mode, by_cpu, by_gpu):
    assert (is_modeled(mode), is_modeled(mode, on_gpu=True)) == (by_cpu, by_gpu)
    assert (range_of(2.0, mode) is not None) == by_cpu and range_of(None, mode) is None


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
