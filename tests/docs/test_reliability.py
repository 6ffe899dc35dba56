"""docs/reliability.md and docs/deploy.md show what the tests recorded, and no more."""

import ast
import json
import os
import subprocess
import sys

import pytest

from tests.docs import reliability
from tests.recorded import FILE, ROOT

RECORDING = """
from pathlib import Path
from tests import recorded

recorded.FILE = Path("reliability.json")

def pytest_configure(config):
    config.pluginmanager.register(recorded.Recorder())
"""
COUNTING = """
import pytest

@pytest.mark.shows("killed", "two cases", "nothing is lost")
@pytest.mark.parametrize("kills", [3, 4])
def test_passed(kills, record_property):
    record_property("tried", kills)

@pytest.mark.shows("full", "`{stage}`", "one line")
@pytest.mark.parametrize("stage", ["prepare", "teacher"])
def test_each(stage):
    assert stage == "prepare"

@pytest.mark.shows("killed", "one case fails", "nothing is lost")
@pytest.mark.parametrize("kills", [3, 4])
def test_failed(kills):
    assert kills == 3
"""
ROWS = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", reliability.PAGES)
def test_the_tables_are_made_of_what_the_tests_recorded(name):
    page = (reliability.DOCS / name).read_text(encoding="utf-8")
    assert page == reliability.filled(name), "run `python -m tests.docs.reliability`"
    assert all(page.count(f"<!-- {table} -->\n| what ") == 1 for table in reliability.PAGES[name])


@pytest.mark.parametrize("test", ROWS)
def test_every_row_has_a_test_that_records_it_again(test):
    file, _, name = test.partition("[")[0].partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    (function,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
    marks = [ast.unparse(mark.func) for mark in function.decorator_list if isinstance(mark, ast.Call)]
    assert {"shows", "counts", "pytest.mark.shows"} & set(marks), "it is no row any more: take it out of docs/reliability.json"


def test_a_row_is_recorded_where_each_of_its_cases_passed_and_others_stay(tmp_path):
    (tmp_path / "conftest.py").write_text(RECORDING)
    (tmp_path / "test_counting.py").write_text(COUNTING)
    (tmp_path / "reliability.json").write_text('{"test_counting.py::test_failed": "of another day"}')
    subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    rows = json.loads((tmp_path / "reliability.json").read_text())
    assert rows.pop("test_counting.py::test_failed") == "of another day"
    assert {test: (row["what"], row["tried"]) for test, row in rows.items()} == {
        "test_counting.py::test_each[prepare]": ("`prepare`", 1), "test_counting.py::test_passed": ("two cases", 7)
    }  # fmt: skip
    assert all(row["date"] and row["commit"] and "cores" in row["machine"] for row in rows.values())
