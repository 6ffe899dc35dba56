"""The headline for whoever decides: the champion against the teacher in plain words, its cost, and what to do next."""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.common.numbers import gains, percent, points, times
from pipeline.compare.answers import Answer, nearest
from pipeline.compare.comparison import Row, champion_of, untrained
from pipeline.compare.figures import ASKED, BY_NAME
from pipeline.compare.report import tradeoffs
from pipeline.compare.report.page.parts import Choice, Choices, Code, Meanings, Section, Steps, Text
from pipeline.compare.rows import no_champion, within_budget
from pipeline.params import Params
from pipeline.project import Project
from pipeline.speech.scoring import UNITS

UNTRAINED = (
    "UNTRAINED: the models were not trained. Size, speed and memory follow from their shapes and are measured; "
    "word errors would mean nothing and are not shown, and nothing is promoted."
)


class Card(NamedTuple):
    """A figure of the champion, and beside it the teacher's."""

    name: str
    champion: str
    beside: str


def verdict(rows: Sequence[Row], params: Params, test: str) -> str:
    """What was asked of `bigfoot propose` and what came of it, if anything was; then the champion, or why there is none.

    `test` is the first test set, whose errors are shown.
    """
    if untrained(rows):
        return UNTRAINED
    return f"{_asked(rows, params, test)}{_champion(rows, test)}"


def _asked(rows: Sequence[Row], params: Params, test: str) -> str:
    """Asked for ..., got ...; "" where there was no budget."""
    if (budget := params.gate.budget) is None:
        return ""
    wanted = f"Asked for at most {budget}, {percent(params.gate.max_rise)} points more {rows[0].objective.upper()}"
    if (champion := champion_of(rows)) is None:
        return f"{wanted}, got no champion. "
    rise = points(champion[f"{rows[0].objective}_rise"])
    return f"{wanted}, got {_shown(champion, 'disk_mb')} MB, {_shown(champion, ASKED)} ms, {rise} points on {test}. "


def _champion(rows: Sequence[Row], test: str) -> str:
    """The champion and its cost with figures, and how far they may be trusted; or why there is no champion."""
    reference, champion, rate = rows[0], champion_of(rows), rows[0].objective
    if champion is None:
        near = nearest(rows)
        reason = f" The nearest, {near.variant}: {near.gate.reason}." if near and not within_budget(rows) else ""
        return f"No champion: {no_champion(rows)}.{reason}"
    sentences = [
        f"Champion {champion.variant}: {gains(champion['speedup'], champion['shrink'])} than "
        f"{reference.variant}{_over_the_best(champion)}.{_smaller_by(champion)}",
        f"On {test}: {rate.upper()} {percent(champion[rate])}% against {percent(reference[rate])}%. On gate, which judges: "
        f"{champion.gate.reason.removeprefix('gate ')}.",
        tradeoffs.beside(champion, reference, test),
        tradeoffs.CURSE.format(test),
    ]
    return " ".join(filter(None, sentences))


def _over_the_best(champion: Row) -> str:
    """The gains over the teacher in its fastest runtime and in int8, as far as they are known."""
    found = [
        f"{gains(speedup, champion[f'shrink_over_{key}'])} than the teacher's {name}"
        for key, name in (("float", "fastest float"), ("int8", "fastest int8 variant"))
        if (speedup := champion[f"speedup_over_{key}"]) is not None
    ]
    return f" ({', '.join(found)})" if found else ""


def _smaller_by(champion: Row) -> str:
    """Where its size comes from; "" where that is not known."""
    if champion["shrink_by_params"] is None:
        return ""
    params, precision, rest = (_shown(champion, f"shrink_by_{part}") for part in ("params", "precision", "rest"))
    return f" Smaller: {params} by fewer parameters, {precision} by their precision, {rest} by the rest of the folder."


def title(rows: Sequence[Row]) -> str:
    if untrained(rows):
        return "UNTRAINED models: size and speed of their shapes"
    champion = champion_of(rows)
    return f"{champion.variant} instead of {rows[0].variant}" if champion else f"Nothing replaces {rows[0].variant} yet"


def plain(rows: Sequence[Row]) -> str:
    """The verdict for a reader who does not know what an error rate is; "" for UNTRAINED models."""
    if untrained(rows):
        return ""
    teacher, champion = rows[0], champion_of(rows)
    if champion is None:
        if (near := nearest(rows)) is None:
            return "Nothing was compared with the large model yet."
        if within_budget(rows):
            return "No model with as few errors as are allowed is as much smaller or faster as was asked for."
        if near.gate.times_over:
            return "No model is as small and as fast as was asked for, so none is recommended."
        return "Every smaller model may make more errors than are allowed, so none is recommended."
    wrong, before = (round(1000 * row.known(row.objective)) for row in (champion, teacher))
    more = f"{wrong - before} more" if wrong > before else "no more" if wrong == before else f"{before - wrong} fewer"
    return (
        f"The small model is {gains(champion['speedup'], champion['shrink'])} than the large one. "
        f"In 1,000 {UNITS[teacher.objective]} it gets {wrong} wrong, the large one {before} ({more})."
    )


def cards(rows: Sequence[Row]) -> list[Card]:
    """The champion's figures, each beside the teacher's; [] where there is no champion."""
    teacher, champion, rate = rows[0], champion_of(rows), rows[0].objective
    if champion is None:
        return []

    def beside(key: str, unit: str) -> str:
        return f"{_shown(champion, key)} of {_shown(teacher, key)} {unit}"

    figures = [
        Card(
            "Word errors" if rate == "wer" else "Character errors",
            f"{_shown(champion, rate)}%",
            f"teacher {_shown(teacher, rate)}%",
        ),
        Card(*_ratio(champion["shrink"], "Smaller", "Larger"), beside("disk_mb", "MB")),
        Card(*_ratio(champion["speedup"], "Faster", "Slower"), f"{_interval(champion)}median {beside('latency_p50_ms', 'ms')}"),
        Card("Model's memory", f"{_shown(champion, 'ram_model_mb')} MB", f"teacher {_shown(teacher, 'ram_model_mb')} MB"),
    ]
    if champion.energy is not None and teacher.energy is not None:
        figures.append(Card("Wh per audio hour", f"{champion.energy:.3g}", f"teacher {teacher.energy:.3g}"))
    return figures


def _interval(champion: Row) -> str:
    """The interval of its speedup, before what follows; "" where there is none, or the figure is how much slower it is."""
    low, high, speedup = champion["speedup_low"], champion["speedup_high"], champion["speedup"]
    return "" if low is None or high is None or not speedup or speedup < 0.95 else f"[{times(low)}, {times(high)}], "


def _ratio(ratio: float | None, more: str, less: str) -> tuple[str, str]:
    """A card's title and its figure."""
    return (less, times(1 / ratio)) if ratio and ratio < 0.95 else (more, times(ratio))


def answers(found: Sequence[Answer], rows: Sequence[Row], params: Params, test: str) -> Section:
    """The choice, each answer with what it costs; the champion's own limits are beside the headline already."""
    title, by_name = "Which one to take", {row.variant: row for row in rows}
    if not found:
        return Section("answers", title, [])
    choices = []
    for answer in found:
        lines = [(f"Against {each.other}", tradeoffs.differences(each)) for each in answer.against]
        remark = "" if by_name[answer.variant].champion else tradeoffs.beside(by_name[answer.variant], rows[0], test)
        lines += [("Beware", remark)] if remark else []
        choices.append(Choice(answer.variant, tradeoffs.best_for(answer, params.gate.prefer), tradeoffs.figures(answer), lines))
    about = "From the fewest errors on gate to the most, each also against the best before it. In brackets: 95% intervals."
    chosen = Meanings("How they were chosen", tradeoffs.purposes(found))
    return Section("answers", title, [Text(about), Choices(choices), chosen])


def next_steps(rows: Sequence[Row], params: Params) -> Section:
    if untrained(rows):
        return Section("next", "What to do next", [])
    champion = champion_of(rows)
    if champion is None:
        if (near := nearest(rows)) is None or within_budget(rows):
            more = "List more variants in params.yaml: other schemes, or students."
            return Section("next", "What to do next", [Steps([more])])
        if near.gate.times_over:
            budget = "gate in params.yaml sets the limits"
            mend = "make smaller students: bigfoot propose finds shapes for a budget."
        else:
            rise = f"{points(params.gate.max_rise)} points of {rows[0].objective.upper()}"
            budget = f"gate.max_rise in params.yaml allows {rise}"
            mend = "give the students more steps or layers; if gate has too few words to decide, add speech to it or to dev."
        steps = [
            f"The nearest is {near.variant}: {near.gate.reason}.",
            f"If that is good enough, allow it: {budget}, and dvc repro compares again in seconds. Then gate has chosen, too: "
            "confirm the champion on speech that it has not seen (bigfoot evaluate).",
            f"If not, {mend}",
        ]
        return Section("next", "What to do next", [Steps(steps)])
    folder = Project().variant(champion.variant).as_posix()
    steps = [
        f"The champion is in {folder} ({_shown(champion, 'disk_mb')} MB, runtime {champion.runtime}) and runs without the "
        "libraries that trained it: bigfoot export copies it, with its card, to where it is needed.",
        "Try it on your own recordings before you rely on it.",
    ]
    return Section("next", "What to do next", [Steps(steps), Code([f"bigfoot transcribe {folder} recording.wav"])])


def _shown(row: Row, key: str) -> str:
    return BY_NAME[key].show(row[key])
