"""What tests count for docs/reliability.md and docs/deploy.md: `pytest --record ...` writes docs/reliability.json.

A test with the mark `shows(table, what, then)` is a row of a page, or one case of a row, where `{name}` in `what` and `then` is
filled from its parameters. What it gives pytest's `record_property` are the row's counts, added up over the cases. A row is
written where each of its cases passed, with when and where that was. `python -m tests.docs.reliability` makes the pages.
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
        self.rows: dict[str, dict] = {}
        self.failed: set[str] = set()
        here = host.describe()
        self.where = {
            "date": time.strftime("%Y-%m-%d"), "commit": git(ROOT, "rev-parse", "--short", "HEAD"),
            "machine": f"{here['cpu']}, {here['cores']} cores",
        }  # fmt: skip

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> object:
        report = yield
        for mark in item.iter_markers("shows"):
            table, what, then = mark.args
            params = item.callspec.params if hasattr(item, "callspec") else {}
            test = item.nodeid if "{" in what else item.nodeid.partition("[")[0]
            if not report.passed:
                self.failed.add(test)
            elif report.when == "call":
                row = self.rows.setdefault(test, {"table": table, "what": what.format(**params), "then": then.format(**params)})
                for name, count in {"tried": 1, **dict(report.user_properties)}.items():
                    row[name] = row.get(name, 0) + count
        return report

    def pytest_sessionfinish(self) -> None:
        kept = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
        passed = {test: row | self.where for test, row in self.rows.items() if test not in self.failed}
        write_json(FILE, dict(sorted((kept | passed).items())))
