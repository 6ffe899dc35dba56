"""The comparison as one HTML file that needs nothing else: no font, no picture, no network, and no script to be whole.

Decision: a page is a list of sections, each a function of what was measured, and a section that has nothing to show isn't
there. It is written for three readers in this order: who decides, who checks, who wants to do it again. The HTML is in
templates/, where Jinja escapes every text.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compare.comparison import Row
from pipeline.compare.origin import Origin
from pipeline.compare.report.columns import Column
from pipeline.compare.report.page import data, errors, headline, training, variants
from pipeline.params import Params

if TYPE_CHECKING:
    from pipeline.compare.inputs import Evidence


@dataclass(frozen=True)
class Report:
    """All that is reported: rows in the order shown, their columns, facts as (what, the fact), and what they rest on.

    breakdown and worst are as in page/errors.py, None where that was not looked into.
    """

    rows: list[Row]
    columns: list[Column]
    facts: list[tuple[str, str]]
    evidence: "Evidence"
    params: Params
    origin: Origin
    breakdown: dict | None
    worst: list[dict] | None


def page(report: Report, panels: dict[str, str]) -> str:
    """The HTML; panels are the Pareto plots, as `plots.panels` draws them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    sections = [
        headline.next_steps(report.rows, report.params),
        variants.table(report.rows, report.columns),
        variants.pareto(report.rows, panels),
        variants.by_length(report.rows),
        training.curves(report.evidence.curves, report.evidence.training),
        errors.breakdown(report.breakdown, report.rows),
        errors.worst(report.worst),
        variants.gate(report.rows),
        data.corpus(report.evidence, report.params),
        data.measuring(report.facts, report.evidence.timings),
        data.reproduce(report.origin, report.params),
    ]
    templates = Environment(
        loader=PackageLoader("pipeline.compare.report.page"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    templates.globals["nothing"] = "\N{NO-BREAK SPACE}"
    return templates.get_template("page.html").render(
        title=headline.title(report.rows),
        plain=headline.plain(report.rows),
        verdict=headline.verdict(report.rows),
        cards=headline.cards(report.rows),
        is_synthetic=bool(report.evidence.corpus.get("synthetic")),
        sections=[section for section in sections if section.parts],
    )
