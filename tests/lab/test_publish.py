"""What is published comes from kept files alone: the same files give the same pages, and a changed figure shows in both."""

import json
import shutil

import pytest

from pipeline.common.errors import BigfootError
from pipeline.compare.comparison import Row
from pipeline.compare.report import markdown
from pipeline.compare.run import compare
from pipeline.lab import publish
from tests.planted import bigfoot, plant

PAPER = "## Paper scale\n\n| a | 1.25 |\n"
README = "# Title\n\nbefore\n<!-- results -->\nold\n<!-- /results -->\nafter\n"


@pytest.fixture
def published(tmp_path):
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "numbers.md").write_text("<!-- figures -->\n<!-- /figures -->\n")
    (tmp_path / "docs" / "params.md").write_text("<!-- params -->\n<!-- /params -->\n")
    compare(plant(tmp_path), tmp_path, tmp_path / "reports")
    publish.keep(tmp_path)
    publish.write(tmp_path)
    return tmp_path


def test_every_variant_stands_in_both_and_the_rest_of_the_readme_stays(published):
    rows = json.loads((published / "reports/comparison.json").read_text())
    readme, page = (published / "README.md").read_text(), (published / "RESULTS.md").read_text()
    assert all(f"| {row['variant']} " in text for row in rows for text in (readme, page))
    assert readme.startswith("# Title\n\nbefore\n") and readme.endswith("\nafter\n") and "old" not in readme
    assert "SYNTHETIC" in readme and "SYNTHETIC" in page and "Machine" in page and "dvc repro" in page


def test_the_readme_leaves_out_what_another_beats_in_everything(published):
    def row(variant: str, wer: float | None, mb: float, ms: float, champion: bool = False) -> Row:
        figures = {"wer": wer, "disk_mb": mb, "latency_p50_ms": ms, "speedup": 70 / ms, "speedup_to_choose": 70 / ms}
        return Row(variant, variant.partition(".")[0], "", "", figures, champion=champion)

    rows = [
        row("teacher.fp32", 0.02, 88, 70),
        row("teacher.fp32-onnx", 0.02, 88, 60),
        row("thin.fp32", 0.02, 8, 20),
        row("tiny.fp32", 0.03, 9, 10),
        row("tiny.int8-onnx", 0.03, 1, 10),
        row("tiny.int8-openvino", 0.03, 2, 12, champion=True),
        row("tiny.as-shown", 0.031, 1.003, 9.96),  # 1.00 MB and 10.0 ms, as tiny.int8-onnx
        row("lost.unscored", None, 0.1, 1),
    ]
    shown = [row.variant for row in markdown.for_readme(rows)]
    assert shown == ["teacher.fp32", "teacher.fp32-onnx", "thin.fp32", "tiny.int8-onnx", "tiny.int8-openvino"]

    kept = published / "results/quickstart/comparison.json"
    planted = json.loads(kept.read_text())
    kept.write_text(json.dumps([*planted, {**planted[1], "variant": "half.beaten", "disk_mb": 99.0, "speedup": 0.5}]))
    publish.write(published)
    readme = (published / "README.md").read_text()
    assert "half.beaten" not in readme and f"{len(planted)} of {len(planted) + 1} variants" in readme


def test_written_again_nothing_changes(published):
    before = [(published / name).read_bytes() for name in ("README.md", "RESULTS.md")]
    publish.write(published)
    assert [(published / name).read_bytes() for name in ("README.md", "RESULTS.md")] == before


def test_a_figure_that_changes_in_the_kept_files_changes_in_the_readme(published):
    kept = published / "results/quickstart/comparison.json"
    kept.write_text(kept.read_text().replace('"disk_mb": 8.0', '"disk_mb": 9.87'))
    publish.write(published)
    assert all("| 9.87 |" in (published / name).read_text() for name in ("README.md", "RESULTS.md"))


def test_people_come_before_synthesis(published):
    (published / "results/quickstart").rename(published / "results/zebra")
    for name in ("digits", "quickstart", "ablations"):
        (published / "results" / name).mkdir()
        for file in publish.KEPT:
            (published / "results" / name / file).write_bytes((published / "results/zebra" / file).read_bytes())
    publish.write(published)
    page, readme = (published / "RESULTS.md").read_text(), (published / "README.md").read_text()
    assert "## Ablations" in page and "Ablations" not in readme and "## Zebra" in page and "Zebra" not in readme
    assert readme.index("**Connected digits") < readme.index("**Quickstart")
    assert page.index("## Connected digits") < page.index("## Quickstart") < page.index("## Zebra")


def test_kept_texts_are_appended_with_links_that_lead_from_there(published):
    for name, text in (
        ("quickstart/notes.md", "### Notes\n\n[figures](../../docs/numbers.md), [here](https://a.example/b)\n"),
        (publish.PAPER_SCALE, PAPER),
    ):
        (published / "results" / name).parent.mkdir(exist_ok=True)
        (published / "results" / name).write_text(text)
    publish.write(published)
    notes = "### Notes\n\n[figures](docs/numbers.md), [here](https://a.example/b)\n"
    assert (published / "RESULTS.md").read_text().endswith(f"\n\n{notes}\n{PAPER}")


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ("", ""),
        (", avx2", ", AVX2 alone"),
        (", avx2, avx512_vnni, avx512_bf16", ", VNNI and bfloat16"),
        (", avx2, avx512_vnni, avx512_bf16, amx_int8", ", VNNI, AMX and bfloat16"),
    ],
)
def test_the_readme_names_the_kind_of_cpu_and_what_another_gives(published, features, said):
    kept, elsewhere = published / "results/quickstart/comparison.md", published / "results/quickstart/elsewhere.md"
    kept.write_text(kept.read_text().replace("a planted CPU, 2 cores", f"a planted CPU, 2 cores{features}"))
    elsewhere.write_text("Another CPU gives less.\n")
    publish.write(published)
    readme = (published / "README.md").read_text()
    shown = f"errors: intervals of speakers; rise allowed: 1 points on gate; a planted CPU, 2 cores, 2 threads{said}"
    assert f"variants; {shown}; [all figures](RESULTS.md#quickstart-synthetic-speech))" in readme
    assert all("Another CPU gives less.\n" in (published / name).read_text() for name in ("README.md", "RESULTS.md"))


def test_without_a_comparison_on_disk_both_are_written_from_what_is_kept(published):
    before = (published / "RESULTS.md").read_text()
    shutil.rmtree(published / "reports")
    (published / "RESULTS.md").unlink()
    done = bigfoot("results", cwd=published)
    assert done.returncode == 0 and "no comparison is on disk" in done.stdout, done.stderr
    assert (published / "RESULTS.md").read_text() == before
    refused = bigfoot("results", "--license", "mit", cwd=published)
    assert refused.returncode == 1 and "--license mit: no comparison is on disk" in refused.stderr, refused.stderr


def test_without_markers_it_is_one_line(published):
    (published / "README.md").write_text("no markers")
    with pytest.raises(BigfootError, match="put the markers"):
        publish.write(published)


def test_a_small_champion_is_kept_whole_with_its_card_and_a_large_one_is_not(tmp_path, monkeypatch):
    compare(plant(tmp_path), tmp_path, tmp_path / "reports")
    row = next(row for row in json.loads((tmp_path / "reports/comparison.json").read_text()) if row["champion"])
    kept = publish.keep(tmp_path) / "champion"

    monkeypatch.setattr(publish, "LARGEST_MB", row["disk_mb"])
    publish.keep(tmp_path, "cc-by-4.0")
    variant = tmp_path / "variants" / row["variant"]
    assert {file.name for file in kept.iterdir()} == {"README.md", *(file.name for file in variant.iterdir())}
    assert (kept / "weights.bin").read_bytes() == (variant / "weights.bin").read_bytes()
    card = (kept / "README.md").read_text()
    assert row["variant"] in card and "\nlicense: cc-by-4.0\n" in card
    publish.keep(tmp_path)
    assert "\nlicense: cc-by-4.0\n" in (kept / "README.md").read_text()

    (variant / "weights.bin").rename(tmp_path / "weights.bin")
    (tmp_path / "results/quickstart/comparison.md").write_text("of before\n")
    with pytest.raises(BigfootError):
        publish.keep(tmp_path)
    assert (kept / "weights.bin").is_file() and (kept.parent / "comparison.md").read_text() == "of before\n"
    (tmp_path / "weights.bin").rename(variant / "weights.bin")

    monkeypatch.setattr(publish, "LARGEST_MB", row["disk_mb"] / 2)
    publish.keep(tmp_path)
    assert not kept.exists()
