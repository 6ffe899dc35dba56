"""The comparison as one HTML file that needs no other file and no network, and that is complete without its script.

Decision: the page is a list of sections, each made by a function of the measurements; an empty section is left out. The page
is for three readers in this order: those who decide, those who check, and those who reproduce. The HTML is in templates/,
where Jinja escapes every text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.compare.answers import Answer
from pipeline.compare.breakdown import Breakdown, Mistake
from pipeline.compare.comparison import Row
from pipeline.compare.inputs import Evidence
from pipeline.compare.origin import Origin
from pipeline.compare.report import live, noise
from pipeline.compare.report.cautions import lacking
from pipeline.compare.report.columns import Column
from pipeline.compare.report.looks import Looks
from pipeline.compare.report.page import data, errors, headline, training, variants
from pipeline.compare.report.page.parts import Section
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
    answers: Sequence[Answer]

    @property
    def test(self) -> str:
        """The first test set."""
        return self.evidence.test_sets[0]


def page(report: Report, panels: dict[str, str], looks: Looks) -> str:
    """The HTML; panels are the Pareto plots of `plots.panels`, `looks` those of models and schemes in all plots."""
    sections = [
        headline.answers(report.answers, report.rows, report.params, report.test),
        headline.next_steps(report.rows, report.params),
        variants.table(report.rows, report.columns, lacking(report.evidence)),
        variants.pareto(report.rows, panels),
        variants.by_length(report.rows, looks),
        live.section(report.rows, report.evidence),
        noise.section(report.rows, report.evidence),
        training.curves(report.evidence.curves, report.evidence.training, report.evidence.objective, looks),
        errors.breakdown(report.breakdown, report.rows),
        errors.worst(report.worst, report.sounds),
        variants.gate(report.rows),
        data.corpus(report.evidence, report.params),
        data.measuring(report.facts, report.evidence.timings),
        data.reproduce(report.origin, report.params),
    ]
    return rendered(
        title=headline.title(report.rows),
        lead=headline.plain(report.rows),
        verdict=headline.verdict(report.rows, report.params, report.test),
        cards=headline.cards(report.rows),
        is_synthetic=bool(report.evidence.corpus.get("synthetic")),
        sections=sections,
    )


def rendered(
    title: str,
    lead: str,
    verdict: str,
    sections: Sequence[Section],
    cards: Sequence[headline.Card] = (),
    is_synthetic: bool = False,
) -> str:
    """A page with this head, and the sections that have parts."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("pipeline.compare.report.page"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    templates.globals["nothing"] = "\N{NO-BREAK SPACE}"
    return templates.get_template("page.html").render(
        title=title,
        lead=lead,
        verdict=verdict,
        cards=cards,
        is_synthetic=is_synthetic,
        sections=[section for section in sections if section.parts],
    )
