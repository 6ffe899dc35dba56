"""All variants: the table, Pareto plots, latency by length, and what the gate said of each."""

from pipeline.compare.report import plots
from pipeline.compare.report.columns import Column, untrained
from pipeline.compare.report.page import markup
from pipeline.compare.report.page.markup import cell, details, facts, figure, say, section

MAIN = ("WER % [95%]", "MB", "Smaller", "p50 ms", "Faster [95%]", "Gate")  # what a phone shows at first
ABOUT = {"disk_mb": "size on disk", "latency_p50_ms": "median latency", "energy": "energy"}


def table(rows: list[dict], columns: list[Column]) -> tuple[str, str, str] | None:
    first, *others = columns
    heads = [f'<th scope="col">{say(first.name)}</th>']
    heads += [f'<th scope="col"{" data-main" if one.name in MAIN else ""}>{say(one.name)}</th>' for one in others]
    lines = [
        f'<tr{" class=champion" if row["champion"] else ""}><th scope="row">{say(first.show(row))}</th>'
        + "".join(cell(one.show(row), one.value(row)) for one in others)
        + "</tr>"
        for row in rows
    ]
    caption = "A row a variant, the largest first after the teacher in fp32; the champion's is bold"
    meaning = details("What the columns mean", facts((one.name, one.about) for one in columns))
    framed = markup.framed(caption, "".join(heads), "\n".join(lines), "sortable")
    return section("variants", "All variants", framed, meaning)


def pareto(rows: list[dict], panels: dict[str, str]) -> tuple[str, str, str] | None:
    """A plot for each measure; the figures themselves are in the table above. Nothing of UNTRAINED models."""
    if not panels:
        return None
    champion = next((row["variant"] for row in rows if row["champion"]), "none")
    shown = []
    for key, svg in panels.items():
        best = plots.front([(x, row["wer"]) for row in rows if (x := plots.at(row, key))])
        names = [row["variant"] for row in rows if (plots.at(row, key), row["wer"]) in best]
        text = f"Word error rate against {ABOUT[key]}. Champion: {champion}. On the front: {', '.join(names)}."
        caption = f"WER against {ABOUT[key]}: lower and further left is better. On the dashed front: {', '.join(names)}."
        shown.append(figure(plots.inline(svg, key, text), caption))
    about = "<p>Color is the model, shape the scheme, the large mark the champion; bars are 95% intervals.</p>"
    return section("pareto", "Size, speed and energy against errors", about, f'<div class="plots">{"".join(shown)}</div>')


def by_length(rows: list[dict]) -> tuple[str, str, str] | None:
    svg = plots.by_length(rows)
    if svg is None:
        return None
    found = {row["variant"]: dict(plots.lengths(row)) for row in rows}
    seconds = sorted({one for lengths in found.values() for one in lengths})
    lines = [
        (name, [cell("-" if s not in lengths else f"{lengths[s]:.1f}", lengths.get(s)) for s in seconds])
        for name, lengths in found.items()
    ]
    about = "Latency by length of audio, a line a variant; the table below has the figures."
    return section(
        "lengths",
        "Latency by length of audio",
        f'<div class="plots">{figure(plots.inline(svg, "length", about), about)}</div>',
        markup.table("Milliseconds to transcribe so many seconds of audio", ["Variant", *(f"{s:g} s" for s in seconds)], lines),
    )


def gate(rows: list[dict]) -> tuple[str, str, str] | None:
    if untrained(rows):
        return None
    about = "<p>The gate reads dev alone: which variant is recommended was decided before anyone looked at the test set.</p>"
    return section("gate", "Gate, on dev", about, facts((row["variant"], row["gate"]["reason"]) for row in rows))
