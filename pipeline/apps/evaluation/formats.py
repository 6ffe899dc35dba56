"""The result of `bigfoot evaluate` as text for a terminal, and as JSON."""

import json
from collections import Counter
from dataclasses import asdict

from pipeline.apps.evaluation.run import Result
from pipeline.common import tables
from pipeline.common.errors import one_line
from pipeline.common.numbers import counted, percent, points, with_range
from pipeline.evaluate.scores import SetScore
from pipeline.evaluate.wer import LEAST_WITH_WORDS
from pipeline.speech.scoring import OBJECTIVES, UNITS

WORST = 5  # utterances in the text; the page has 20, the JSON all


def text(result: Result) -> str:
    first, *others = result.scores
    parts = [about(result), "", _table(result), "", intervals(result)]
    if others:
        parts.append(f"Difference: {result.objective.upper()} points from {first} on the same utterances.")
    return "\n".join([*parts, *_worst(result)]) + "\n"


def intervals(result: Result) -> str:
    """What the brackets are, and why a rate has none."""
    scores = list(result.scores.values())
    said = f"In brackets: 95% intervals, of {scores[0].unit}."
    if any(score.wer_low is None for score in scores):
        said += f" Without: fewer than {LEAST_WITH_WORDS} {scores[0].unit} have words, too few for an interval."
    return said


def about(result: Result) -> str:
    """What was scored, and what was left out."""
    score = next(iter(result.scores.values()))
    minutes = sum(row.duration for row in score.hypotheses) / 60
    scored = (
        f"{one_line(result.table)}: {counted(score.utterances, 'utterance')}, {counted(score.words, 'word')}, {minutes:.1f} min"
    )
    if not result.left_out:
        return scored
    counts = ", ".join(f"{count:,} {check}" for check, count in Counter(row["check"] for row in result.left_out).items())
    example = result.left_out[0]
    return f"{scored}\nleft out: {counts}; the first is {one_line(example['id'])}: {one_line(example['why'])}"


def as_json(result: Result) -> str:
    """One object; rates and differences are fractions."""
    variants = [
        {
            "variant": name,
            **{key: value for key, value in asdict(score).items() if key != "hypotheses"},
            "difference": {each: asdict(found) for each, found in result.differences.get(name, {}).items()},
            "utterances": [asdict(row) for row in score.hypotheses],
        }
        for name, score in result.scores.items()
    ]
    content = {
        "table": one_line(result.table),
        "objective": result.objective,
        "left_out": result.left_out,
        "variants": variants,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def cells(result: Result) -> list[list[str]]:
    """The headings, and a row per variant; the difference only where there is more than one."""
    rows = [["Variant", *(f"{each.upper()} % [95%]" for each in OBJECTIVES), "Difference [95%]"]]
    for name, score in result.scores.items():
        found = result.differences.get(name, {}).get(result.objective)
        shown = f"{points(found.value)} [{points(found.low)}, {points(found.high)}]" if found else ""
        rows.append([name, *(_rate(score, each) for each in OBJECTIVES), shown])
    return rows if len(result.scores) > 1 else [row[:-1] for row in rows]


def _table(result: Result) -> str:
    heads, *rows = cells(result)
    return tables.plain(heads, rows, ["left", *["right"] * (len(heads) - 1)])


def _rate(score: SetScore, objective: str) -> str:
    value, low, high = (getattr(score, f"{objective}{end}") for end in ("", "_low", "_high"))
    return with_range(value, low, high, percent)


def _worst(result: Result) -> list[str]:
    chosen = result.worst[:WORST]
    if not chosen:
        return ["", "Nothing is wrong."]
    width = max(map(len, ["reference", *result.scores]))
    lines = ["", f"The {len(chosen)} worst utterances ({UNITS[result.objective]} wrong):" if len(chosen) > 1 else "The worst:"]
    for at in chosen:
        rows = result.by_utterance[at]
        lines += ["", one_line(rows[0].id), f"  {'reference':<{width}}     {rows[0].reference}"]
        lines += [
            f"  {name:<{width}} {row.counts(result.objective)[0]:>3} {row.hypothesis}"
            for name, row in zip(result.scores, rows, strict=True)
        ]
    return lines
