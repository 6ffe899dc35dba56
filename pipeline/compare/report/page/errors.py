"""Errors by length, speaker and noise, and the worst utterances word by word; both sections are empty where that is unknown."""

from base64 import b64encode
from collections.abc import Mapping, Sequence

from pipeline.common.numbers import percent
from pipeline.compare.breakdown import Breakdown, Confusion, Group, Mistake, is_slip, rates
from pipeline.compare.comparison import Row, champion_of
from pipeline.compare.report.columns import with_range
from pipeline.compare.report.page.parts import Aligned, Alignments, Cell, Line, Pair, Section, Subheading, Table, Text

GROUPS = 20  # of a table
MOST_AUDIO = 20  # utterances of the whole page
MOST_BYTES = 400_000  # of an utterance's audio, about 15 s
KINDS = {"replaced": "replaced", "lost": "lost", "inserted": "inserted", "slips": "misspelled"}
ABOUT_WORST = (
    "Each line of words: above the reference, below the recognized text. Struck out: lost, or replaced by another word; "
    "underlined: recognized instead, or inserted; dotted: misspelled in one letter."
)


def breakdown(breakdown: Breakdown | None, rows: Sequence[Row]) -> Section:
    parts = [
        part
        for test, by_factor in (breakdown["sets"] if breakdown else {}).items()
        for factor, groups in by_factor.items()
        if groups
        for part in (Subheading(f"By {factor}: {test}"), _table(factor, test, groups, rows))
    ]
    for test, confusions in (breakdown["confusions"] if breakdown else {}).items():
        if confusions:
            parts += [Subheading(f"Words taken for others: {test}"), _confused(test, confusions, rows)]
    about = Text("The fewer words a group has, the more its figure depends on chance.")
    return Section("errors", "Where the errors are", [about, *parts] if parts else [])


def confused(confusions: Sequence[Confusion], rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the words that the teacher and the champion take for others."""
    names = [row.variant for row in (rows[0], champion_of(rows)) if row]
    cells = [
        [each["word"], each["recognized"], *(str(each["counts"].get(name, 0)) for name in names)]
        for each in confusions
        if any(name in each["counts"] for name in names)
    ]
    return ["Word", "Recognized as", *(f"{name}, times" for name in names)], cells


def _confused(test: str, confusions: Sequence[Confusion], rows: Sequence[Row]) -> Table:
    heads, cells = confused(confusions, rows)
    return Table(
        f"Words taken for others: {test}", heads, [Line(name, [Cell(cell) for cell in others]) for name, *others in cells]
    )


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
    """The audio and the reference aligned with the variant's text; utterances with misspelled words alone are folded.

    At most MOST_AUDIO utterances have their audio, as many of each set, and none of more than MOST_BYTES, so that a page can
    still be mailed.
    """
    parts: list[object] = []
    sets = list(dict.fromkeys(utterance["set"] for utterance in utterances))
    for test in sets:
        of_set = [utterance for utterance in utterances if utterance["set"] == test]
        short = {u["id"]: flac for u in of_set if len(flac := sounds.get((test, u["id"]), b"")) in range(1, MOST_BYTES + 1)}
        audio = {name: playable(flac) for name, flac in list(short.items())[: MOST_AUDIO // len(sets)]}
        wrong = [utterance for utterance in of_set if utterance["errors"] > utterance["kinds"]["slips"]]
        slips = [utterance for utterance in of_set if utterance not in wrong]
        parts += [Subheading(test), Alignments("", [_shown(utterance, audio) for utterance in wrong])] if wrong else []
        summary = f"{len(slips)} more of {test} with misspelled words alone" if wrong else f"{test}: misspelled words alone"
        parts += [Alignments(summary, [_shown(utterance, audio) for utterance in slips])] if slips else []
        if len(audio) < len(of_set):
            parts.append(Text(f"{len(audio)} of {len(of_set)} have their audio here, so that the page stays small."))
    return Section("worst", "The worst utterances", [Text(ABOUT_WORST), *parts] if parts else [])


def described(utterance: Mistake) -> str:
    """ "4 wrong (2 replaced, 1 lost, 1 misspelled)"."""
    kinds = [f"{count} {KINDS[kind]}" for kind, count in utterance["kinds"].items() if count]
    return f"{utterance['errors']} wrong ({', '.join(kinds)})"


def words(alignment: list[list[str]]) -> list[Pair]:
    return [
        Pair(word, other, "" if word == other else "slip" if is_slip(word, other) else "wrong")
        for word, other in pairs(alignment)
    ]


def _shown(utterance: Mistake, audio: Mapping[str, str]) -> Aligned:
    who = f"{utterance['id']}, speaker {utterance['speaker']}" if utterance["speaker"] else utterance["id"]
    teacher = "wrote the reference" if utterance["teacher"] == utterance["reference"] else utterance["teacher"] or "(nothing)"
    return Aligned(
        f"{who}: {utterance['variant']} {described(utterance)}",
        words(utterance["alignment"]),
        f"The teacher ({utterance['teacher_errors']} wrong): {teacher}",
        audio.get(utterance["id"]),
    )


def playable(flac: bytes) -> str:
    """A data: URL."""
    return f"data:audio/flac;base64,{b64encode(flac).decode()}"


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
