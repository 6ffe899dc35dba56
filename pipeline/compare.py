"""compare: scores and timings of all variants, beside those of teacher.fp32; the gate, the champion, the report.

Decision: one flat object a variant, with the same keys for every one of them, is what the tables, the plots, the page
and MLflow are made of. The gate and the champion read dev alone, and the gate asks for the upper bound of the rise in
WER, not for its best guess, so that a small dev set promotes nothing it can't vouch for. Figures that were not measured
are null. Files that don't belong together (other corpus, other variant, other texts) are refused, not averaged over.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline import breakdown, cards, payback, report, scores, scoring, sealed
from pipeline.corpus import manifest
from pipeline.errors import BigfootError
from pipeline.measure import host
from pipeline.origin import Origin
from pipeline.params import Gate, Params, Variant

REFERENCE = "teacher.fp32"
TEXT_KEYS = (
    "wer", "cer", "wer_low", "wer_high", "cer_low", "cer_high", "wer_delta", "substitutions", "deletions",
    "insertions",
)  # fmt: skip
TIMING_KEYS = (
    "params", "macs_per_second", "disk_mb", "ram_mb", "ram_model_mb", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms",
    "ms_per_audio_second_p50", "ms_per_audio_second_p95", "ms_per_audio_second_p99", "rtfx", "rtfx_low", "rtfx_high",
    "rtfx_batched", "cnn_ms", "encoder_ms", "cold_start_ms", "load_ms", "energy_wh_per_audio_hour", "co2_g_per_audio_hour",
    "speedup", "speedup_low", "speedup_high",
)  # fmt: skip
TIMING_REMARKS = ("files", "narrow", "latency_by_length", "energy_resolved", "energy_note")  # what is no single number
TRAINING_KEYS = ("train_energy_wh", "train_co2_g", "train_hours")
HEADLINE = (
    "wer", "wer_low", "wer_high", "dev_wer", "wer_rise_upper", "disk_mb", "shrink", "latency_p50_ms", "speedup", "rtfx",
    "ram_mb", "energy_wh_per_audio_hour",
)  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """What a comparison rests on: the files of earlier stages, read, and found to belong together.

    scores, runtimes and opened (the file that the runtime opens) are by variant name; training, curves and training_wh, a
    student's own with that of its parents, by model name. dropped are the utterances that prepare left out, with the check that
    they failed.
    """

    corpus: dict
    timings: dict
    scores: dict[str, dict]
    runtimes: dict[str, str]
    opened: dict[str, str]
    training: dict[str, dict]
    curves: dict[str, list[dict]]
    dropped: list[dict]
    training_wh: dict[str, float | None]

    @property
    def test_sets(self) -> list[str]:
        """The test sets, the one that headlines first."""
        first = self.scores[REFERENCE]["first_test"]
        return [first, *sorted(set(self.scores[REFERENCE]["sets"]) - {"dev", first})]


def compare(params: Params, root: Path, out: Path, origin: Origin = Origin()) -> list[dict]:  # noqa: B008, it is frozen
    """Compare the variants that params lists, from the files under `root`; write the report into `out`.

    `origin` says in the report where the files come from; the same files and origin give the same report.
    Returns comparison.json: a list, one object a variant, teacher.fp32 first. Raises BigfootError where a score, a
    timing or a model is missing, or is not of this corpus.
    """
    evidence = gather(params, root)
    rows = judge(measured(evidence), evidence, params.gate)
    out.mkdir(parents=True, exist_ok=True)
    by_group, worst = breakdown.breakdown(evidence), breakdown.worst(rows, evidence)
    _write_json(out / "breakdown.json", by_group)
    _write_json(out / "worst.json", worst)
    report.write(out, rows, evidence, params, origin, by_group, worst)
    cards.write(out / "cards", rows, evidence, params)
    _write_json(out / "comparison.json", rows)
    _write_json(out / "metrics.json", headline(rows, evidence.timings))
    _write_json(out / "params.json", params.model_dump(mode="json", by_alias=True))
    return rows


def gather(params: Params, root: Path) -> Evidence:
    """Read all that is compared, teacher.fp32 first."""
    variants = sorted(params.variants.values(), key=lambda v: v.name != REFERENCE)
    folder = root / "corpora" / params.corpus.name
    corpus = _read(folder / "corpus.json", "prepare")
    heard = {split: manifest.read(folder / f"{split}.jsonl") for split in corpus["splits"] if split != "train"}
    timings = _read(root / "timings.json", "benchmark")
    found = {v.name: scores.read(root / "scores" / f"{v.name}.json", v.name, v.slug, heard) for v in variants}
    for name, one in found[REFERENCE]["sets"].items():
        scores.refuse_shifted(f"{folder / name}.jsonl", one["hypotheses"])
    for variant in variants:
        if variant.name not in timings.get("variants", {}):
            raise BigfootError(f"timings.json has no {variant.name}: run `dvc repro benchmark`")
    models = dict.fromkeys(v.model for v in variants)
    parents = {name: student.parent for name, student in params.students.items()}
    trained = {name: _read_metrics(root / "models" / name / "metrics.json") for name in parents}
    infos = {v.name: _read_variant(root, v, timings, found[v.name]) for v in variants}
    return Evidence(
        corpus=corpus,
        timings=timings,
        scores=found,
        runtimes={name: info["runtime"] for name, info in infos.items()},
        opened={name: info["file"] for name, info in infos.items()},
        training={m: _read(root / "models" / m / "metrics.json", _training_stage(m)) for m in models},
        curves={m: _read_lines(root / "models" / m / "curve.jsonl") for m in models},
        dropped=_read_lines(folder / "dropped.jsonl"),
        training_wh={m: payback.training_wh(m, parents, trained) for m in models},
    )


def measured(evidence: Evidence) -> list[dict]:
    """Every figure of every variant, under the names of the design; null where it was not measured."""
    rows, first, more = [], evidence.test_sets[0], evidence.test_sets[1:]
    uppers = {test: _rises(evidence, test, scoring.CONFIDENCE) for test in evidence.test_sets}
    for name, score in evidence.scores.items():
        timing, training = evidence.timings["variants"][name], evidence.training[score["model"]]
        teacher = evidence.timings["variants"][REFERENCE]
        disk, full = timing.get("disk_mb"), teacher.get("disk_mb")
        row = {key: score[key] for key in ("variant", "model", "scheme")} | {"runtime": evidence.runtimes[name]}
        for one, prefix, suffix in [(first, "", ""), ("dev", "dev_", ""), *((test, "", f"/{test}") for test in more)]:
            row |= {f"{prefix}{key}{suffix}": value for key, value in _text_figures(evidence, name, one).items()}
        row |= {f"wer_delta_upper{'' if test == first else f'/{test}'}": rises[name] for test, rises in uppers.items()}
        row |= {key: timing.get(key) for key in TIMING_KEYS + TIMING_REMARKS}
        row |= {key: training.get(key) for key in TRAINING_KEYS}
        row["shrink"] = full / disk if full and disk else None
        row["train_payback_hours"] = payback.hours(evidence.training_wh[score["model"]], teacher, timing)
        rows.append(row)
    return rows


def judge(rows: list[dict], evidence: Evidence, gate: Gate) -> list[dict]:
    """Add to each row wer_rise_upper (on dev, for all variants together), gate {passed, reason} and champion.

    The champion is the variant with the largest gain in what the budget's objective names, among those that pass,
    teacher.fp32 aside; of two alike the one with the lower dev WER. There may be none.
    """
    rises, words = _rises(evidence, "dev", gate.confidence), evidence.scores[REFERENCE]["sets"]["dev"]["words"]
    for row in rows:
        row["wer_rise_upper"] = rises[row["variant"]]
        passed, reason = _gate(row, gate, words, len(rows) - 1)
        row["gate"] = {"passed": passed, "reason": reason}
    able = [
        row for row in rows if row["gate"]["passed"] and row["variant"] != REFERENCE and gain(row, gate.objective) is not None
    ]
    champion = max(able, key=lambda row: (gain(row, gate.objective), -row["dev_wer"]), default=None)
    for row in rows:
        row["champion"] = row is champion
    return rows


def gain(row: Mapping, objective: str = "both") -> float | None:
    """What the champion is chosen by: how much faster or smaller than teacher.fp32, or the smaller of the two."""
    gains = [row[key] for key in {"both": ("speedup", "shrink"), "speed": ("speedup",), "size": ("shrink",)}[objective]]
    return None if None in gains else min(gains)


def headline(rows: list[dict], timings: dict) -> dict:
    """Flat figures for `dvc metrics`: teacher_* and champion_*; without a champion its figures are null.

    timed_on and timed_at stand among them so that `dvc metrics diff` shows where times of two machines are laid side by side.
    """
    champion = next((row for row in rows if row["champion"]), None)
    figures = {"champion": champion["variant"] if champion else None}
    figures |= {"timed_on": host.timed_on(timings), "timed_at": timings["measured_at"]}
    figures |= {f"champion_{key}": champion[key] if champion else None for key in HEADLINE}
    return figures | {f"teacher_{key}": rows[0][key] for key in HEADLINE if key not in ("shrink", "speedup", "wer_rise_upper")}


def _gate(row: dict, gate: Gate, words: int, competitors: int) -> tuple[bool, str]:
    """Whether a variant keeps the budget, and why, in one line that starts with what decides."""
    rise, upper = row["dev_wer_delta"], row["wer_rise_upper"]
    sure = f"{gate.confidence:.0%} sure" + (f", for all {competitors} variants together" if competitors > 1 else "")
    said = f"dev WER {100 * rise:+.2f} points, at most {100 * upper:+.2f} ({sure})"
    budget = f"{100 * gate.max_wer_rise:.2f}"
    if rise > gate.max_wer_rise:
        return False, f"{said}: more than the {budget} allowed"
    if upper > gate.max_wer_rise:
        return False, f"{said}: may be more than the {budget} allowed, dev's {words} words are too few to tell"
    for key, most, what in (
        ("disk_mb", gate.max_disk_mb, "MB"),
        ("latency_p50_ms", gate.max_latency_p50_ms, "ms"),
    ):
        if most is not None and (row[key] is None or row[key] > most):
            is_now = "not measured" if row[key] is None else f"{row[key]:.1f} {what}"
            return False, f"{is_now}, at most {most:g} {what} allowed"
    return True, "what the others are measured against" if row["variant"] == REFERENCE else f"{said}: within {budget}"


def _text_figures(evidence: Evidence, name: str, test: str) -> dict:
    one, reference = evidence.scores[name]["sets"][test], evidence.scores[REFERENCE]["sets"][test]
    return {key: one["wer"] - reference["wer"] if key == "wer_delta" else one[key] for key in TEXT_KEYS}


def _rises(evidence: Evidence, test: str, confidence: float) -> dict[str, float]:
    """Upper bounds of the rise of every variant's WER on one set, which hold for all of them together."""
    sets = {name: score["sets"][test] for name, score in evidence.scores.items()}
    reference = sets.pop(REFERENCE)
    return {REFERENCE: 0.0, **scoring.paired_rises(reference, sets, confidence)}


# ---------------------------------------------------------------- reading


def _read(path: Path, stage: str) -> dict:
    """A JSON file that `stage` writes."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BigfootError(f"{path} is missing: run `dvc repro {stage}`") from None
    except ValueError:
        raise BigfootError(f"{path} is no valid JSON: run `dvc repro --force {stage}`") from None


def _read_metrics(path: Path) -> dict:
    """What training a model cost; nothing where it isn't there, as of a student that no variant needs."""
    return _read(path, "student") if path.is_file() else {}


def _read_lines(path: Path) -> list[dict]:
    """JSON lines; none where there is no such file: a model that was not trained here has no curve."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _read_variant(root: Path, variant: Variant, timings: dict, score: dict) -> dict:
    """variant.json, once it is found to be of the files that were scored and timed."""
    info = _read(root / "variants" / variant.name / "variant.json", f"quantize@{variant.slug}")
    if (info.get("model"), info.get("scheme")) != (variant.model, variant.scheme):
        raise BigfootError(
            f"variants/{variant.name} holds {info.get('variant')}: run `dvc repro --force quantize@{variant.slug}`"
        )
    if score.get("files") != sealed.mark(info):
        again = f"run `dvc repro --force evaluate@{variant.slug}`"
        raise BigfootError(f"scores/{variant.name}.json is of other files than variants/{variant.name} has: {again}")
    if timings["variants"][variant.name].get("files") != sealed.mark(info):
        raise BigfootError(f"timings.json is of other files than variants/{variant.name} has: run `dvc repro benchmark`")
    return info


def _training_stage(model: str) -> str:
    return "teacher" if model == "teacher" else f"student@{model}"


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
