"""The comparison as one HTML file that needs no other file and no network, and that is complete without its script.

Decision: the page is a list of sections, each made by a function of the measurements; an empty section is left out. The page
is for three readers in this order: those who decide, those who check, and those who reproduce. The HTML is in templates/,
where Jinja escapes every text.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.compare.breakdown import Breakdown, Mistake
from pipeline.compare.comparison import Row
from pipeline.compare.inputs import Evidence
from pipeline.compare.origin import Origin
from pipeline.compare.report import live
from pipeline.compare.report.columns import Column
from pipeline.compare.report.page import data, errors, headline, training, variants
from pipeline.params import Params


@dataclass(frozen=True)
class Report:
    """The contents of a report: rows in the order shown, their columns, facts as (name, text), and what they are made from.

    breakdown is None and worst is empty for UNTRAINED models.
    """

    rows: list[Row]
    columns: list[Column]
    facts: list[tuple[str, str]]
    evidence: Evidence
    params: Params
    origin: Origin
    breakdown: Breakdown | None
    worst: list[Mistake]
    sounds: Mapping[tuple[str, str], bytes]


def page(report: Report, panels: dict[str, str]) -> str:
    """The HTML; panels are the Pareto plots of `plots.panels`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    sections = [
        headline.next_steps(report.rows, report.params),
        variants.table(report.rows, report.columns),
        variants.pareto(report.rows, panels),
        variants.by_length(report.rows),
        live.section(report.rows, report.evidence),
        training.curves(report.evidence.curves, report.evidence.training, report.evidence.objective),
        errors.breakdown(report.breakdown, report.rows),
        errors.worst(report.worst, report.sounds),
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
        verdict=headline.verdict(report.rows, report.params),
        cards=headline.cards(report.rows),
        is_synthetic=bool(report.evidence.corpus.get("synthetic")),
        sections=[section for section in sections if section.parts],
    )
