"""The tables of docs/reliability.md are made of what the tests recorded: docs/reliability.json, which tests/recorded.py writes.

`python -m tests.docs.reliability` writes them anew, between their markers; the prose around them stays.
"""

import json

from pipeline.common import tables
from tests.recorded import FILE

PAGE = FILE.with_suffix(".md")
COUNTS = {
    "killed": {"tried": "kills"},
    "full": {"tried": "tried"},
    "damaged": {"tried": "tried", "refused": "refused in one line", "same": "same result", "other": "another text"},
    "fuzzed": {"tried": "inputs", "taken": "taken", "refused": "refused in one line"},
}  # of each table: a row's count in the file -> its heading


def filled(page: str) -> str:
    """The page with its tables."""
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    for name, heads in COUNTS.items():
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        page = before + begin + _table({test: row for test, row in rows.items() if row["table"] == name}, heads) + end + after
    return page


def _table(rows: dict[str, dict], heads: dict[str, str]) -> str:
    cells = [
        [row["what"], *(f"{row[count]:,}" if count in row else "" for count in heads), row["then"], _file(test), _when(row)]
        for test, row in rows.items()
    ]
    machines = "; ".join(sorted({row["machine"] for row in rows.values()}))
    return f"{tables.markdown(['what', *heads.values(), 'then', 'test', 'recorded'], cells)}\n\nOn {machines}.\n"


def _file(test: str) -> str:
    return f"`{test.partition('::')[0]}`"


def _when(row: dict) -> str:
    return f"{row['date']}, {row['commit']}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
