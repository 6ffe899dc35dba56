"""docs/reliability.md shows what the tests recorded, and no more."""

import ast
import json

import pytest

from tests.docs import reliability
from tests.recorded import FILE, ROOT

ROWS = json.loads(FILE.read_text(encoding="utf-8"))


def test_the_tables_are_made_of_what_the_tests_recorded():
    page = reliability.PAGE.read_text(encoding="utf-8")
    assert page == reliability.filled(page), "run `python -m tests.docs.reliability`"
    assert all(page.count(f"<!-- {name} -->\n| what ") == 1 for name in reliability.COUNTS)


@pytest.mark.parametrize("test", ROWS)
def test_every_row_has_a_test_that_records_it_again(test):
    file, _, name = test.partition("[")[0].partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    (function,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
    marks = [ast.unparse(mark.func) for mark in function.decorator_list if isinstance(mark, ast.Call)]
    assert {"shows", "counts", "pytest.mark.shows"} & set(marks), "it is no row any more: take it out of docs/reliability.json"
