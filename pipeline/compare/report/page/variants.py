"""All variants: the table, Pareto plots, latency by length, and the gate's verdicts."""

from collections.abc import Sequence

from pipeline.common.numbers import shown
from pipeline.compare.comparison import Row, champion_of, untrained
from pipeline.compare.figures import BY_NAME, ENERGY, of_objective
from pipeline.compare.report import plots
from pipeline.compare.report.columns import ESSENTIAL, Column
from pipeline.compare.report.drawing import inline
from pipeline.compare.report.looks import Looks
from pipeline.compare.report.page.parts import Cell, Facts, Line, Meanings, Plot, Plots, Section, Table, Text

OF_LENGTHS = "medians of a few transcriptions each"


def table(rows: Sequence[Row], columns: Sequence[Column], remarks: Sequence[str]) -> Section:
    """All variants; the page at first shows the columns ESSENTIAL. `remarks` are about the figures."""
    first, *others = columns
    lines = [
        Line(first.show(row), [Cell(column.show(row), column.value(row)) for column in others], row.champion) for row in rows
    ]
    caption = "One row per variant, the largest first after the teacher in fp32; the champion's is bold"
    figures = Table(
        caption,
        [column.name for column in columns],
        lines,
        "sortable",
        tuple(of_objective(name, rows[0].objective) for name in ESSENTIAL),
    )
    meanings = Meanings("What the columns mean", [(column.name, column.about) for column in columns])
    said = [Text(f"{remark[:1].upper()}{remark[1:]}.") for remark in remarks]
    return Section("variants", "All variants", [figures, *said, meanings])


def pareto(rows: Sequence[Row], panels: dict[str, str]) -> Section:
    """One plot per measure; the figures themselves are in the table above. UNTRAINED models have no plots."""
    champion, drawn, rate_name = champion_of(rows), [], rows[0].objective.upper()
    for key, svg in panels.items():
        points, label = plots.points(rows, key), BY_NAME[key].label
        best = plots.front([(x, rate) for _, x, rate in points])
        names = ", ".join(row.variant for row, x, rate in points if (x, rate) in best)
        text = f"{rate_name} against {label}. Champion: {champion.variant if champion else 'none'}. On the front: {names}."
        caption = f"{rate_name} against {label}: lower and further left is better. On the dashed front: {names}."
        drawn.append(Plot(inline(svg, key, text), caption))
    about = Text("Color is the model, in every plot; shape is the scheme, the large mark the champion; bars are 95% intervals.")
    title = "Size, speed and energy against errors" if ENERGY in panels else "Size and speed against errors"
    return Section("pareto", title, [about, Plots(drawn)])


def by_length(rows: Sequence[Row], looks: Looks) -> Section:
    """The section, with the benchmark's threads and with one; empty where lengths were not timed."""
    timed = [row for row in rows if not row.not_timed]
    are_same = all(plots.lengths(row, one_thread=True) in ([], plots.lengths(row)) for row in timed)
    drawn: list[Plot] = []
    heads, cells = ["Variant"], [list[Cell]() for _ in timed]
    for one_thread in (False,) if are_same else (False, True):
        svg = plots.by_length(timed, looks, one_thread)
        if svg is None:
            continue
        way = ", one thread" if one_thread else ""
        about = f"Latency by length of audio{way} ({OF_LENGTHS}): one line per variant, the champion's wide; figures below."
        drawn.append(Plot(inline(svg, f"length-{len(drawn)}", about), about))
        found = [dict(plots.lengths(row, one_thread)) for row in timed]
        seconds = sorted(set().union(*found))
        heads += [f"{s:g} s{way}" for s in seconds]
        for line, ms in zip(cells, found, strict=True):
            line += [Cell(shown(ms.get(s), ".1f"), ms.get(s)) for s in seconds]
    lines = [Line(row.timed_as, line) for row, line in zip(timed, cells, strict=True)]
    figures = Table("Milliseconds to transcribe audio of each length", heads, lines)
    return Section("lengths", "Latency by length of audio", [Plots(drawn), figures] if drawn else [])


def gate(rows: Sequence[Row]) -> Section:
    if untrained(rows):
        return Section("gate", "Gate", [])
    about = Text(
        "Judged on the split gate, which chose nothing before: neither dev nor a test set has a part in the recommendation."
    )
    return Section("gate", "Gate", [about, Facts([(row.variant, row.gate.reason) for row in rows])])
