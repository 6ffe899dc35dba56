"""Tables of docs/ that are made of what the tests recorded: docs/reliability.json, which tests/recorded.py writes.

`python -m tests.docs.reliability` writes them anew, between their markers; the prose around them stays.
"""

import json

from pipeline.common import tables
from tests.recorded import FILE

DOCS = FILE.parent
PAGES = {"reliability.md": ("killed", "full", "damaged", "fuzzed"), "deploy.md": ("deployed",)}  # and the tables in them
THEN = {"deployed": "runs on, its makers say"}  # the heading of a table's column `then`, where it is another one
COUNTS = {
    "killed": {"tried": "kills"},
    "full": {"tried": "tried"},
    "damaged": {"tried": "tried", "refused": "refused in one line", "same": "same result", "other": "another text"},
    "fuzzed": {"tried": "inputs", "taken": "taken", "refused": "refused in one line"},
    "deployed": {"tried": "texts", "equal": "equal", "megabytes": "MB", "milliseconds": "ms", "memory": "RAM, MB"},
}  # of each table: a row's count in the file -> its heading


def filled(name: str) -> str:
    """A page with its tables."""
    page, rows = (DOCS / name).read_text(encoding="utf-8"), json.loads(FILE.read_text(encoding="utf-8"))
    for table in PAGES[name]:
        before, begin, rest = page.partition(f"<!-- {table} -->\n")
        _, end, after = rest.partition(f"<!-- /{table} -->")
        made = _table(table, {test: row for test, row in rows.items() if row["table"] == table})
        page = before + begin + made + end + after
    return page


def _table(name: str, rows: dict[str, dict]) -> str:
    heads = COUNTS[name]
    cells = [
        [row["what"], *(f"{row[count]:,}" if count in row else "" for count in heads), row["then"], _file(test), _when(row)]
        for test, row in rows.items()
    ]
    columns = ["what", *heads.values(), THEN.get(name, "then"), "test", "recorded"]
    machines = "; ".join(sorted({row["machine"] for row in rows.values()}))
    return f"{tables.markdown(columns, cells)}\n\nOn {machines}.\n"


def _file(test: str) -> str:
    return f"`{test.partition('::')[0]}`"


def _when(row: dict) -> str:
    return f"{row['date']}, {row['commit']}"


if __name__ == "__main__":
    for page in PAGES:
        (DOCS / page).write_text(filled(page), encoding="utf-8")
