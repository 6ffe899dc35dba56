"""compare: scores and timings of all variants beside those of teacher.fp32; the gate, the champion, the report.

Decision: tables, plots, page and MLflow are all made from one row per variant, and every row has the same figures
(pipeline.compare.figures).
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.common.files import write_json
from pipeline.compare import answers, breakdown, comparison
from pipeline.compare.breakdown import Mistake
from pipeline.compare.comparison import Row
from pipeline.compare.inputs import gather
from pipeline.compare.origin import Origin
from pipeline.compare.report import cards, markdown
from pipeline.compare.rows import headline, judge, measured
from pipeline.params import Params
from pipeline.project import Project
from pipeline.speech.corpus import Corpus, open_corpus


def compare(params: Params, root: Path, out: Path, origin: Origin = Origin()) -> list[Row]:  # noqa: B008, it is frozen
    """Compare the variants that params lists, from the files under `root`; write the report into `out`.

    The report shows `origin`, where the files come from; the same files and origin give the same report.
    Returns the rows, teacher.fp32 first. Raises BigfootError where a score, a timing or a model is missing, or belongs to
    another corpus.
    """
    evidence, folder = gather(params, root), Project(root).corpus(params.corpus.name)
    rows = judge(measured(evidence), evidence, params.gate)
    by_group = None if evidence.untrained else breakdown.breakdown(evidence)
    worst = [] if evidence.untrained else breakdown.worst(rows, evidence)
    write_json(out / "breakdown.json", by_group or {})
    write_json(out / "worst.json", worst)
    found = answers.answers(rows, evidence, params.gate.prefer)
    write_json(out / "answers.json", [asdict(answer) for answer in found])
    markdown.write(out, rows, evidence, params, origin, by_group, worst, sounds(worst, open_corpus(folder)), found)
    cards.write(out / "cards", rows, evidence, params)
    comparison.write(out, rows, params)
    write_json(out / "metrics.json", headline(rows, evidence.timings, evidence.corpus))
    return rows


def sounds(worst: Sequence[Mistake], corpus: Corpus) -> dict[tuple[str, str], bytes]:
    """{(set, id): a FLAC file} of these utterances, for the page to play."""
    wanted = {(mistake["set"], mistake["id"]) for mistake in worst}
    sets = dict.fromkeys(mistake["set"] for mistake in worst)
    return {(name, u.id): corpus.flac(u) for name in sets for u in corpus.utterances(name) if (name, u.id) in wanted}
