"""What a person decides by: the champion against the teacher in plain words, what it costs, and what to do next."""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.common.numbers import percent, points, times
from pipeline.compare.comparison import Row, champion_of, untrained
from pipeline.compare.figures import BY_NAME
from pipeline.compare.report.page.parts import Code, Section, Steps
from pipeline.params import Params

UNTRAINED = (
    "UNTRAINED: the models have learned nothing. Size, speed, memory and energy follow from their shapes and are measured; "
    "word errors would mean nothing and are not shown, and nothing is promoted."
)


class Card(NamedTuple):
    """A figure of the champion, and the teacher's beside it."""

    what: str
    champion: str
    beside: str


def verdict(rows: Sequence[Row]) -> str:
    """One sentence with its figures: the champion and what it costs, or that there is none and why not."""
    if untrained(rows):
        return UNTRAINED
    reference, champion = rows[0], champion_of(rows)
    if champion is None:
        nearest = _nearest(rows)
        why = f" The nearest, {nearest.variant}: {nearest.gate.reason}." if nearest else ""
        return f"No champion: no variant keeps the budget.{why}"
    return (
        f"Champion {champion.variant}: {times(champion['speedup'])} faster and {times(champion['shrink'])} smaller than "
        f"{reference.variant}, WER {percent(champion['wer'])}% against {percent(reference['wer'])}% "
        f"({champion.gate.reason})."
    )


def title(rows: Sequence[Row]) -> str:
    if untrained(rows):
        return "UNTRAINED models: what their shapes cost"
    champion = champion_of(rows)
    return f"{champion.variant} instead of {rows[0].variant}" if champion else f"Nothing replaces {rows[0].variant} yet"


def plain(rows: Sequence[Row]) -> str:
    """The same for someone who doesn't know what a WER is; nothing of UNTRAINED models."""
    if untrained(rows):
        return ""
    teacher, champion = rows[0], champion_of(rows)
    if champion is None:
        return "No smaller model kept within the errors that were allowed, so none is recommended."
    wrong, before = (round(1000 * row["wer"]) for row in (champion, teacher))
    more = f"{wrong - before} more" if wrong > before else "no more" if wrong == before else f"{before - wrong} fewer"
    return (
        f"The small model answers {times(champion['speedup'])} as fast and takes 1/{champion['shrink']:.1f} of the space; "
        f"in 1,000 words it gets {wrong} wrong where the large one gets {before} wrong ({more})."
    )


def cards(rows: Sequence[Row]) -> list[Card]:
    """The champion's figures, each beside the teacher's; none where there is no champion."""
    teacher, champion = rows[0], champion_of(rows)
    if champion is None:
        return []

    def both(key: str, unit: str) -> str:
        return f"{_shown(champion, key)} of {_shown(teacher, key)} {unit}"

    figures = [
        Card("Word errors", f"{_shown(champion, 'wer')}%", f"teacher {_shown(teacher, 'wer')}%"),
        Card("Smaller", _shown(champion, "shrink"), both("disk_mb", "MB")),
        Card("Faster", _shown(champion, "speedup"), both("latency_p50_ms", "ms")),
        Card("Memory", f"{_shown(champion, 'ram_mb')} MB", f"teacher {_shown(teacher, 'ram_mb')} MB"),
    ]
    if champion.energy is not None and teacher.energy is not None:
        figures.append(Card("Wh per audio hour", f"{champion.energy:.3g}", f"teacher {teacher.energy:.3g}"))
    return figures


def next_steps(rows: Sequence[Row], params: Params) -> Section:
    if untrained(rows):
        return Section("next", "What to do next", [])
    champion = champion_of(rows)
    if champion is None:
        nearest = _nearest(rows)
        budget = f"gate.max_wer_rise in params.yaml allows {points(params.gate.max_wer_rise)} points"
        steps = [
            f"The nearest is {nearest.variant}: {nearest.gate.reason}." if nearest else "List more variants.",
            f"If that would do, allow it: {budget}, and dvc repro compares again in seconds.",
            "If not, give the students more steps or more layers; where dev's words are too few to tell, give dev more speech.",
        ]
        return Section("next", "What to do next", [Steps(steps)])
    folder = f"variants/{champion.variant}"
    steps = [
        f"It lies in {folder} ({_shown(champion, 'disk_mb')} MB, runtime {champion.runtime}) and runs without what trained it: "
        "bigfoot export copies it, with its card, to where it is needed.",
        "Try it on recordings of your own before you rely on it.",
    ]
    return Section("next", "What to do next", [Steps(steps), Code([f"bigfoot transcribe {folder} recording.wav"])])


def _nearest(rows: Sequence[Row]) -> Row | None:
    own = [row for row in rows[1:] if row.kind != "peer"]
    return min(own, key=lambda row: row["wer_rise_upper"], default=None)


def _shown(row: Row, key: str) -> str:
    return BY_NAME[key].show(row[key])
