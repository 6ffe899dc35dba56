"""Energy that no meter measured is called modeled and has a range wherever it stands, and what follows from it too."""

import html
import json
import math
import re

import pytest

from pipeline.benchmark.consumption import MODELED
from pipeline.common.energy import SPREAD
from pipeline.compare import comparison
from pipeline.compare.report.markdown import whole_table
from pipeline.compare.run import compare
from tests.planted import plant, write

NO_METER = "cpu: cpu_load, ram: constant"
USED = {"teacher.fp32": 0.777, "teacher.int8-onnx": 0.3131, "half.int8-openvino": 0.1717, "thin.int8-openvino": 0.1414}
TRAINED = 4.141
FACTOR = math.exp(1.96 * SPREAD)


def project(root, mode=NO_METER, note=MODELED):
    params = plant(root)
    timings = json.loads((root / "timings.json").read_text())
    for name, wh in USED.items():
        timings["variants"][name] |= {"energy_wh_per_audio_hour": wh, "energy_mode": mode, "energy_note": note}
    write(root / "timings.json", timings)
    for path in root.glob("models/*/metrics.json"):
        write(path, json.loads(path.read_text()) | {"train_energy_wh": TRAINED, "energy_mode": mode})
    return compare(params, root, root / "reports")


@pytest.fixture(scope="module")
def modeled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modeled")
    return folder / "reports", project(folder)


@pytest.fixture(scope="module")
def metered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metered")
    return folder / "reports", project(folder, "cpu: intel_rapl, ram: constant", None)


def texts(reports):
    """{file: its text, with | for tags} of everything that people read."""
    files = [*reports.glob("*.md"), *reports.glob("*.html"), *reports.glob("*.txt"), *reports.glob("cards/*.md")]
    plain = {file.name: file.read_text().replace("<small>", "").replace("</small>", "") for file in files}
    return {name: html.unescape(re.sub(r"<[^>]*>", "|", text)) for name, text in plain.items()}


def test_no_figure_of_power_stands_without_its_range_and_the_word(modeled):
    reports, rows = modeled
    kinds = ("energy_wh_per_audio_hour", "co2_g_per_audio_hour", "train_energy_wh", "train_co2_g")
    values = {f"{value:.3g}" for row in rows for kind in kinds if (value := row[kind])}
    values |= {f"{row['train_payback_hours']:,.1f}" for row in rows if row["train_payback_hours"]}
    numbers = rf"(?<![\d.,\[])(?:{'|'.join(map(re.escape, values))})(?= *[\[|])"  # in a cell
    places = 0
    for name, text in texts(reports).items():
        for pattern, rest in ((numbers, r" *\[[^\]]+\] modeled"), (r"[\d.]+ (?:Wh|g CO2)(?=[, .])", r" \[[^\]]+\] modeled")):
            for found in re.finditer(pattern, re.sub(r"\[\S+ Wh, \S+ Wh\]|\[\S+ g CO2, \S+ g CO2\]", "[a range]", text)):
                places += 1
                after = found.string[found.end() : found.end() + 60]
                assert re.match(rest, after), (name, found[0], after)
    assert places > 40


def test_what_lists_bare_numbers_leaves_it_out(modeled, metered):
    for (reports, _), expected in ((modeled, None), (metered, 0.777)):
        assert json.loads((reports / "metrics.json").read_text())["teacher_energy_wh_per_audio_hour"] == expected
    page, measured = (texts(reports)["index.html"] for reports, _ in (modeled, metered))
    assert "WER against energy" in measured and "WER against energy" not in page
    card = "Wh per audio hour|0.172|teacher 0.777"
    assert card in measured and card not in page


def test_the_range_is_that_of_the_model_and_payback_has_the_spread_of_two_runs(modeled):
    half = next(row for row in modeled[1] if row.variant == "half.int8-openvino")
    for key in ("energy_wh_per_audio_hour", "co2_g_per_audio_hour", "train_energy_wh", "train_co2_g"):
        assert half[f"{key}_low"] == pytest.approx(half[key] / FACTOR) and half[f"{key}_high"] == pytest.approx(
            half[key] * FACTOR
        )
    hours = half["train_payback_hours"]
    assert hours == pytest.approx(TRAINED / (0.777 - 0.1717))
    assert half["train_payback_hours_high"] == pytest.approx(hours * FACTOR ** math.sqrt(2))


def test_what_a_meter_measured_has_neither(metered):
    reports, rows = metered
    assert not any("modeled" in text for text in texts(reports).values())
    assert all(row["energy_wh_per_audio_hour_low"] is None and row["train_payback_hours_high"] is None for row in rows)


def test_a_kept_comparison_without_a_range_shows_none_of_it(modeled, tmp_path):
    kept = json.loads((modeled[0] / "comparison.json").read_text())
    for row in kept:
        row["energy_note"] = "modelled from the CPU's load, not measured"  # as older ones have it
        for key in [key for key in row if key.endswith(("_low", "_high"))]:
            del row[key]
    write(tmp_path / "comparison.json", kept)
    table = whole_table(comparison.read_rows(tmp_path / "comparison.json"))
    assert "0.777" not in table and "0.172" not in table
