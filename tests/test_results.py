"""What is published comes from kept files alone: the same files give the same pages, and a changed figure shows in both."""

import json

import pytest

from pipeline import results
from pipeline.compare import compare
from pipeline.errors import BigfootError
from tests.planted import plant

README = "# Title\n\nbefore\n<!-- results -->\nold\n<!-- /results -->\nafter\n"


@pytest.fixture
def published(tmp_path):
    (tmp_path / "README.md").write_text(README)
    compare(plant(tmp_path), tmp_path, tmp_path / "reports")
    results.keep(tmp_path)
    results.write(tmp_path)
    return tmp_path


def test_every_variant_stands_in_both_and_the_rest_of_the_readme_stays(published):
    rows = json.loads((published / "reports/comparison.json").read_text())
    readme, page = (published / "README.md").read_text(), (published / "RESULTS.md").read_text()
    assert all(f"| {row['variant']} |" in text for row in rows for text in (readme, page))
    assert readme.startswith("# Title\n\nbefore\n") and readme.endswith("\nafter\n") and "old" not in readme
    assert "SYNTHETIC" in readme and "SYNTHETIC" in page and "Machine" in page and "dvc repro" in page


def test_written_again_nothing_changes(published):
    before = [(published / name).read_bytes() for name in ("README.md", "RESULTS.md")]
    results.write(published)
    assert [(published / name).read_bytes() for name in ("README.md", "RESULTS.md")] == before


def test_a_figure_that_changes_in_the_kept_files_changes_in_the_readme(published):
    kept = published / "results/quickstart/comparison.json"
    kept.write_text(kept.read_text().replace('"disk_mb": 8.0', '"disk_mb": 9.87'))
    results.write(published)
    assert "9.87" in (published / "README.md").read_text()


def test_people_come_before_synthesis(published):
    (published / "results/quickstart").rename(published / "results/zebra")
    for name in ("digits", "quickstart"):
        (published / "results" / name).mkdir()
        for file in results.KEPT:
            (published / "results" / name / file).write_bytes((published / "results/zebra" / file).read_bytes())
    results.write(published)
    page = (published / "RESULTS.md").read_text()
    assert page.index("## Connected digits") < page.index("## Quickstart") < page.index("## Zebra")


def test_without_a_comparison_or_markers_it_is_one_line(tmp_path, published):
    with pytest.raises(BigfootError, match="run `dvc repro` first"):
        results.keep(tmp_path / "nowhere")
    (published / "README.md").write_text("no markers")
    with pytest.raises(BigfootError, match="put the markers"):
        results.write(published)
