"""What a comparison rests on: the files of earlier stages, read, and found to belong together.

Decision: files that don't belong together (other corpus, other variant, other texts) are refused, not averaged over.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.compare import payback
from pipeline.evaluate import scores
from pipeline.params import Params, Variant
from pipeline.project import Project
from pipeline.recognition import seal
from pipeline.speech.corpus import read_manifest

REFERENCE = "teacher.fp32"


@dataclass(frozen=True)
class Evidence:
    """What a comparison rests on: the files of earlier stages, read, and found to belong together.

    scores, kinds (own or peer), runtimes and opened (the file that the runtime opens) are by variant name; training, curves and
    training_wh, a student's own with that of its parents, by model name. dropped are the utterances that prepare left out, with
    the check that they failed.
    """

    corpus: dict
    timings: dict
    scores: dict[str, dict]
    kinds: dict[str, str]
    runtimes: dict[str, str]
    opened: dict[str, str]
    training: dict[str, dict]
    curves: dict[str, list[dict]]
    dropped: list[dict]
    training_wh: dict[str, float | None]
    country: str

    @property
    def test_sets(self) -> list[str]:
        """The test sets, the one that headlines first."""
        first = self.scores[REFERENCE]["first_test"]
        return [first, *sorted(set(self.scores[REFERENCE]["sets"]) - {"dev", first})]

    @property
    def untrained(self) -> bool:
        """Whether the teacher, and so every model, has learned nothing: what its words are worth is not told."""
        return not self.training["teacher"].get("trained", True)


def gather(params: Params, root: Path) -> Evidence:
    """Read all that is compared, teacher.fp32 first."""
    variants = sorted(params.variants.values(), key=lambda v: v.name != REFERENCE)
    project = Project(root)
    folder = project.corpus(params.corpus.name)
    corpus = _read(folder / "corpus.json", "prepare")
    heard = {split: read_manifest(folder / f"{split}.jsonl") for split in corpus["splits"] if split != "train"}
    timings = _read(project.timings, "benchmark")
    found = {v.name: scores.read(project.score(v.name), v.name, v.slug, heard) for v in variants}
    for name, one in found[REFERENCE]["sets"].items():
        scores.refuse_shifted(f"{folder / name}.jsonl", one["hypotheses"])
    for variant in variants:
        if variant.name not in timings.get("variants", {}):
            raise BigfootError(f"{project.timings} has no {variant.name}: run `dvc repro benchmark`")
    models = dict.fromkeys(v.model for v in variants)
    parents = {name: student.parent for name, student in params.students.items()}
    trained = {name: _read_metrics(project.model(name) / "metrics.json") for name in parents}
    infos = {v.name: _read_variant(project, v, timings, found[v.name]) for v in variants}
    return Evidence(
        corpus=corpus,
        timings=timings,
        scores=found,
        kinds={name: info.get("kind", "own") for name, info in infos.items()},
        runtimes={name: info["runtime"] for name, info in infos.items()},
        opened={name: info["file"] for name, info in infos.items()},
        training={m: _read(project.model(m) / "metrics.json", _training_stage(m)) for m in models},
        curves={m: _read_lines(project.model(m) / "curve.jsonl") for m in models},
        dropped=_read_lines(folder / "dropped.jsonl"),
        training_wh={m: payback.training_wh(m, parents, trained) for m in models},
        country=params.country,
    )


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


def _read_variant(project: Project, variant: Variant, timings: dict, score: dict) -> dict:
    """variant.json, once it is found to be of the files that were scored and timed."""
    folder = project.variant(variant.name)
    info = _read(folder / "variant.json", f"quantize@{variant.slug}")
    if (info.get("model"), info.get("scheme")) != (variant.model, variant.scheme):
        raise BigfootError(f"{folder} holds {info.get('variant')}: run `dvc repro --force quantize@{variant.slug}`")
    if score.get("files") != seal.mark(info):
        again = f"run `dvc repro --force evaluate@{variant.slug}`"
        raise BigfootError(f"{project.score(variant.name)} is of other files than {folder} has: {again}")
    if timings["variants"][variant.name].get("files") != seal.mark(info):
        raise BigfootError(f"{project.timings} is of other files than {folder} has: run `dvc repro benchmark`")
    return info


def _training_stage(model: str) -> str:
    return "teacher" if model == "teacher" else f"student@{model}"
