"""The counts of docs/reliability.md, recorded by the tests themselves: `pytest --record ...` writes docs/reliability.json.

A test with the mark `shows(table, what, then)` is a row of the page, or one case of a row, where `{name}` in `what` is filled
from its parameters. What it gives pytest's `record_property` are the row's counts, added up over the cases. A row is written
where each of its cases passed, with when and where that was. `python -m tests.docs.reliability` makes the page.
"""

import json
import time
from pathlib import Path

import pytest

from pipeline.common import host
from pipeline.common.files import write_json
from pipeline.common.git import git

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs/reliability.json"


class Recorder:
    """A plugin of pytest."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], dict] = {}
        self.failed: set[tuple[str, str]] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> object:
        report = yield
        for mark in item.iter_markers("shows"):
            table, what, then = mark.args
            key = table, what.format(**item.callspec.params if hasattr(item, "callspec") else {})
            if not report.passed:
                self.failed.add(key)
            elif report.when == "call":
                row = self.rows.setdefault(key, {"then": then, "test": item.nodeid.partition("[")[0], "tried": 0})
                counts = dict(report.user_properties)
                for name, count in {"tried": 1, **counts}.items():
                    row[name] = row.get(name, 0) + count
        return report

    def pytest_sessionfinish(self) -> None:
        kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else []
        rows = {(row["table"], row["what"]): row for row in kept}
        here = host.describe()
        where = {
            "date": time.strftime("%Y-%m-%d"), "commit": git(ROOT, "rev-parse", "--short", "HEAD"),
            "machine": f"{here['cpu']}, {here['cores']} cores",
        }  # fmt: skip
        for (table, what), row in self.rows.items():
            if (table, what) not in self.failed:
                rows[table, what] = {"table": table, "what": what, **row, **where}
        write_json(FILE, list(rows.values()))
