"""The evidence for a variant as champion: its figures, and everything that decides whether another's can be compared with them.

A figure only means something together with what it was measured on, so the evidence identifies the teacher by its weights, and
gate and test by the digests of their texts and audio. Train may grow without changing them. Evidence is a dict of strings, as
MLflow keeps tags; what was not measured is absent.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.benchmark import timings
from pipeline.benchmark.timings import REFERENCE
from pipeline.common.errors import BigfootError
from pipeline.common.git import origin
from pipeline.common.numbers import percent, shown, times
from pipeline.compare.comparison import Comparison, Row
from pipeline.compare.rows import gain
from pipeline.params import Gate
from pipeline.recognition import seal
from pipeline.speech.corpus import GATE, read_info, test_sets
from pipeline.tracking.log import comparison_key, model_of
from pipeline.tracking.store import KEY, Store

FIGURES = (
    "wer", "gate_wer", "wer_rise_upper", "cer", "gate_cer", "cer_rise_upper", "speedup", "speedup_low", "speedup_high",
    "shrink", "disk_mb", "latency_p50_ms", "latency_asked_ms",
)  # fmt: skip
SAME = {
    "teacher": "another teacher", "gate_set": "another gate set", "test_set": "another test set", "timed_on": "another machine",
    "objective": "another objective",
}  # fmt: skip
UNKNOWN = "an unknown factor"


@dataclass(frozen=True)
class Candidate:
    """A compared variant in MLflow: its run, its LoggedModel, the hash of its folder (`content`), and its evidence."""

    variant: str
    run_id: str
    model_id: str
    content: str
    evidence: dict[str, str]
    comparison: str  # the key of the comparison that it is of


def candidate_of(store: Store, compared: Comparison, row: Row) -> Candidate:
    """The candidate of a row of the comparison under `store.root`, which has been logged, and whose files are those compared.

    Raises BigfootError where its run, its corpus or its model is missing.
    """
    project, key = store.project, comparison_key(store.project)
    run, parent = store.find("variant", f"{key}/{row.variant}"), store.find("comparison", key)
    model_id = model_of(store, run) if run else None
    if run is None or parent is None or model_id is None:
        raise BigfootError(f"{row.variant} of the last comparison is not in MLflow: run `bigfoot track`")
    content = store.client.get_logged_model(model_id).tags[KEY]
    info, timed = read_info(project.corpus(compared.corpus)), timings.read(project.timings)
    test = test_sets(info["splits"])[0]
    evidence = {
        **{name: getattr(row, name) for name in ("variant", "model", "scheme", "runtime", "objective", "device")},
        **{name: row[name] for name in FIGURES},
        "gain": gain(row.figures, compared.budget.prefer), "gate": row.gate.word,
        "gate_reason": row.gate.reason, "budget": compared.budget.model_dump_json(), "content": content,
        "teacher": _weights(project.variant(REFERENCE)), "corpus": compared.corpus,
        "gate_set": info["splits"][GATE]["digest"], "test_set": info["splits"][test]["digest"],
        "synthetic": "yes" if info["synthetic"] else "no",
        "host": timed.host["name"], "timed_on": timed.timed_on, "timed_at": timed.measured_at,
        "busy": None if timed.busy is None else f"{timed.busy:.2f}",
        "commit": origin(project.root)["mlflow.source.git.commit"], "comparison": parent.info.run_id,
    }  # fmt: skip
    known = {name: str(value) for name, value in evidence.items() if value is not None}
    return Candidate(row.variant, run.info.run_id, model_id, content, known, key)


def judge(incumbent: Mapping[str, str] | None, challenger: Mapping[str, str], budget: Gate) -> tuple[bool, str]:
    """Whether a challenger replaces the incumbent, and why; both are given by their evidence.

    It does where its gain is larger beyond what both intervals leave open.
    """
    if incumbent is None:
        return True, "the first champion"
    times_count = budget.prefer != "size" or any(figure.startswith("latency") for figure, _, _ in budget.limits())
    for key, other in SAME.items():
        if key == "timed_on" and not times_count:
            continue
        default = "wer" if key == "objective" else None  # what an older Bigfoot went by
        if (known := incumbent.get(key, default)) != challenger.get(key, default):
            return False, f"can't be compared with it: {other if known else f'it has no evidence from Bigfoot ({key})'}"
    if times_count and "busy" in challenger:
        return False, f"was timed while other work took {float(challenger['busy']):.0%} of the CPU: benchmark an idle host"
    measured = figures(incumbent)
    new_length = budget.budget.length if budget.budget and budget.budget.length != _length(incumbent) else None
    if new_length is not None:
        del measured["latency_asked_ms"]
    if exceeded := _exceeded(measured, budget, incumbent.get("objective", "wer")):
        return True, f"the former champion is over the budget ({exceeded})"
    (_, old, most), (least, new, _) = (_gains(figures(evidence), budget.prefer) for evidence in (incumbent, challenger))
    if least is not None and (most is None or least > most):
        return True, f"it gains {times(new, UNKNOWN)} over the teacher, the former champion {times(old, UNKNOWN)}"
    if new_length is not None:
        return False, f"may be the only one within the budget: the champion was never asked for {new_length:g} s of audio"
    why = "is not surely better: with these intervals" if new is not None and (old is None or new > old) else "is not better:"
    return False, f"{why} it gains {times(new, UNKNOWN)} over the teacher, the champion {times(old, UNKNOWN)}"


def _length(evidence: Mapping[str, str]) -> float | None:
    """The seconds of audio that `latency_asked_ms` is for; None where nothing was asked for."""
    asked = json.loads(evidence.get("budget", "{}")).get("budget")
    return asked["length"] if asked else None


def _gains(known: Mapping[str, float | None], prefer: str) -> tuple[float | None, float | None, float | None]:
    """The gain over the teacher by the speedup's lower bound, by the speedup, and by its upper bound.

    The evidence of an older Bigfoot has no bounds: there the speedup itself counts.
    """
    bounds = (known["speedup_low"] or known["speedup"], known["speedup"], known["speedup_high"] or known["speedup"])
    least, middle, most = (gain({**known, "speedup": speedup}, prefer) for speedup in bounds)
    return least, middle, most


def figures(evidence: Mapping[str, str]) -> dict[str, float | None]:
    """The figures in evidence as numbers; None where one is absent."""
    return {key: float(evidence[key]) if key in evidence else None for key in FIGURES}


def summary(evidence: Mapping[str, str]) -> str:
    """The evidence of a promotion in one line."""
    known = figures(evidence)
    objective = evidence.get("objective", "wer")
    if known[objective] is None:
        return "no evidence from Bigfoot"
    gains = f"{times(known['speedup'])} faster, {times(known['shrink'])} smaller than its teacher"
    device = "" if evidence.get("device", "cpu") == "cpu" else f", on {evidence['device']}"
    return f"{objective.upper()} {percent(known[objective])}%, {gains}; timed on {evidence.get('host', '?')}{device}"


def _exceeded(known: Mapping[str, float | None], budget: Gate, objective: str) -> str | None:
    """The limit of a budget that figures exceed, if any: an old champion may not fit a new budget. None without the figure."""
    limits = [(f"{objective}_rise_upper", budget.max_rise, ""), *budget.limits()]
    for key, most, _ in (limit for limit in limits if limit[0] in known):
        value = known[key]
        if value is None or value > most:
            return f"{key} {shown(value, '.4g', absent='unknown')}, at most {most:g}"
    return None


def _weights(variant: Path) -> str:
    """The identity of a model in full precision: the hash of its weights' sum."""
    info = seal.read_info(variant)
    return hashlib.sha256(bytes.fromhex(info["files"][info["file"]]["sha256"])).hexdigest()[:16]
