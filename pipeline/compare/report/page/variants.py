"""All variants: the table, Pareto plots, latency by length, and what the gate decided of each."""

from collections.abc import Sequence

from pipeline.common.numbers import shown
from pipeline.compare.comparison import Row, champion_of, untrained
from pipeline.compare.figures import BY_NAME
from pipeline.compare.report import plots
from pipeline.compare.report.columns import Column
from pipeline.compare.report.page.parts import Cell, Facts, Line, Meanings, Plot, Plots, Section, Table, Text

MAIN = ("WER % [95%]", "MB", "Smaller", "p50 ms", "Faster [95%]", "Gate")  # what a phone shows at first


def table(rows: Sequence[Row], columns: Sequence[Column]) -> Section:
    first, *others = columns
    lines = [
        Line(first.show(row), [Cell(column.show(row), column.value(row)) for column in others], row.champion) for row in rows
    ]
    caption = "One row per variant, the largest first after the teacher in fp32; the champion's is bold"
    shown = Table(caption, [column.name for column in columns], lines, "sortable", MAIN)
    return Section("variants", "All variants", [shown, Meanings([(column.name, column.about) for column in columns])])


def pareto(rows: Sequence[Row], panels: dict[str, str]) -> Section:
    """A plot for each measure; the figures themselves are in the table above. None of UNTRAINED models."""
    champion, drawn = champion_of(rows), []
    for key, svg in panels.items():
        best, label = plots.front([(x, row["wer"]) for row in rows if (x := plots.at(row, key))]), BY_NAME[key].label
        names = ", ".join(row.variant for row in rows if (plots.at(row, key), row["wer"]) in best)
        text = f"Word error rate against {label}. Champion: {champion.variant if champion else 'none'}. On the front: {names}."
        caption = f"WER against {label}: lower and further left is better. On the dashed front: {names}."
        drawn.append(Plot(plots.inline(svg, key, text), caption))
    about = Text("Color is the model, shape the scheme, the large mark the champion; bars are 95% intervals.")
    return Section("pareto", "Size, speed and energy against errors", [about, Plots(drawn)])


def by_length(rows: Sequence[Row]) -> Section:
    """Nothing where lengths were not timed."""
    name, title = "lengths", "Latency by length of audio"
    svg = plots.by_length(rows)
    if svg is None:
        return Section(name, title, [])
    timed = {row.variant: dict(plots.lengths(row)) for row in rows}
    seconds = sorted({length for times in timed.values() for length in times})
    lines = [Line(who, [Cell(shown(times.get(s), ".1f"), times.get(s)) for s in seconds]) for who, times in timed.items()]
    about = "Latency by length of audio, one line per variant; the table below has the figures."
    caption = "Milliseconds to transcribe so many seconds of audio"
    figures = Table(caption, ["Variant", *(f"{s:g} s" for s in seconds)], lines)
    return Section(name, title, [Plots([Plot(plots.inline(svg, "length", about), about)]), figures])


def gate(rows: Sequence[Row]) -> Section:
    if untrained(rows):
        return Section("gate", "Gate, on dev", [])
    about = Text("The gate reads dev alone: which variant is recommended was decided before anyone looked at the test set.")
    return Section("gate", "Gate, on dev", [about, Facts([(row.variant, row.gate.reason) for row in rows])])
