"""Where errors lie: by length, speaker and noise, and the worst utterances word by word. Nothing where that isn't known.

`breakdown` is {"sets": {TEST SET: {"length": [{"group", "utterances", "words", "wer": {VARIANT: fraction}}]}}}, `worst` a list
of {"id", "speaker", "set", "reference", "variant", "teacher", "hypothesis", "errors", "teacher_errors", "alignment"}; an
alignment is [[operation, reference word, recognized word]], one of the words empty where one was left out or put in.
"""

from collections.abc import Sequence

from pipeline.common.numbers import percent
from pipeline.compare.comparison import Row, champion_of
from pipeline.compare.report.columns import with_range
from pipeline.compare.report.page.parts import Alignments, Cell, KeyToAlignments, Line, Section, Subheading, Table, Text

GROUPS = 20  # of a table


def breakdown(by_set: dict | None, rows: Sequence[Row]) -> Section:
    parts = [
        part
        for test, by_factor in (by_set or {}).get("sets", {}).items()
        for factor, groups in by_factor.items()
        if groups
        for part in (Subheading(f"By {factor}: {test}"), _table(factor, test, groups, rows))
    ]
    about = Text("Few words say little: the fewer a group has, the more its figure is chance.")
    return Section("errors", "Where the errors lie", [about, *parts] if parts else [])


def telling(groups: list[dict], rows: Sequence[Row], most: int) -> tuple[list[dict], str]:
    """The groups as given, or of many those in which the champion (else the teacher) is worst; and what is left out."""
    if len(groups) <= most:
        return groups, ""
    name = (champion_of(rows) or rows[0]).variant
    worst = sorted(groups, key=lambda group: -(group["wer"].get(name) or 0))[:most]
    return worst, f"; of {len(groups):,} the {most} in which {name} is worst, the others are in reports/breakdown.json"


def pairs(alignment: list) -> list[tuple[str, str]]:
    """[(reference word, recognized word)]; "" where there is none."""
    return [(word or "", other or "") for _, word, other in alignment]


def worst(utterances: list[dict] | None) -> Section:
    """Reference, teacher and variant side by side, and what the variant made of each word of the reference."""
    parts: list[object] = []
    for test in dict.fromkeys(one["set"] for one in utterances or []):
        parts += [Subheading(test), Alignments([one for one in utterances if one["set"] == test])]
    return Section("worst", "The worst utterances", [KeyToAlignments(), *parts] if parts else [])


def _table(factor: str, test: str, groups: list[dict], rows: Sequence[Row]) -> Table:
    kept, left_out = telling(groups, rows, GROUPS)
    champion = champion_of(rows)
    first = [row.variant for row in (champion, rows[0]) if row]
    names = [*first, *(row.variant for row in rows if row.variant not in first)]
    widest = max((group["wer"].get(name) or 0 for group in kept for name in first), default=0) or 1
    lines = []
    for group in kept:
        cells = [Cell(f"{group['utterances']:,}"), Cell(f"{group['words']:,}")]
        for name in names:
            wer, low, high = (group.get(key, {}).get(name) for key in ("wer", "wer_low", "wer_high"))
            if name in first:
                cells.append(Cell(with_range(wer, low, high, percent), wer, None if wer is None else wer / widest))
            else:
                cells.append(Cell(percent(wer), wer))
        lines.append(Line(str(group["group"]), cells))
    heads = [factor.capitalize(), "Utterances", "Words", *names]
    return Table(f"WER % of {test} by {factor}{left_out}", heads, lines)
