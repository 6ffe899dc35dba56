"""What a person decides by: the champion against the teacher in plain words, what it costs, and what to do next."""

from pipeline.compare.report.columns import energy, or_dash, percent, points, times, untrained
from pipeline.compare.report.page.markup import code, say, section
from pipeline.params import Params

UNTRAINED = (
    "UNTRAINED: the models have learned nothing. Size, speed, memory and energy follow from their shapes and are measured; "
    "word errors would mean nothing and are not shown, and nothing is promoted."
)


def champion_of(rows: list[dict]) -> dict | None:
    return next((row for row in rows if row["champion"]), None)


def verdict(rows: list[dict]) -> str:
    """One sentence with its figures: the champion and what it costs, or that there is none and why not."""
    if untrained(rows):
        return UNTRAINED
    reference, champion = rows[0], champion_of(rows)
    if champion is None:
        nearest = _nearest(rows)
        why = f" The nearest, {nearest['variant']}: {nearest['gate']['reason']}." if nearest else ""
        return f"No champion: no variant keeps the budget.{why}"
    return (
        f"Champion {champion['variant']}: {times(champion['speedup'])} faster and {times(champion['shrink'])} smaller than "
        f"{reference['variant']}, WER {percent(champion['wer'])}% against {percent(reference['wer'])}% "
        f"({champion['gate']['reason']})."
    )


def title(rows: list[dict]) -> str:
    if untrained(rows):
        return "UNTRAINED models: what their shapes cost"
    champion = champion_of(rows)
    return (
        f"{champion['variant']} instead of {rows[0]['variant']}" if champion else f"Nothing replaces {rows[0]['variant']} yet"
    )


def plain(rows: list[dict]) -> str:
    """The same for who has never heard of a WER."""
    teacher, champion = rows[0], champion_of(rows)
    if champion is None:
        return "No smaller model kept within the errors that were allowed, so none is recommended."
    wrong, before = (round(1000 * row["wer"]) for row in (champion, teacher))
    more = f"{wrong - before} more" if wrong > before else "no more" if wrong == before else f"{before - wrong} fewer"
    return (
        f"The small model answers {times(champion['speedup'])} as fast and takes 1/{champion['shrink']:.1f} of the space; "
        f"in 1,000 words it gets {wrong} wrong where the large one gets {before} wrong ({more})."
    )


def lead(rows: list[dict]) -> str:
    """The first lines of the page, and the champion's figures as cards, each beside the teacher's."""
    if untrained(rows):
        return f'<p class="lead">{say(UNTRAINED)}</p>'
    teacher, champion = rows[0], champion_of(rows)
    said = f'<p class="lead">{say(plain(rows))}</p>\n<p>{say(verdict(rows))}</p>'
    if champion is None:
        return said
    cards = [
        ("Word errors", _percent(champion["wer"]), _percent(teacher["wer"])),
        ("Smaller", times(champion["shrink"]), f"{_of(champion, 'disk_mb', '.2f')} of {_of(teacher, 'disk_mb', '.2f')} MB"),
        ("Faster", times(champion["speedup"]), f"{_of(champion, 'latency_p50_ms')} of {_of(teacher, 'latency_p50_ms')} ms"),
        ("Memory", f"{_of(champion, 'ram_mb', '.0f')} MB", f"{_of(teacher, 'ram_mb', '.0f')} MB"),
    ]
    if energy(champion) is not None and energy(teacher) is not None:
        cards.append(("Wh per audio hour", f"{energy(champion):.3g}", f"{energy(teacher):.3g}"))
    shown = (f"<li>{say(what)}<b>{say(now)}</b>{_beside(was)}</li>" for what, now, was in cards)
    return f'{said}\n<ul class="cards">{"".join(shown)}</ul>'


def next_steps(rows: list[dict], params: Params) -> tuple[str, str, str] | None:
    if untrained(rows):
        return None
    champion = champion_of(rows)
    if champion is None:
        nearest = _nearest(rows)
        budget = f"gate.max_wer_rise in params.yaml allows {points(params.gate.max_wer_rise)} points"
        steps = [
            f"The nearest is {nearest['variant']}: {nearest['gate']['reason']}." if nearest else "List more variants.",
            f"If that would do, allow it: {budget}, and dvc repro compares again in seconds.",
            "If not, give the students more steps or more layers; where dev's words are too few to tell, give dev more speech.",
        ]
        return section("next", "What to do next", _list(steps))
    folder = f"variants/{champion['variant']}"
    steps = [
        f"It lies in {folder} ({_of(champion, 'disk_mb', '.2f')} MB, runtime {champion['runtime']}) and runs without what "
        "trained it: bigfoot export copies it, with its card, to where it is needed.",
        "Let it hear recordings of your own before you rely on it.",
    ]
    return section("next", "What to do next", _list(steps), code([f"bigfoot transcribe {folder} recording.wav"]))


def _nearest(rows: list[dict]) -> dict | None:
    own = [row for row in rows[1:] if row["kind"] != "peer"]
    return min(own, key=lambda row: row["wer_rise_upper"], default=None)


def _of(row: dict, key: str, form: str = ".1f") -> str:
    return or_dash(row[key], form)


def _percent(fraction: float) -> str:
    return f"{percent(fraction)}%"


def _beside(was: str) -> str:
    return say(was if " of " in was else f"teacher {was}")


def _list(steps: list[str]) -> str:
    return f"<ol>{''.join(f'<li>{say(step)}</li>' for step in steps)}</ol>"
