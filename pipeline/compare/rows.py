"""The rows of a comparison: every figure of every variant, the gate's verdict on it, and the champion.

Decision: the gate and the champion read dev alone, and the gate asks for the upper bound of the rise in WER, not for its best
guess, so that a small dev set promotes nothing it can't vouch for. Figures that were not measured are null; so is all that
rests on the words of UNTRAINED models, which were counted and mean nothing.
"""

from collections.abc import Mapping

from pipeline.common import host
from pipeline.common.energy import co2_g
from pipeline.compare import payback
from pipeline.compare.inputs import REFERENCE, Evidence
from pipeline.evaluate import wer
from pipeline.params import Gate

TEXT_KEYS = (
    "wer", "cer", "wer_low", "wer_high", "cer_low", "cer_high", "wer_delta", "substitutions", "deletions",
    "insertions",
)  # fmt: skip
TIMING_KEYS = (
    "params", "macs_per_second", "disk_mb", "ram_mb", "ram_model_mb", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms",
    "ms_per_audio_second_p50", "ms_per_audio_second_p95", "ms_per_audio_second_p99", "rtfx", "rtfx_low", "rtfx_high",
    "rtfx_batched", "cnn_ms", "encoder_ms", "cold_start_ms", "load_ms", "energy_wh_per_audio_hour",
    "speedup", "speedup_low", "speedup_high",
)  # fmt: skip
TIMING_REMARKS = ("files", "narrow", "latency_by_length", "energy_resolved", "energy_note")  # what is no single number
TRAINING_KEYS = ("train_energy_wh", "train_hours")
CO2_KEYS = ("co2_g_per_audio_hour", "train_co2_g")  # energy by the country's electricity mix
HEADLINE = (
    "wer", "wer_low", "wer_high", "dev_wer", "wer_rise_upper", "disk_mb", "shrink", "latency_p50_ms", "speedup", "rtfx",
    "ram_mb", "energy_wh_per_audio_hour",
)  # fmt: skip


def measured(evidence: Evidence) -> list[dict]:
    """Every figure of every variant, under the names of the design; null where it was not measured."""
    rows, first, more = [], evidence.test_sets[0], evidence.test_sets[1:]
    uppers = {test: _rises(evidence, test, wer.CONFIDENCE) for test in evidence.test_sets}
    for name, score in evidence.scores.items():
        timing, training = evidence.timings["variants"][name], evidence.training[score["model"]]
        teacher = evidence.timings["variants"][REFERENCE]
        disk, full = timing.get("disk_mb"), teacher.get("disk_mb")
        row = {key: score[key] for key in ("variant", "model", "scheme")}
        row |= {"kind": evidence.kinds[name], "runtime": evidence.runtimes[name], "trained": training.get("trained", True)}
        for one, prefix, suffix in [(first, "", ""), ("dev", "dev_", ""), *((test, "", f"/{test}") for test in more)]:
            row |= {f"{prefix}{key}{suffix}": value for key, value in _text_figures(evidence, name, one).items()}
        row |= {f"wer_delta_upper{'' if test == first else f'/{test}'}": rises[name] for test, rises in uppers.items()}
        row |= {key: timing.get(key) for key in TIMING_KEYS + TIMING_REMARKS}
        row |= {key: training.get(key) for key in TRAINING_KEYS}
        row["co2_g_per_audio_hour"] = co2_g(row["energy_wh_per_audio_hour"], evidence.country)
        row["train_co2_g"] = co2_g(row["train_energy_wh"], evidence.country)
        row["shrink"] = full / disk if full and disk else None
        row["train_payback_hours"] = payback.hours(evidence.training_wh[score["model"]], teacher, timing)
        rows.append(row)
    return rows


def judge(rows: list[dict], evidence: Evidence, gate: Gate) -> list[dict]:
    """Add to each row wer_rise_upper (on dev, for all variants together), gate {passed, reason} and champion.

    The champion is the variant with the largest gain in what the budget's objective names, among those that pass,
    teacher.fp32 aside; a peer never passes; of two alike the one with the lower dev WER. There may be none. Of UNTRAINED
    models all of it is null.
    """
    if evidence.untrained:
        nothing = {"wer_rise_upper": None, "gate": {"passed": None, "reason": "untrained"}, "champion": None}
        return [row | nothing for row in rows]
    rises, words = _rises(evidence, "dev", gate.confidence), evidence.scores[REFERENCE]["sets"]["dev"]["words"]
    for row in rows:
        row["wer_rise_upper"] = rises[row["variant"]]
        passed, reason = _gate(row, gate, words, len(rows) - 1)
        if row["kind"] == "peer":
            passed, reason = False, f"a peer, never promoted; {reason}"
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
    if evidence.untrained:
        return dict.fromkeys(TEXT_KEYS)
    one, reference = evidence.scores[name]["sets"][test], evidence.scores[REFERENCE]["sets"][test]
    return {key: one["wer"] - reference["wer"] if key == "wer_delta" else one[key] for key in TEXT_KEYS}


def _rises(evidence: Evidence, test: str, confidence: float) -> dict[str, float | None]:
    """Upper bounds of the rise of every variant's WER on one set, which hold for all of them together."""
    if evidence.untrained:
        return dict.fromkeys(evidence.scores)
    sets = {name: score["sets"][test] for name, score in evidence.scores.items()}
    reference = sets.pop(REFERENCE)
    return {REFERENCE: 0.0, **wer.paired_rises(reference, sets, confidence)}
