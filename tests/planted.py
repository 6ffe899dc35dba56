"""What the stages before compare leave behind, planted: a folder with params, corpus, scores, timings and models.

Every figure is chosen here, so that a test can say what has to come of it. Dev, gate and test hold the same errors.
"""

import json
import os
import platform
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ruamel.yaml import YAML

from pipeline import params
from pipeline.project import load_params
from pipeline.quantize.run import quantize
from pipeline.recognition import seal
from pipeline.speech.shards import Utterance
from tests import corpora

ROOT = Path(__file__).parent.parent
WORDS_EACH = 10  # words per utterance
METERED = "cpu: intel_rapl, ram: constant"  # an energy_mode
KNOWN = ("files", "disk_mb", "weights_mb", "params", "macs_per_second")  # of a variant that was not timed
DECODING = {"file": "weights.bin", "alpha": 0.5, "beta": 0.0, "beam": 8}  # of a scheme with a +

# variant: (wrong words on dev, gate and test, disk_mb, latency_p50_ms)
FIGURES = {
    "teacher.fp32": (20, 8.0, 40.0),
    "teacher.int8-onnx": (20, 2.5, 25.0),
    "half.int8-openvino": (22, 2.0, 8.0),
    "thin.int8-openvino": (220, 0.5, 4.0),
}


def bigfoot(*arguments: object, cwd) -> subprocess.CompletedProcess:
    """The command line in a process of its own, as a user runs it."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, timeout=500)


def plant(
    root: Path,
    figures: dict = FIGURES,
    utterances: int = 200,
    skipped: Mapping[str, str] = MappingProxyType({}),
    devices: Mapping[str, str] = MappingProxyType({}),
) -> params.Params:
    """Write the files of these figures under `root` and return its params (the quickstart's, with these variants).

    `skipped`: the variants that were not timed, each with the reason; `devices`: the GPU of each that was timed on one.
    """
    settings = _params(root, figures)
    corpora.write(
        root / "corpora" / settings.corpus.name, {split: plant_rows(utterances) for split in ("train", "dev", "gate", "test")},
        source="synthetic", about="planted", dropped=0, leaks={"shared_speaker": {"train-dev": 0, "train-test": 12}},
    )  # fmt: skip
    timings = _timings(figures)
    for number, (name, (wrong, _, _)) in enumerate(figures.items()):
        model, _, scheme = name.partition(".")
        sets = {split: score_set(utterances, wrong, seed=0 if number < 3 else number) for split in ("dev", "gate", "test")}
        head = {"variant": name, "model": model, "scheme": scheme}
        runtime = {"onnx": "onnxruntime", "openvino": "openvino"}.get(scheme.partition("+")[0].rpartition("-")[2], "torch")
        folder = root / "variants" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "variant.json").unlink(missing_ok=True)
        (folder / "weights.bin").write_bytes(name.encode())
        info = {**head, "runtime": runtime, "file": "weights.bin", "files": seal.seal(folder)}
        info |= {"decoding": DECODING} if "+" in scheme else {}
        info |= {"kind": "gpu", "device": "cuda"} if scheme.endswith("-cuda") else {}
        write(folder / "variant.json", info)
        write(root / "scores" / f"{name}.json", {**head, "files": seal.mark(info), "first_test": "test", "sets": sets})
        write(root / "durations" / f"{name}.json", {"seconds": 3.5})
        timings["variants"][name]["files"] = seal.mark(info)
        if not (root / "models" / model).is_dir():
            _plant_model(root / "models" / model)
    for name, device in devices.items():
        timings["variants"][name]["device"] = device
    for name, reason in skipped.items():
        known = {key: timings["variants"][name][key] for key in KNOWN}
        timings["skipped"] = {**timings.get("skipped", {}), name: {**known, "reason": reason}}
        del timings["variants"][name]
    write(root / "timings.json", timings)
    return settings


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))


def plant_rows(utterances: int) -> list[corpora.Row]:
    """The utterances that `score_set` has scored, without any audio."""
    rows = score_set(utterances, wrong=0, seed=0)["hypotheses"]
    return [(Utterance(r["id"], r["reference"], r["speaker"], r["duration"], r["recording"]), b"no audio") for r in rows]


def plant_variant(root: Path, name: str, model: Path) -> Path:
    """A real variant of a real model in the place of a planted one, as if it had been scored and timed."""

    folder = root / "variants" / name
    info = quantize(name.partition(".")[2], {}, model, None, folder)
    timings = json.loads((root / "timings.json").read_text())
    timings["variants"][name]["files"] = seal.mark(info)
    write(root / "timings.json", timings)
    score = json.loads((root / "scores" / f"{name}.json").read_text())
    write(root / "scores" / f"{name}.json", {**score, "files": seal.mark(info)})
    return folder


def score_set(utterances: int, wrong: int, seed: int) -> dict:
    """A score of `wrong` substituted words, one in each of some utterances and, where there are more, in each once more."""
    words = utterances * WORDS_EACH
    at = Counter((random.Random(seed).sample(range(utterances), utterances) * WORDS_EACH)[:wrong])
    errors = [at[n] for n in range(utterances)]
    hypotheses = [
        {
            "id": f"u{n}", "speaker": f"s{n % 25}", "recording": "", "duration": 2.0,
            "reference": " ".join(["one"] * WORDS_EACH),
            "hypothesis": " ".join(["two"] * e + ["one"] * (WORDS_EACH - e)), "errors": e, "words": WORDS_EACH,
            "character_errors": 2 * e, "characters": 4 * WORDS_EACH,
            "snr_db": 5.0 + 10 * (n % 4),
        }
        for n, e in enumerate(errors)
    ]  # fmt: skip
    wer = wrong / words
    return {
        "utterances": utterances, "words": words, "characters": 4 * words, "wer": wer, "cer": wer / 2,
        "wer_low": 0.8 * wer, "wer_high": 1.2 * wer, "cer_low": 0.4 * wer, "cer_high": 0.6 * wer,
        "substitutions": wrong, "deletions": 0, "insertions": 0,
        "unit": "speakers", "hypotheses": hypotheses,
    }  # fmt: skip


def _params(root: Path, figures: dict) -> params.Params:
    """The quickstart's params.yaml with these variants and a budget of one point, written to `root` and read back."""
    yaml = YAML()
    raw = yaml.load(ROOT / "profiles" / "quickstart.yaml")
    parts = [name.partition(".") for name in figures]
    raw["variants"] = {f"{model}-{scheme}".replace("+", "-"): {"model": model, "scheme": scheme} for model, _, scheme in parts}
    raw["schemes"].update({scheme: {"lm": {}} for _, _, scheme in parts if "+" in scheme})
    more = {model for model, _, _ in parts} - {"teacher", *raw["students"]}
    raw["schemes"].update({scheme: {} for _, _, scheme in parts if scheme not in raw["schemes"]})
    raw["students"].update({model: dict(raw["students"]["half"]) for model in sorted(more)})
    raw["gate"] = {"max_rise": 0.01}
    yaml.dump(raw, root / "params.yaml")
    return load_params(root / "params.yaml")


def _plant_model(folder: Path) -> None:
    curve = [{"step": 25, "loss": 2.0}, {"step": 50, "loss": 1.0}, {"step": 50, "dev_wer": 0.2}]
    metrics = {
        "dev_wer": 0.2, "params": 2_000_000, "steps": 50, "best_step": 50, "train_hours": 0.1, "train_energy_wh": 4.0,
        "energy_mode": METERED, "fingerprint": f"print-of-{folder.name}",
    }  # fmt: skip
    write(folder / "metrics.json", metrics)
    (folder / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve))


def _timings(figures: dict) -> dict:
    full = figures["teacher.fp32"][2]
    host = {
        "name": platform.node(), "cpu": "a planted CPU", "cores": 2, "features": [], "governor": None, "load_before": 0.1,
        "memory_gb": 8.0, "os": "Linux", "python": "3.11",
    }  # fmt: skip
    variants = {
        name: {
            "disk_mb": disk, "weights_mb": 0.9 * disk,
            "params": 2_000_000, "latency_p50_ms": ms, "latency_p95_ms": 1.2 * ms, "rtfx": 2000 / ms,
            "latency_p99_ms": 1.3 * ms, "rtfx_low": 1900 / ms, "rtfx_high": 2100 / ms, "macs_per_second": 3e8,
            **{f"ms_per_audio_second_{p}": ms / 2 for p in ("p50", "p95", "p99")}, "cold_start_ms": 900.0, "load_ms": 500.0,
            "rtfx_batched": None, "ram_mb": 200.0, "ram_model_mb": 20.0, "cnn_ms": None, "encoder_ms": None,
            "int8_share": 0.75 if "int8" in name else 0.0,
            "speedup_to_choose": full / ms,
            "speedup": full / ms, "speedup_low": 0.9 * full / ms, "speedup_high": 1.1 * full / ms,
            "energy_wh_per_audio_hour": 0.1, "energy_mode": METERED, "energy_w": 50.0, "energy_above_idle_w": 5.0,
            "energy_resolution_w": 1.0, "energy_resolved": True, "energy_note": None, "turns": 5, "narrow": True, "speedups": {
                other: [value[2] / ms, 0.9 * value[2] / ms, 1.1 * value[2] / ms]
                for other, value in figures.items() if other.startswith("teacher.")
            },
            "latency_by_length": None, "latency_by_length_one_thread": {"1": 1.8 * ms}, "latency_p50_ms_one_thread": 1.8 * ms,
            **{f"speedup_one_thread{end}": factor * full / ms for end, factor in (("", 1), ("_low", 0.9), ("_high", 1.1))},
        }
        for name, (_, disk, ms) in figures.items()
    }  # fmt: skip
    return {
        "measured_at": "2026-11-24T12:00:00+00:00", "seconds": 60.0, "host": host, "threads": 2,
        "versions": {"torch": "2.14.1"}, "sample": {"utterances": 20, "seconds": 40.0}, "rounds": 5, "restarts": 5, "turn": 4,
        "precision": 0.1, "cold_start": {"seconds": 2.0, "file_cache": "warm"}, "idle_w": 45.0, "variants": variants,
        "groups": 1,
    }  # fmt: skip
