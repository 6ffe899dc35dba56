"""What is published comes from kept files alone: the same files give the same pages, and a changed figure shows in both."""

import json
import shutil

import pytest

from pipeline.common.errors import BigfootError
from pipeline.compare.comparison import Row
from pipeline.compare.report import markdown
from pipeline.compare.run import compare
from pipeline.lab import publish
from pipeline.lab.peers import weights
from tests.planted import bigfoot, plant, write

README = "# Title\n\nbefore\n<!-- results -->\nold\n<!-- /results -->\nafter\n"


@pytest.fixture
def published(tmp_path):
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "numbers.md").write_text("<!-- figures -->\n<!-- /figures -->\n")
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
        figures = {"wer": wer, "disk_mb": mb, "latency_p50_ms": ms, "speedup": 70 / ms}
        return Row(variant, variant.partition(".")[0], "", "", figures, champion=champion)

    rows = [
        row("teacher.fp32", 0.02, 88, 70),
        row("teacher.fp32-onnx", 0.02, 88, 60),
        row("thin.fp32", 0.02, 8, 20),
        row("tiny.fp32", 0.03, 9, 10),
        row("tiny.int8-onnx", 0.03, 1, 10),
        row("tiny.int8-openvino", 0.03, 2, 12, champion=True),
        row("lost.unscored", None, 0.1, 1),
    ]
    shown = [row.variant for row in markdown.for_readme(rows)]
    assert shown == ["teacher.fp32", "teacher.fp32-onnx", "thin.fp32", "tiny.int8-onnx", "tiny.int8-openvino", "lost.unscored"]

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
    assert "## Ablations" in page and "Ablations" not in readme and "Zebra" in readme
    assert page.index("## Connected digits") < page.index("## Quickstart") < page.index("## Zebra")


def peers(root, ms: float) -> dict:
    """peers.json of the planted teacher: one row that ran and one that couldn't."""
    one = {"ms": ms, "ms_q25": 12.0, "ms_q75": 14.0, "speedup": 1.0, "speedup_low": 1.0, "speedup_high": 1.0}
    batch = {"rtfx": 90.0, "rtfx_q25": 80.0, "rtfx_q75": 99.0, "speedup": 1.0, "speedup_low": 1.0, "speedup_high": 1.0}
    ran = {
        "name": "torch-fp32", "who": "peer", "about": "PyTorch", "reason": None, "disk_mb": 8.0, "ram_mb": 800.0, "shrink": 1.0,
        "latency": {"10": one}, "throughput": batch, "wer": 0.01, "wer_low": 0.0, "wer_high": 0.02, "unit": "utterances",
        "wer_delta": 0.0, "wer_rise_upper": 0.01, "texts_differ": 0,
    }  # fmt: skip
    host = {"name": "h", "cpu": "a planted CPU", "cores": 2, "memory_gb": 8.0, "features": [], "os": "Linux", "python": "3.11"}
    return {
        "measured_at": "2026-11-24T12:00:00+00:00", "host": {**host, "load_before": 0.1}, "versions": {"torch": "2.14.1"},
        "threads": 2, "model": {"name": "teacher", "params": 2_000_000, "weights": weights(root / "models/teacher")},
        "corpus": {"name": "quickstart", "synthetic": True, "test": "test", "utterances": 5, "words": 24, "seconds": 9.0},
        "reference": "torch-fp32", "rounds": 10, "seconds": [10], "clips": 3, "seed": 7, "batch": {"size": 8, "seconds": 2.0},
        "rows": [ran, {"name": "torchao-int8", "who": "peer", "about": "torchao", "reason": "is not installed"}],
    }  # fmt: skip


def test_peers_are_published_where_they_were_measured(published):
    assert "### Peers" not in (published / "RESULTS.md").read_text()
    (published / "models/teacher/model.safetensors").write_bytes(b"weights")
    write(published / "peers/peers.json", peers(published, ms=13.57))
    publish.keep(published)
    publish.write(published)
    page = (published / "RESULTS.md").read_text()
    assert "| 13.6 [12.0, 14.0] | 1.00x [1.00, 1.00] | 90 [80, 99] |" in page and "can't run: is not installed" in page
    assert page.index("### Peers") > page.index("## Quickstart")


def test_peers_of_another_training_are_published_no_longer(published):
    (published / "models/teacher/model.safetensors").write_bytes(b"weights")
    write(published / "peers/peers.json", peers(published, ms=13.57))
    kept = publish.keep(published) / "peers.json"
    (published / "peers/peers.json").unlink()
    assert (publish.keep(published) / "peers.json") == kept and kept.is_file(), "kept, as it is still of these weights"
    (published / "models/teacher/model.safetensors").write_bytes(b"other weights")
    publish.keep(published)
    assert not kept.exists()


def test_peers_of_a_student_stand_beside_the_teachers(published):
    for name, ms in (("teacher", 13.57), ("half", 7.25)):
        (published / "models" / name / "model.safetensors").parent.mkdir(parents=True, exist_ok=True)
        (published / "models" / name / "model.safetensors").write_bytes(name.encode())
        facts = peers(published, ms)
        facts["model"] |= {"name": name, "weights": weights(published / "models" / name)}
        write(published / "peers" / ("" if name == "teacher" else name) / "peers.json", facts)
    folder = publish.keep(published)
    assert {file.name for file in folder.glob("peers*")} == {"peers.json", "peers-half.json"}
    shutil.rmtree(published / "peers")
    publish.keep(published)
    publish.write(published)
    page = (published / "RESULTS.md").read_text()
    teachers, students = page.split("### Peers of `teacher`")[1].split("### Peers of `half`")
    assert "| 13.6 [" in teachers and "| 7.2 [" in students and "`bigfoot peers models/half --out peers/half`" in students


def test_without_a_comparison_on_disk_both_are_written_from_what_is_kept(published):
    before = (published / "RESULTS.md").read_text()
    shutil.rmtree(published / "reports")
    (published / "RESULTS.md").unlink()
    done = bigfoot("results", cwd=published)
    assert done.returncode == 0 and "no comparison is on disk, results/ stays as it was" in done.stdout, done.stderr
    assert (published / "RESULTS.md").read_text() == before


def test_without_markers_it_is_one_line(published):
    (published / "README.md").write_text("no markers")
    with pytest.raises(BigfootError, match="put the markers"):
        publish.write(published)
