"""What a CPU lacks is named where the figures show that it matters, and nowhere else."""

import json

import pytest

from pipeline.compare.inputs import gather
from pipeline.compare.report.cautions import lacking
from pipeline.compare.run import compare
from tests.planted import FIGURES, plant, write

AVX2, VNNI = ["avx2"], ["avx2", "avx512_vnni", "avx512_bf16"]
SLOW = {"teacher.fp32": (20, 8.0, 40.0), "teacher.fp32-openvino": (20, 8.0, 20.0), "teacher.int8-openvino": (20, 2.5, 25.0)}
FAST = SLOW | {"teacher.int8-openvino": (20, 2.5, 16.0)}
INT8 = "the CPU has neither VNNI nor AMX, and int8"
BF16 = SLOW | {"teacher.bf16-openvino": (20, 4.0, 30.0)}


def said(root, figures, features):
    params = plant(root, figures)
    timings = json.loads((root / "timings.json").read_text())
    timings["host"]["features"] = features
    write(root / "timings.json", timings)
    return lacking(gather(params, root)), params


@pytest.mark.parametrize(
    ("figures", "features", "begin"),
    [
        (SLOW, AVX2, [f"{INT8} is no faster than floating point here (one thread; OpenVINO: teacher 1.6x against 2.0x)"]),
        (SLOW, VNNI, []),
        (SLOW, [], []),
        (FAST, AVX2, []),
        (FIGURES, AVX2, []),
        (BF16, ["avx2", "avx512_vnni"], ["the CPU has no bfloat16 instructions, and bf16 is no faster"]),
        (BF16, AVX2, [INT8, "the CPU has no bfloat16 instructions, and bf16"]),
    ],
    ids=["lacks and loses", "has it", "unknown CPU", "lacks and gains", "no float to compare with", "bf16", "both"],
)
def test_it_takes_a_missing_instruction_and_a_measured_loss(tmp_path, figures, features, begin):
    found, _ = said(tmp_path, figures, features)
    assert len(found) == len(begin) and all(text.startswith(start) for text, start in zip(found, begin, strict=True))


def test_it_stands_in_the_table_that_the_demo_prints_and_under_the_pages_table(tmp_path):
    (sentence,), params = said(tmp_path, SLOW, AVX2)
    compare(params, tmp_path, tmp_path / "reports")
    for name in ("table.txt", "comparison.md"):
        assert f"{sentence}" in " ".join((tmp_path / "reports" / name).read_text().split())
    page = (tmp_path / "reports" / "index.html").read_text()
    section = page[page.index('id="variants"') : page.index('id="pareto"')]
    assert f"<p>T{sentence[1:]}.</p>" in section
