"""The comparison as one HTML file that needs nothing else: no font, no picture, no network, and no script to be whole.

Decision: a page is a list of sections, each a function of what was found out, and a section that has nothing to show isn't
there. It is written for three readers in this order: who decides, who checks, who wants to do it again.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compare.origin import Origin
from pipeline.compare.report.columns import Column
from pipeline.compare.report.page import data, errors, headline, training, variants
from pipeline.compare.report.page.look import SCRIPT, STYLE
from pipeline.compare.report.page.markup import say
from pipeline.params import Params

if TYPE_CHECKING:
    from pipeline.compare.inputs import Evidence

MADE = "SYNTHETIC speech: these figures say how the pipeline works, not how it hears people."


@dataclass(frozen=True)
class Told:
    """All that is told: rows in the order shown, their columns, facts as (what, the fact), and what they rest on.

    breakdown and worst are as in page/errors.py, None where that was not looked into.
    """

    rows: list[dict]
    columns: list[Column]
    facts: list[tuple[str, str]]
    evidence: "Evidence"
    params: Params
    origin: Origin
    breakdown: dict | None
    worst: list[dict] | None


def page(told: Told, panels: dict[str, str]) -> str:
    """The HTML; panels are the Pareto plots, as `plots.panels` draws them."""
    found = [
        headline.next_steps(told.rows, told.params),
        variants.table(told.rows, told.columns),
        variants.pareto(told.rows, panels),
        variants.by_length(told.rows),
        training.curves(told.evidence.curves, told.evidence.training),
        errors.breakdown(told.breakdown, told.rows),
        errors.worst(told.worst),
        variants.gate(told.rows),
        data.corpus(told.evidence, told.params),
        data.measuring(told.facts, told.evidence.timings),
        data.reproduce(told.origin, told.params),
    ]
    sections = [one for one in found if one]
    links = "".join(f'<li><a href="#{name}">{say(title)}</a></li>' for name, title, _ in sections)
    made = f'<p class="made">{say(MADE)}</p>' if told.evidence.corpus.get("synthetic") else ""
    title = headline.title(told.rows)
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{say(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n<header>",
            f"<h1>{say(title)}</h1>",
            headline.lead(told.rows),
            made,
            f'</header>\n<nav aria-label="On this page"><ul>{links}</ul></nav>\n<main>',
            *(shown for _, _, shown in sections),
            f"</main>\n<script>{SCRIPT}</script>\n</body></html>\n",
        ]
    )
