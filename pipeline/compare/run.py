"""compare: scores and timings of all variants beside those of teacher.fp32; the gate, the champion, the report.

Decision: one flat object a variant, with the same keys for every one of them, is what the tables, the plots, the page
and MLflow are made of (pipeline.compare.rows).
"""

import json
from pathlib import Path

from pipeline.compare import breakdown
from pipeline.compare.inputs import gather
from pipeline.compare.origin import Origin
from pipeline.compare.report import cards, markdown
from pipeline.compare.rows import headline, judge, measured
from pipeline.params import Params


def compare(params: Params, root: Path, out: Path, origin: Origin = Origin()) -> list[dict]:  # noqa: B008, it is frozen
    """Compare the variants that params lists, from the files under `root`; write the report into `out`.

    `origin` says in the report where the files come from; the same files and origin give the same report.
    Returns comparison.json: a list, one object a variant, teacher.fp32 first. Raises BigfootError where a score, a
    timing or a model is missing, or is not of this corpus.
    """
    evidence = gather(params, root)
    rows = judge(measured(evidence), evidence, params.gate)
    out.mkdir(parents=True, exist_ok=True)
    by_group, worst = ({}, []) if evidence.untrained else (breakdown.breakdown(evidence), breakdown.worst(rows, evidence))
    _write_json(out / "breakdown.json", by_group)
    _write_json(out / "worst.json", worst)
    markdown.write(out, rows, evidence, params, origin, by_group, worst)
    cards.write(out / "cards", rows, evidence, params)
    _write_json(out / "comparison.json", rows)
    _write_json(out / "metrics.json", headline(rows, evidence.timings))
    _write_json(out / "params.json", params.model_dump(mode="json", by_alias=True))
    return rows


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
