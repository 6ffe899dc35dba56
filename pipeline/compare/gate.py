"""The gate for CI: whether the last comparison keeps the budget, with one line per variant.

Nothing is judged again: compare has judged, on the split gate, and this reads reports/comparison.json. A params.yaml that
changed since the comparison is refused, so that nobody takes an old verdict for a new one.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.common import numbers, tables
from pipeline.common.errors import BigfootError
from pipeline.compare import comparison
from pipeline.compare.comparison import Row
from pipeline.compare.report.columns import standing
from pipeline.compare.rows import no_champion
from pipeline.params import Gate, Params

DECIDES_NOTHING = {"exports", "tracking", "time_limits"}
PREFERRED = {
    "both": "the largest gain, the smaller of those in speed and in size",
    "speed": "the largest gain in speed",
    "size": "the largest gain in size",
}


@dataclass(frozen=True)
class Outcome:
    """Whether the gate is open, of which rows, and the budget in words."""

    is_open: bool
    rows: Sequence[Row]
    budget: str
    has_champion: bool

    def text(self) -> str:
        width = max(len(row.variant) for row in self.rows)
        lines = tables.wrapped(self.budget, " " * len("budget: "))
        for row in self.rows:
            about = f"{standing(row):<9}  {row.variant:<{width}}  "
            lines += tables.wrapped(about + row.gate.reason, " " * len(about))
        if not self.has_champion:
            lines.append(f"no champion: {no_champion(self.rows)}")
        return "\n".join(lines)

    def as_json(self) -> str:
        variants = [{"variant": row.variant, "champion": row.champion, **asdict(row.gate)} for row in self.rows]
        return json.dumps({"open": self.is_open, "budget": self.budget, "variants": variants}, indent=1, ensure_ascii=False)


def check(root: Path, params: Params, names: list[str]) -> Outcome:
    """The gate is open if every variant in `names` passes or, where no variant is named, if there is a champion. Raises
    BigfootError where a name is not that of a compared variant, and where `params` changed since the comparison.
    """
    compared = comparison.read(root)
    now = params.model_dump(mode="json", by_alias=True)
    if changed := [key for key in now if key not in DECIDES_NOTHING and compared.params.get(key) != now[key]]:
        raise BigfootError(f"{', '.join(changed)} of params.yaml changed after the last comparison: run `dvc repro` first")
    rows = [compared.row(name) for name in names] or compared.rows
    is_open = all(row.gate.passed for row in rows) if names else compared.champion is not None
    return Outcome(is_open, rows, _budget(params.gate, params.corpus.objective), bool(names) or compared.champion is not None)


def _budget(gate: Gate, objective: str) -> str:
    allowed, sure = numbers.percent(gate.max_rise), numbers.sure(gate.confidence)
    rise = f"a rise in gate {objective.upper()} of at most {allowed} points, {sure}"
    limits = [rise, *(f"at most {most:g} {unit}" for _, most, unit in gate.limits())]
    champion = f"{PREFERRED[gate.prefer]}; of gains that are alike, the largest product of both"
    return f"budget: {'; '.join(limits)}; champion: {champion}"
