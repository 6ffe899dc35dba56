"""The result of `bigfoot evaluate` as text for a terminal, and as JSON."""

import json
from collections import Counter
from dataclasses import asdict

from pipeline.apps.evaluation.run import Result
from pipeline.common import tables
from pipeline.common.errors import one_line
from pipeline.common.numbers import percent, points
from pipeline.evaluate.scores import Hypothesis, SetScore
from pipeline.speech.scoring import OBJECTIVES, UNITS

WORST = 5  # utterances in the text; the JSON has all


def text(result: Result) -> str:
    first, *others = result.scores
    score = result.scores[first]
    minutes = sum(row.duration for row in score.hypotheses) / 60
    parts = [f"{result.table}: {score.utterances:,} utterances, {score.words:,} words, {minutes:.1f} min"]
    if result.left_out:
        counts = ", ".join(f"{count:,} {check}" for check, count in Counter(row["check"] for row in result.left_out).items())
        example = result.left_out[0]
        parts.append(f"left out: {counts}; the first is {one_line(example['id'])}: {one_line(example['why'])}")
    parts += ["", _table(result), ""]
    parts.append(f"In brackets: 95% intervals, of {score.unit}.")
    if others:
        parts.append(f"Difference: {result.objective.upper()} points from {first} on the same utterances.")
    return "\n".join([*parts, *_worst(result)]) + "\n"


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
    content = {"table": result.table, "objective": result.objective, "left_out": result.left_out, "variants": variants}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def worst(result: Result, most: int) -> list[int]:
    """The utterances with the most errors of any variant, worst first; those without errors are left out."""
    wrong = [max(row.counts(result.objective)[0] for row in rows) for rows in _by_utterance(result)]
    order = sorted(range(len(wrong)), key=lambda at: -wrong[at])
    return [at for at in order if wrong[at]][:most]


def _table(result: Result) -> str:
    heads = ["Variant", *(f"{each.upper()} % [95%]" for each in OBJECTIVES), "Difference [95%]"]
    rows = []
    for name, score in result.scores.items():
        found = result.differences.get(name, {}).get(result.objective)
        shown = f"{points(found.value)} [{points(found.low)}, {points(found.high)}]" if found else ""
        rows.append([name, *(_rate(score, each) for each in OBJECTIVES), shown])
    columns = len(heads) if len(rows) > 1 else len(heads) - 1
    sides = ["left", *["right"] * (columns - 1)]
    return tables.plain(heads[:columns], [row[:columns] for row in rows], sides)


def _rate(score: SetScore, objective: str) -> str:
    value, low, high = (percent(getattr(score, key)) for key in (objective, f"{objective}_low", f"{objective}_high"))
    return f"{value} [{low}, {high}]"


def _worst(result: Result) -> list[str]:
    chosen = worst(result, WORST)
    if not chosen:
        return ["", "Nothing is wrong."]
    width = max(map(len, ["reference", *result.scores]))
    lines = ["", f"The {len(chosen)} worst utterances ({UNITS[result.objective]} wrong):" if len(chosen) > 1 else "The worst:"]
    for at in chosen:
        rows = _by_utterance(result)[at]
        lines += ["", one_line(rows[0].id), f"  {'reference':<{width}}     {rows[0].reference}"]
        lines += [
            f"  {name:<{width}} {row.counts(result.objective)[0]:>3} {row.hypothesis}"
            for name, row in zip(result.scores, rows, strict=True)
        ]
    return lines


def _by_utterance(result: Result) -> list[tuple[Hypothesis, ...]]:
    return list(zip(*(score.hypotheses for score in result.scores.values()), strict=True))
