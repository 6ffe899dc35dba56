"""Errors by length, speaker and noise, and the worst utterances word by word; both sections are empty where that is unknown."""

from base64 import b64encode
from collections.abc import Mapping, Sequence

from pipeline.common.numbers import percent
from pipeline.compare.breakdown import Breakdown, Group, Mistake, rates
from pipeline.compare.comparison import Row, champion_of
from pipeline.compare.report.columns import with_range
from pipeline.compare.report.page.parts import Alignments, Cell, KeyToAlignments, Line, Section, Subheading, Table, Text

GROUPS = 20  # of a table
MOST_BYTES = 400_000  # of an utterance's audio, about 15 s


def breakdown(breakdown: Breakdown | None, rows: Sequence[Row]) -> Section:
    parts = [
        part
        for test, by_factor in (breakdown["sets"] if breakdown else {}).items()
        for factor, groups in by_factor.items()
        if groups
        for part in (Subheading(f"By {factor}: {test}"), _table(factor, test, groups, rows))
    ]
    about = Text("The fewer words a group has, the more its figure depends on chance.")
    return Section("errors", "Where the errors are", [about, *parts] if parts else [])


def worst_groups(groups: list[Group], rows: Sequence[Row], most: int) -> tuple[list[Group], str]:
    """At most `most` groups, those in which the champion (else the teacher) is worst, and a text on what is left out."""
    if len(groups) <= most:
        return groups, ""
    name = (champion_of(rows) or rows[0]).variant
    worst = sorted(groups, key=lambda group: -(rates(group)[0].get(name) or 0.0))[:most]
    return worst, f": the {most} of {len(groups):,} groups in which {name} is worst; the others are in reports/breakdown.json"


def pairs(alignment: list[list[str]]) -> list[tuple[str, str]]:
    """[(reference word, recognized word)]; "" for a missing word."""
    return [(word or "", other or "") for _, word, other in alignment]


def worst(utterances: Sequence[Mistake], sounds: Mapping[tuple[str, str], bytes]) -> Section:
    """The audio, the texts of reference, teacher and variant, and the reference aligned with the variant's text.

    Audio of more than MOST_BYTES is left out, so that a page can still be mailed.
    """
    parts: list[object] = []
    for test in dict.fromkeys(utterance["set"] for utterance in utterances):
        short = {name: flac for (of, name), flac in sounds.items() if of == test and len(flac) <= MOST_BYTES}
        audio = {name: f"data:audio/flac;base64,{b64encode(flac).decode()}" for name, flac in short.items()}
        parts += [Subheading(test), Alignments([utterance for utterance in utterances if utterance["set"] == test], audio)]
    return Section("worst", "The worst utterances", [KeyToAlignments(), *parts] if parts else [])


def _table(factor: str, test: str, groups: list[Group], rows: Sequence[Row]) -> Table:
    kept, left_out = worst_groups(groups, rows, GROUPS)
    champion = champion_of(rows)
    first = [row.variant for row in (champion, rows[0]) if row]
    names = [*first, *(row.variant for row in rows if row.variant not in first)]
    widest = max((rates(group)[0].get(name) or 0.0 for group in kept for name in first), default=0) or 1
    lines = []
    for group in kept:
        cells = [Cell(f"{group['utterances']:,}"), Cell(f"{group['words']:,}")]
        for name in names:
            rate, low, high = (by_variant.get(name) for by_variant in rates(group))
            if name in first:
                cells.append(Cell(with_range(rate, low, high, percent), rate, None if rate is None else rate / widest))
            else:
                cells.append(Cell(percent(rate), rate))
        lines.append(Line(str(group["group"]), cells))
    heads = [factor.capitalize(), "Utterances", "Words", *names]
    return Table(f"{rows[0].objective.upper()} % of {test} by {factor}{left_out}", heads, lines)
