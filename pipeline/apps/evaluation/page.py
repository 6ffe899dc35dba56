"""The result of `bigfoot evaluate` as one HTML file, which plays the worst utterances and needs no other file."""

from pipeline.apps.evaluation import formats
from pipeline.apps.evaluation.run import Result
from pipeline.compare.report.page import errors, rendered
from pipeline.compare.report.page.parts import Aligned, Alignments, Cell, Line, Section, Table, Text
from pipeline.evaluate.wer import align


def page(result: Result) -> str:
    heads, *rows = formats.cells(result)
    table = Table("One row per variant", heads, [Line(name, [Cell(cell) for cell in cells]) for name, *cells in rows])
    first = next(iter(result.scores))
    notes = [formats.intervals(result)]
    if len(result.scores) > 1:
        notes.append(f"Differences are in points of {result.objective.upper()} from {first}, on the same utterances.")
    worst = Alignments("", [_aligned(result, at) for at in result.worst])
    return rendered(
        title="Errors on your own recordings",
        lead=formats.about(result),
        verdict=" ".join(notes),
        sections=[
            Section("errors", "Errors", [table]),
            Section("worst", "The worst utterances", [Text(errors.ABOUT_WORST), worst] if result.worst else []),
        ],
    )


def _aligned(result: Result, at: int) -> Aligned:
    """The text of the variant with the most errors, word by word, and those of the others below."""
    rows = dict(zip(result.scores, result.by_utterance[at], strict=True))
    wrong = {name: row.counts(result.objective)[0] for name, row in rows.items()}
    worst = max(wrong, key=wrong.__getitem__)
    row, flac = rows[worst], result.sounds[at]
    others = [f"{name} ({wrong[name]} wrong): {rows[name].hypothesis or '(nothing)'}" for name in rows if name != worst]
    return Aligned(
        f"{row.id}: {worst}, {wrong[worst]} wrong",
        errors.words(align(row.reference, row.hypothesis, result.objective)),
        " \N{MIDDLE DOT} ".join(others),
        errors.playable(flac) if len(flac) <= errors.MOST_BYTES else None,
    )
