"""What speaks for a variant as champion: its figures and all that decides whether they can be held against another's.

A figure counts only beside what it was found on, so the evidence names the teacher by its weights, and dev and test by
their manifests and audio: train may grow, and the sets are still the same. Evidence is strings by name, as MLflow keeps
tags; what was not measured is absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.benchmark import timings
from pipeline.common import numbers
from pipeline.common.errors import BigfootError
from pipeline.common.files import sha256_of
from pipeline.common.git import origin
from pipeline.compare.comparison import Comparison, Row
from pipeline.compare.rows import gain
from pipeline.params import Gate
from pipeline.speech.corpus import read_info, read_manifest
from pipeline.tracking.log import comparison_key
from pipeline.tracking.store import KEY, Store

FIGURES = ("wer", "dev_wer", "wer_rise_upper", "speedup", "shrink", "disk_mb", "latency_p50_ms")
SAME = {
    "teacher": "another teacher", "dev_set": "another dev set", "test_set": "another test set", "timed_on": "another machine",
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A compared variant as MLflow knows it: its run, its LoggedModel and the hash of its folder; and its evidence."""

    variant: str
    run_id: str
    model_id: str
    content: str
    evidence: dict[str, str]


def candidate_of(store: Store, compared: Comparison, row: Row) -> Candidate:
    """A row of the comparison under `store.root`, which has been logged; BigfootError where its corpus or model is gone."""
    project, key = store.project, comparison_key(store.project.reports)
    run, parent = store.find("variant", f"{key}/{row.variant}"), store.find("comparison", key)
    model_id = run.outputs.model_outputs[0].model_id
    content = store.client.get_logged_model(model_id).tags[KEY]
    corpus = project.corpus(compared.corpus)
    info, timed = read_info(corpus), timings.read(project.timings)
    test = next(split for split in info["splits"] if split not in ("train", "dev"))
    evidence = {
        **{name: getattr(row, name) for name in ("variant", "model", "scheme", "runtime")},
        **{name: row[name] for name in FIGURES},
        "gain": gain(row.figures, compared.budget.objective), "gate": "passed" if row.gate.passed else "failed",
        "gate_reason": row.gate.reason, "budget": compared.budget.model_dump_json(), "content": content,
        "teacher": _weights(project.teacher), "corpus": compared.corpus, "corpus_audio": info.get("audio"),
        "dev_set": _set(corpus, "dev"), "test_set": _set(corpus, test), "synthetic": "yes" if info["synthetic"] else "no",
        "host": timed.host["name"], "timed_on": timed.timed_on, "timed_at": timed.measured_at,
        "commit": origin(project.root)["mlflow.source.git.commit"], "comparison": parent.info.run_id,
    }  # fmt: skip
    known = {name: str(value) for name, value in evidence.items() if value is not None}
    return Candidate(row.variant, run.info.run_id, model_id, content, known)


def judge(incumbent: Mapping[str, str] | None, challenger: Mapping[str, str], budget: Gate) -> tuple[bool, str]:
    """Whether a challenger takes the incumbent's place, and why; both by their evidence."""
    if incumbent is None:
        return True, "the first champion"
    for key, other in SAME.items():
        if key == "timed_on" and budget.objective == "size" and budget.max_latency_p50_ms is None:
            continue
        if (was := incumbent.get(key)) != challenger[key]:
            return False, f"can't be compared with it: {other if was else f'it carries no evidence of Bigfoot ({key})'}"
    had, has = (gain(figures(one), budget.objective) for one in (incumbent, challenger))
    if broken := _breaks(figures(incumbent), budget):
        return True, f"the one before breaks the budget ({broken})"
    if has is not None and (had is None or has > had):
        return True, f"it gains {times(has)} over the teacher, the one before {times(had)}"
    return False, f"is not better: it gains {times(has)} over the teacher, the champion {times(had)}"


def figures(evidence: Mapping[str, str]) -> dict[str, float | None]:
    """The figures of some evidence as numbers; null where there is none."""
    return {key: float(evidence[key]) if key in evidence else None for key in FIGURES}


def times(factor: float | None) -> str:
    return numbers.shown(factor, ".2f", "x", "nothing known")


def _breaks(had: Mapping[str, float | None], budget: Gate) -> str | None:
    """What of a budget some figures break: budgets change, and an old champion may not fit the new one."""
    limits = {
        "wer_rise_upper": budget.max_wer_rise, "disk_mb": budget.max_disk_mb, "latency_p50_ms": budget.max_latency_p50_ms
    }  # fmt: skip
    for key, most in limits.items():
        if most is not None and (had[key] is None or had[key] > most):
            return f"{key} {'unknown' if had[key] is None else format(had[key], '.4g')}, at most {most:g}"
    return None


def _weights(model: Path) -> str:
    """A model's identity: its weights, whatever else lies in its folder; its training where there are none."""
    return _digest(sorted(model.glob("*.safetensors")) or [model / "metrics.json"])


def _set(corpus: Path, split: str) -> str:
    """A set's identity: its manifest and the audio that this names."""
    manifest = corpus / f"{split}.jsonl"
    return _digest([manifest, *(corpus / utterance.audio for utterance in read_manifest(manifest))])


def _digest(paths: list[Path]) -> str:
    try:
        return sha256_of(paths)[:16]
    except FileNotFoundError as error:
        what = f"{error.filename} is missing, by which champions are told apart"
        raise BigfootError(f"{what}: run `dvc checkout`, or `dvc pull`") from None
