"""The inputs of a comparison: the files of earlier stages, read and checked to belong together.

Decision: files that do not belong together (another corpus, another variant, other texts) are refused.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.benchmark import timings
from pipeline.benchmark.timings import REFERENCE, Timings
from pipeline.common import graph
from pipeline.common.errors import BigfootError
from pipeline.common.files import again
from pipeline.compare import belonging, payback
from pipeline.compare.comparison import model_mark
from pipeline.evaluate import scores
from pipeline.evaluate.scores import Score
from pipeline.models.training import read_curve, read_metrics
from pipeline.params import Params, Variant
from pipeline.project import Project
from pipeline.recognition import seal
from pipeline.speech.corpus import GATE, drawn, open_corpus, read_dropped, scored_splits, split_folder
from pipeline.speech.scoring import Objective, scoring
from pipeline.speech.shards import Size


@dataclass(frozen=True)
class Evidence:
    """The contents of the files that a comparison is made of.

    scores, seconds (how long each evaluation took), kinds (own, peer or gpu), schemes (the scheme itself of a renamed one),
    runtimes and opened (the file that the runtime opens) are by name of variant, and so are decodings, those of variants that
    aren't decoded greedily; models (the marks of their files), training, curves and spent (by the student's own training and
    its parents') by name of model, training also of students without a variant, which others may come from.
    dropped: the utterances that prepare left out, each with the check that it failed.
    """

    corpus: dict
    timings: Timings
    scores: dict[str, Score]
    seconds: dict[str, float | None]
    kinds: dict[str, seal.Kind]
    schemes: dict[str, str]
    runtimes: dict[str, str]
    opened: dict[str, str]
    decodings: dict[str, dict]
    models: dict[str, str | None]
    training: dict[str, dict]
    curves: dict[str, list[dict]]
    dropped: list[dict]
    spent: dict[str, payback.Spent | None]
    country: str

    @property
    def objective(self) -> Objective:
        """The error rate that decides: wer or cer."""
        return scoring(self.corpus).objective

    @property
    def test_sets(self) -> list[str]:
        """The test sets, beginning with the one that the headline figures are of."""
        reference = self.scores[REFERENCE]
        return [reference.first_test, *sorted(set(reference.sets) - {"dev", GATE, reference.first_test})]

    @property
    def untrained(self) -> bool:
        """Whether the teacher, and so every model, is untrained; then errors mean nothing and are not shown."""
        return not self.training["teacher"].get("trained", True)


def gather(params: Params, root: Path) -> Evidence:
    """Read everything that is compared, teacher.fp32 first.

    Raises BigfootError where a file is missing or broken, or does not belong to the others.
    """
    variants = sorted(params.variants.values(), key=lambda v: v.name != REFERENCE)
    project = Project(root)
    folder = project.corpus(params.corpus.name)
    opened = open_corpus(folder)
    most, seed = params.evaluate.max_hours, params.evaluate.seed
    corpus = opened.info
    sets = {name: drawn(opened.utterances(name), most, seed) for name in scored_splits(corpus["splits"])}
    _require_counts(folder, corpus)
    run = timings.read(project.timings)
    scored = {}
    for variant in variants:
        path = project.score(variant.name)
        scored[variant.name] = scores.read(path, variant.slug)
        belonging.check(scored[variant.name], path, variant.name, variant.slug, sets)
    for name, set_score in scored[REFERENCE].sets.items():
        belonging.refuse_shifted(str(split_folder(folder, name)), set_score.hypotheses, scoring(corpus).objective)
    for variant in variants:
        if run.known(variant.name) is None:
            raise BigfootError(f"{project.timings} has no {variant.name}: run `dvc repro benchmark`")
    models = dict.fromkeys(v.model for v in variants)
    parents = {name: student.ancestor or payback.TEACHER for name, student in params.students.items()}
    trained = {name: read_metrics(project.model(name), _made_by(name)) for name in parents if _is_trained(project, name)}
    infos = {v.name: _read_variant(project, v, run, scored[v.name]) for v in variants}
    return Evidence(
        corpus=corpus,
        timings=run,
        scores=scored,
        seconds={v.name: scores.read_seconds(project.duration(v.name), v.slug) for v in variants},
        kinds={name: info.get("kind", "own") for name, info in infos.items()},
        schemes={v.name: str(params.schemes[v.scheme].get("like", v.scheme)) for v in variants},
        runtimes={name: info["runtime"] for name, info in infos.items()},
        opened={name: info["file"] for name, info in infos.items()},
        decodings={name: info["decoding"] for name, info in infos.items() if "decoding" in info},
        models={m: model_mark(project.model(m)) for m in models},
        training=trained | {m: read_metrics(project.model(m), _made_by(m)) for m in models},
        curves={m: read_curve(project.model(m), _made_by(m)) for m in models},
        dropped=read_dropped(folder, corpus),
        spent={m: payback.spent(m, parents, trained) for m in models},
        country=params.country,
    )


def _require_counts(folder: Path, corpus: dict) -> None:
    """Raise BigfootError where corpus.json doesn't count what the report says of each split."""
    for split in ("train", *scored_splits(corpus["splits"])):
        if lacking := sorted(set(Size.__annotations__) - set(corpus["splits"].get(split, {}))):
            where = f"{folder / 'corpus.json'}: splits.{split}"
            raise BigfootError(f"{where} has no {', '.join(lacking)}: {again('dvc repro prepare')}")


def _is_trained(project: Project, student: str) -> bool:
    """False for a student that was not trained because no variant needs it."""
    return (project.model(student) / "metrics.json").is_file()


def _read_variant(project: Project, variant: Variant, run: Timings, score: Score) -> dict:
    """variant.json, checked to describe the files that were scored and timed."""
    folder = project.variant(variant.name)
    info = seal.read_info(folder, f"dvc repro quantize@{variant.slug}")
    if (info.get("model"), info.get("scheme")) != (variant.model, variant.scheme):
        raise BigfootError(f"{folder} holds {info.get('variant')}: run `dvc repro --force quantize@{variant.slug}`")
    if score.files != seal.mark(info):
        again = f"run `dvc repro --force evaluate@{variant.slug}`"
        raise BigfootError(f"{project.score(variant.name)} is of other files than {folder} has: {again}")
    if (timed := run.known(variant.name)) is None or timed.files != seal.mark(info):
        raise BigfootError(f"{project.timings} is of other files than {folder} has: run `dvc repro benchmark`")
    return info


def _made_by(model: str) -> str:
    """The command that trains a model."""
    return f"dvc repro {graph.stage_of(model)}"
