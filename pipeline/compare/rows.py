"""The rows of a comparison: every figure of every variant, the gate's verdict on it, and the champion.

Decision: variants are judged on the split gate, which chose nothing before. The upper bound of the rise of the error rate (WER
or CER, the corpus's objective) is compared with the budget, not the estimate, so that a gate split that is too small promotes
nothing. Figures that were not measured are None, and so are the errors of UNTRAINED models, which mean nothing.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.benchmark.timings import REFERENCE, Known, Timing, Timings
from pipeline.common import energy, numbers
from pipeline.compare import figures, payback
from pipeline.compare.comparison import Row, Verdict, champion_of
from pipeline.compare.inputs import Evidence
from pipeline.evaluate import wer
from pipeline.params import Gate
from pipeline.speech.corpus import GATE, scored_splits
from pipeline.speech.scoring import UNITS

ALIKE = 0.9  # the next benchmark of the same variants may well order gains that are as close as this the other way


def measured(evidence: Evidence) -> list[Row]:
    """Every figure of every variant, except those of the gate; None where it was not measured."""
    rows, (first, *more), objective = [], evidence.test_sets, evidence.objective
    bounds = {test: _rises(evidence, test, wer.CONFIDENCE) for test in evidence.test_sets}
    teacher, best = evidence.timings.variants[REFERENCE], _best_of_the_teacher(evidence)
    for name, score in evidence.scores.items():
        timing, training = evidence.timings.variants.get(name), evidence.training[score.model]
        known = timing or evidence.timings.skipped[name]
        values: dict[str, float | None] = dict.fromkeys(figures.keys(more))
        for split, prefix, suffix in figures.places(first, more):
            values |= {f"{prefix}{key}{suffix}": value for key, value in _text_figures(evidence, name, split).items()}
        values |= {
            f"test_{objective}_rise_upper{'' if test == first else f'/{test}'}": rises[name] for test, rises in bounds.items()
        }
        values |= {key: getattr(known, key, None) for key in figures.of(figures.TIMING)}  # of a skipped one only sizes
        values |= {key: training.get(key) for key in figures.of(figures.TRAINING)}
        values["shrink"] = teacher.disk_mb / known.disk_mb
        values |= _split_of_the_size(teacher, known)
        values |= _over_the_teachers_best(evidence, name, best)
        values |= {"evaluate_seconds": evidence.seconds[name], "benchmark_seconds": evidence.timings.seconds}
        values |= _power(evidence, score.model, teacher, timing)
        remarks = ("files", "narrow", "latency_by_length", "latency_by_length_one_thread", "energy_resolved", "energy_note")
        about: dict[str, Any] = {key: getattr(known, key, None) for key in remarks}
        about |= {"device": timing.device} if timing else {"not_timed": evidence.timings.skipped[name].reason}
        rows.append(
            Row(
                score.variant, score.model, score.scheme, evidence.runtimes[name], values,
                kind=evidence.kinds[name], trained=training.get("trained", True), objective=objective,
                model_files=evidence.models[score.model], **about,
            )
        )  # fmt: skip
    return rows


def _power(evidence: Evidence, model: str, teacher: Timing, timing: Timing | None) -> dict[str, float | None]:
    """Energy, CO2 and payback, each with the ends of its range where it is modeled."""
    training, spent = evidence.training[model], evidence.spent[model]
    used, mode = (timing.energy_wh_per_audio_hour, timing.energy_mode) if timing else (None, None)
    trained = training.get("train_energy_wh")
    used_ends = energy.range_of(used, mode) or (None, None)
    trained_ends = energy.range_of(trained, training.get("energy_mode"), on_gpu=True) or (None, None)
    hours = payback.hours(spent, teacher, timing) if timing else None
    found: dict[str, Sequence[float | None]] = {
        figures.ENERGY: (used, *used_ends),
        "train_energy_wh": (trained, *trained_ends),
        "train_payback_hours": (hours, *(payback.range_of(hours, spent, teacher) or (None, None))),
    }
    for wh, co2 in ((figures.ENERGY, "co2_g_per_audio_hour"), ("train_energy_wh", "train_co2_g")):
        found[co2] = [energy.co2_g(value, evidence.country) for value in found[wh]]
    return {f"{key}{end}": value for key, each in found.items() for end, value in zip(("", "_low", "_high"), each, strict=True)}


def _split_of_the_size(teacher: Known, timing: Known) -> dict[str, float | None]:
    """disk_mb: parameters at 4 bytes, minus what precision saves, plus the rest; shrink: the product of what each gives.

    {} where the parameters or the weights' bytes are not known.
    """
    if timing.weights_mb is None or timing.params is None:
        return {}
    split: dict[str, float | None] = {
        "precision_saves_mb": 4 * timing.params / 1e6 - timing.weights_mb, "rest_mb": timing.disk_mb - timing.weights_mb,
    }  # fmt: skip
    if teacher.weights_mb is None or teacher.params is None:
        return split
    fewer, lighter = teacher.params / timing.params, teacher.weights_mb / timing.weights_mb
    split |= {"shrink_by_params": fewer, "shrink_by_precision": lighter / fewer}
    return split | {"shrink_by_rest": teacher.disk_mb / timing.disk_mb / lighter}


def _best_of_the_teacher(evidence: Evidence) -> dict[str, str]:
    """{"float": its fastest variant in floating point, "int8": in int8}, of Bigfoot's own, decoded greedily; absent where there
    is none."""
    best = {}
    for precision, starts in (("float", ("fp32", "bf16")), ("int8", ("int8",))):
        names = [
            name
            for name, scheme in evidence.schemes.items()
            if evidence.scores[name].model == "teacher"
            and evidence.kinds[name] == "own"
            and scheme.startswith(starts)
            and name not in evidence.decodings
        ]
        if names:
            best[precision] = max(names, key=lambda name: evidence.timings.variants[name].speedup_to_choose)
    return best


def _over_the_teachers_best(evidence: Evidence, name: str, best: Mapping[str, str]) -> dict[str, float | None]:
    """The gains over what a user of the large model has without a small one: another runtime, or int8."""
    timing = evidence.timings.variants.get(name) or evidence.timings.skipped[name]
    found: dict[str, float | None] = {}
    for precision, other in best.items():
        ends = ("", "_low", "_high")
        speedups: Mapping[str, list[float]] = getattr(timing, "speedups", {})
        known: Sequence[float | None] = speedups.get(other, [None] * 3)  # not in memory at the same time, or skipped
        found |= {f"speedup_over_{precision}{end}": value for end, value in zip(ends, known, strict=True)}
        found[f"shrink_over_{precision}"] = evidence.timings.variants[other].disk_mb / timing.disk_mb
    return found


def judge(rows: Sequence[Row], evidence: Evidence, gate: Gate) -> list[Row]:
    """The rows with the bound of the rise (on gate, for all variants together), the gate's verdict, and the champion marked.

    A peer never passes, nor does a variant for a GPU, since budget and champion are for the CPU that teacher.fp32 is timed on.
    UNTRAINED models have no bound, and the gate does not judge them.
    """
    if evidence.untrained:
        return [replace(row, gate=Verdict(None, "untrained")) for row in rows]
    rises, objective = _rises(evidence, GATE, gate.confidence), evidence.objective
    length = f"{getattr(evidence.scores[REFERENCE].sets[GATE], UNITS[objective])} {UNITS[objective]}"
    bound = [
        replace(row, figures={**row.figures, f"{objective}_rise_upper": rises[row.variant], figures.ASKED: _asked(row, gate)})
        for row in rows
    ]
    competitors = Counter(row.kind for row in rows if row.variant != REFERENCE)
    judged = [replace(row, gate=_verdict(row, gate, length, competitors[row.kind])) for row in bound]
    champion = best_of(within_budget(judged), gate.prefer)
    return [replace(row, champion=row is champion) for row in judged]


def within_budget(rows: Sequence[Row]) -> list[Row]:
    """The variants that may be champion, or another answer. Of peers and variants for a GPU none passes."""
    return [row for row in rows if row.gate.passed and row.variant != REFERENCE]


def best_of(rows: Sequence[Row], prefer: str) -> Row | None:
    """The variant with the largest gain that the budget prefers; None where none is more than teacher.fp32.

    Gains above ALIKE of the largest count as equal to it. Of these the one with the largest product of both gains is taken; of
    two that are equal in that, too, the one with the larger gain, then the one with fewer errors on gate.
    """
    gains = {row.variant: gained for row in rows if (gained := gain_to_choose(row, prefer) or 0.0) > 1}

    def rank(row: Row) -> tuple[float, float, float]:
        product = row.known("shrink") * (row["speedup_to_choose"] or 0.0)
        return product, gains[row.variant], -row.known(f"gate_{row.objective}")

    alike = [row for row in rows if gains.get(row.variant, 0.0) >= ALIKE * max(gains.values(), default=math.inf)]
    return max(alike, key=rank, default=None)


def no_champion(rows: Sequence[Row]) -> str:
    """Why none of these rows is the champion."""
    own = [row for row in rows if row.kind == "own" and row.variant != REFERENCE]
    if not own:
        return f"nothing was compared with {REFERENCE}"
    if within_budget(rows):
        return f"no variant that keeps the budget gains over {REFERENCE} what gate.prefer asks for"
    return "no variant keeps the budget"


def gain(of: Mapping[str, float | None], prefer: str) -> float | None:
    """What a variant gains: how much faster or smaller than teacher.fp32, or the smaller of the two."""
    keys = {"both": ("speedup", "shrink"), "speed": ("speedup",), "size": ("shrink",)}[prefer]
    gains = [value for key in keys if (value := of[key]) is not None]
    return min(gains) if len(gains) == len(keys) else None


def gain_to_choose(row: Row, prefer: str) -> float | None:
    """`gain` by the timings that choose. Those that are reported may not: the best of many looks better in them than it is."""
    return gain({**row.figures, "speedup": row["speedup_to_choose"]}, prefer)


def headline(rows: Sequence[Row], timings: Timings, corpus: dict) -> dict[str, str | float | None]:
    """Flat figures for `dvc metrics`: teacher_* and champion_*; without a champion, champion_* are null.

    timed_on and timed_at are among them, and the digests of all sets that were scored, set_gate and others, so that `dvc
    metrics diff` shows where two machines or sets are compared. `corpus`: corpus.json.
    """
    champion, objective = champion_of(rows), rows[0].objective
    names = [figures.of_objective(figure.name, objective) for figure in figures.FIGURES if figure.headline]
    flat: dict[str, str | float | None] = {"champion": champion.variant if champion else None}
    flat |= {"timed_on": timings.timed_on, "timed_at": timings.measured_at}
    flat |= {f"set_{split}": corpus["splits"][split]["digest"] for split in scored_splits(corpus["splits"])}
    flat |= {f"champion_{name}": _measured(champion, name) if champion else None for name in names}
    not_of_teacher = ("shrink", "speedup", f"{objective}_rise_upper")
    return flat | {f"teacher_{name}": _measured(rows[0], name) for name in names if name not in not_of_teacher}


def _measured(row: Row, name: str) -> float | None:
    """A figure; None where it is only modeled, which no list of bare numbers can say."""
    return row.energy if name == figures.ENERGY else row[name]


def _asked(row: Row, gate: Gate) -> float | None:
    """Milliseconds for audio of the length that `bigfoot propose` was asked for; params see to it that it is measured."""
    return (row.latency_by_length or {}).get(f"{gate.budget.length:g}") if gate.budget else None


def _verdict(row: Row, gate: Gate, length: str, competitors: int) -> Verdict:
    """Whether a variant keeps the budget, with the reason in one line."""
    verdict = _kept(row, gate, length, competitors)
    if row.kind == "own":
        return verdict
    what = "a peer, never promoted" if row.kind == "peer" else "for a GPU, never promoted, since the budget is for the CPU"
    not_timed = f"not timed: {row.not_timed}; " if row.not_timed else ""
    return Verdict(False, f"{what}; {not_timed}{verdict.reason}")


def _kept(row: Row, gate: Gate, length: str, competitors: int) -> Verdict:
    """Whether a variant keeps the budget, as if it were one of Bigfoot's own for the CPU."""
    rise, upper = row.known(f"gate_{row.objective}_rise"), row.known(f"{row.objective}_rise_upper")
    if too_large := _over_limits(row, gate):
        return too_large
    sure = numbers.sure(gate.confidence) + (f", for all {competitors} variants together" if competitors > 1 else "")
    low, high, budget = _told_apart(rise, upper, gate.max_rise)
    bounded = f"gate {row.objective.upper()} {low} points, at most {high} ({sure})"
    if rise > gate.max_rise:
        return Verdict(False, f"{bounded}: more than the {budget} allowed")
    if upper > gate.max_rise:
        too_few = f"{bounded}: may be more than the {budget} allowed, gate's {length} are too few to decide"
        return Verdict(False, too_few, undecided=True)
    return Verdict(True, "the reference of all others" if row.variant == REFERENCE else f"{bounded}: within {budget}")


def _over_limits(row: Row, gate: Gate) -> Verdict | None:
    """The verdict on a variant that is larger or slower than the budget allows, by any of its limits."""
    lowest: dict[str, tuple[float, str]] = {}
    for figure, most, unit in gate.limits():
        lowest[figure] = min((most, unit), lowest.get(figure, (math.inf, unit)))
    over = []
    for figure, (most, unit) in lowest.items():
        if (value := row[figure]) is not None and value > most:
            exact = value if f"{value:.2f}" == f"{most:.2f}" else round(value, 2)
            over.append((value / most, f"{exact:.10g} {unit}, at most {most:.10g} allowed"))
    if over:
        return Verdict(False, "; ".join(reason for _, reason in over), times_over=max(over)[0])
    unknown = [f"{most:g} {unit}" for figure, (most, unit) in lowest.items() if row[figure] is None]
    return Verdict(False, f"not measured, at most {' and '.join(unknown)} allowed") if unknown else None


def _told_apart(rise: float, upper: float, most: float) -> tuple[str, str, str]:
    """A rise, its bound and the budget in points, with so many digits that what is above the budget looks so."""
    digits = 2
    while digits < 5 and any(most < each and round(100 * each, digits) <= round(100 * most, digits) for each in (rise, upper)):
        digits += 1
    budget = numbers.percent(most) if math.isclose(most, round(most, 4)) else f"{100 * most:.10g}"
    return numbers.points(rise, digits=digits), numbers.points(upper, digits=digits), budget


def _text_figures(evidence: Evidence, name: str, test: str) -> dict[str, float | None]:
    if evidence.untrained:
        return dict.fromkeys(figures.of(figures.TEXT))
    scored, reference = evidence.scores[name].sets[test], evidence.scores[REFERENCE].sets[test]
    rises = {"wer_rise": scored.wer - reference.wer, "cer_rise": scored.cer - reference.cer}
    return {key: rises[key] if key in rises else getattr(scored, key) for key in figures.of(figures.TEXT)}


def _rises(evidence: Evidence, test: str, confidence: float) -> dict[str, float | None]:
    """Upper bounds of the rise of each variant's error rate on one set, which hold for all variants of a kind together."""
    if evidence.untrained:
        return dict.fromkeys(evidence.scores)
    reference = evidence.scores[REFERENCE].sets[test]
    bounds: dict[str, float | None] = {REFERENCE: 0.0}
    for kind in ("own", "peer", "gpu"):  # the last two are never promoted, so they must not widen the bounds of the first
        sets = {name: score.sets[test] for name, score in evidence.scores.items() if evidence.kinds[name] == kind}
        sets.pop(REFERENCE, None)
        bounds |= wer.paired_rises(reference, sets, confidence, objective=evidence.objective)
    return bounds
