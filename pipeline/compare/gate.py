"""The gate as CI asks it: what the last comparison says of the budget, one line a variant, and whether that is good.

It judges nothing anew: compare has judged, on dev, and this reads reports/comparison.json. So that no one takes an old
verdict for a new one, a params.yaml that is not the one compared with is refused.
"""

import json
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.compare.report.columns import standing
from pipeline.params import Gate, Params
from pipeline.project import Project

DECIDES_NOTHING = {"tracking", "time_limits"}
OBJECTIVES = {
    "both": "the one whose smaller gain, of speed or of size, is the largest",
    "speed": "the fastest one",
    "size": "the smallest one",
}


def read(root: Path) -> tuple[list[dict], dict]:
    """reports/comparison.json and the params it was made with; raises BigfootError where there is no comparison."""
    found = []
    for name in ("comparison.json", "params.json"):
        path = Project(root).reports / name
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise BigfootError(f"{path} is missing: run `dvc repro` first, in the project's folder") from None
        except ValueError:
            raise BigfootError(f"{path} is no valid JSON: run `dvc repro --force compare`") from None
    return found[0], found[1]


def check(root: Path, params: Params, names: list[str]) -> tuple[bool, list[str]]:
    """(whether the gate is open, what to say, a line each).

    Open: every variant in `names` passes; where none is named, there is a champion. Raises BigfootError where a name is
    of no compared variant, and where `params` are not those that were compared with.
    """
    rows, settings = read(root)
    now = params.model_dump(mode="json", by_alias=True)
    if changed := [key for key in now if key not in DECIDES_NOTHING and settings.get(key) != now[key]]:
        raise BigfootError(f"{', '.join(changed)} of params.yaml changed after the last comparison: run `dvc repro` first")
    asked = [find(rows, name) for name in names] or rows
    is_open = all(row["gate"]["passed"] for row in asked) if names else any(row["champion"] for row in rows)
    width = max(len(row["variant"]) for row in asked)
    said = [f"{standing(row):<8}  {row['variant']:<{width}}  {row['gate']['reason']}" for row in asked]
    if not names and not is_open:
        said.append("no champion: no variant but the teacher itself keeps the budget")
    return is_open, [_budget(params.gate), *said]


def find(rows: list[dict], name: str) -> dict:
    """The row of a variant; raises BigfootError, with the names there are, where it was not compared."""
    for row in rows:
        if row["variant"] == name:
            return row
    raise BigfootError(f"no variant {name} in the last comparison: it has {', '.join(row['variant'] for row in rows)}")


def _budget(gate: Gate) -> str:
    limits = [f"a rise in dev WER of at most {100 * gate.max_wer_rise:.2f} points, {gate.confidence:.0%} sure"]
    limits += [
        f"at most {most:g} {what}"
        for most, what in ((gate.max_disk_mb, "MB"), (gate.max_latency_p50_ms, "ms (median)"))
        if most is not None
    ]
    return f"budget: {'; '.join(limits)}; champion: {OBJECTIVES[gate.objective]}"
