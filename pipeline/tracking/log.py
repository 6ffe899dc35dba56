"""What stages wrote, as MLflow runs: training runs, a parent run per comparison, a child run and a LoggedModel per variant.

Everything is keyed by content, so that a second pass finds the runs of the first: training runs by their fingerprint, the
comparison by the bytes of comparison.json, a variant's run by comparison and variant, a LoggedModel by its folder's bytes,
whichever comparison it was first in. A run is FINISHED once it is complete; one that a kill left incomplete is completed.
A LoggedModel is models-from-code without a pickle: pipeline/tracking/pyfunc.py, the variant's folder and the modules that run
it (pipeline/tracking/closure.py). Its signature, example and requirements are given (pipeline/tracking/package.py), so that
logging it runs no inference.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipeline.benchmark import timings
from pipeline.common import graph
from pipeline.common.errors import BigfootError
from pipeline.common.files import sha256
from pipeline.common.git import origin
from pipeline.common.numbers import gains, percent
from pipeline.compare import comparison, figures
from pipeline.compare.comparison import Row
from pipeline.compare.report.columns import standing
from pipeline.compare.rows import no_champion
from pipeline.models.training import read_curve, read_metrics
from pipeline.params import Params, Student, Teacher, Variant
from pipeline.project import Project
from pipeline.recognition import seal
from pipeline.speech.corpus import read_info, scored_splits, split_folder, test_sets
from pipeline.tracking import package
from pipeline.tracking.store import KEY, NOTE, Store, final_figures, is_number

if TYPE_CHECKING:
    from mlflow.entities import Dataset, Run

MODELED = ". Energy, CO2 and payback are modeled, not measured: `_low` and `_high` are their ranges."
PARENT = "mlflow.parentRunId"
WHO = ("variant", "model", "scheme", "runtime")  # tags of a variant's run and of its model


def project(store: Store, params: Params) -> int:
    """Bring MLflow up to date with the files under `store.root`; returns how many runs are new or newly completed."""
    lock = graph.recorded(store.project.lock)
    training: dict[str, str | None] = {}
    made = 0
    for model in ("teacher", *params.students):
        training[model], is_new = _training(store, model, params, lock)
        made += is_new
    return made + (_comparison(store, training, lock) if comparison.exists(store.root) else 0)


def _training(store: Store, model: str, params: Params, lock: dict) -> tuple[str | None, bool]:
    """The run id of a model's training, and whether it was incomplete; (None, False) where it was not trained here."""
    folder = store.project.model(model)
    if not (folder / "metrics.json").is_file() or not (folder / "curve.jsonl").is_file():
        return None, False
    metrics = read_metrics(folder, f"dvc repro {graph.stage_of(model)}")
    if "fingerprint" not in metrics:
        return None, False
    tags: dict[str, str | None] = {"model": model, **origin(store.root)}
    settings, corpus = _trained_with(model, params, lock)
    run = store.run("training", metrics["fingerprint"], f"train {model}", tags, settings)
    run_id = run.info.run_id
    is_complete = run.info.status == "FINISHED"
    if not is_complete:
        rows = read_curve(folder, f"dvc repro {graph.stage_of(model)}")
        store.log_curve(run_id, rows, store.logged_steps(run))
        store.log_curve(run_id, [final_figures(metrics)])
    if "dvc.stage" not in run.data.tags:  # a live run ends before DVC has its hashes
        _set_tags(store, run_id, _dvc_tags(lock, graph.stage_of(model)))
        datasets = _datasets(store.project.corpus(corpus), store.root)
        _log_inputs(store, run_id, {split: datasets[split] for split in ("train", "dev") if split in datasets})
    if not is_complete:
        store.client.set_terminated(run_id, "FINISHED")
    return run_id, not is_complete


def _trained_with(model: str, params: Params, lock: dict) -> tuple[dict, str]:
    """The settings of a model's training and its corpus's name as DVC recorded them, since params.yaml may be another now.

    Where DVC has no record of it, params.yaml decides; settings of a record that this Bigfoot can't read are {}.
    """
    recorded = lock.get(graph.stage_of(model), {}).get("params", {}).get(Project().params.name)
    if recorded is None:
        settings = params.teacher if model == "teacher" else params.students[model]
        return settings.model_dump(mode="json", by_alias=True), params.corpus.name
    kind, key = (Teacher, "teacher") if model == "teacher" else (Student, f"students.{model}")
    known = {}
    with suppress(ValidationError):
        known = kind.model_validate(recorded[key]).model_dump(mode="json", by_alias=True)
    return known, recorded["corpus.name"]


def comparison_key(project: Project) -> str:
    """The key of the parent run of reports/comparison.json; its variants' runs have KEY/VARIANT."""
    return sha256(project.comparison)[:16]


def changed_since(project: Project, compared: comparison.Comparison) -> str | None:
    """Which file is not the one that was compared, so that the comparison's figures are not its own; None where all are."""
    headline = comparison.read_headline(project.reports / "metrics.json")
    if timings.read(project.timings).measured_at != headline["timed_at"]:
        return f"{project.timings} is newer than the last comparison: `dvc repro` makes another"
    corpus = project.corpus(compared.corpus)
    splits = read_info(corpus)["splits"]
    for split in scored_splits(splits):
        if headline.get(f"set_{split}", splits[split]["digest"]) != splits[split]["digest"]:  # an older Bigfoot kept none
            return f"{split} in {corpus} was changed after the last comparison: `dvc repro` makes another"
    for row in compared.rows:
        folder = project.variant(row.variant)
        slug = Variant(model=row.model, scheme=row.scheme).slug
        if row.files != seal.mark(seal.read_info(folder, f"dvc repro quantize@{slug}")):
            return f"{folder} was changed after the last comparison: `dvc repro` makes another"
    return None


def _comparison(store: Store, training: dict, lock: dict) -> int:
    """The parent run of reports/comparison.json and its children; returns how many were incomplete."""
    compared, run = comparison.read(store.root), timings.read(store.project.timings)
    settings, report = compared.params, store.project.reports
    key = comparison_key(store.project)
    known = store.find("comparison", key)
    if known and known.info.status == "FINISHED" and _is_whole(store, known, compared.rows):
        return 0
    if changed := changed_since(store.project, compared):
        raise BigfootError(changed)
    tags = {
        **origin(store.root), "profile": settings["profile"], "corpus": compared.corpus,
        "champion": compared.champion.variant if compared.champion else "none",
        "untrained": "yes" if comparison.untrained(compared.rows) else "no",
        "synthetic": "yes" if settings["corpus"]["source"]["kind"] == "synthetic" else "no",
        "host": run.host["name"], "timed at": run.measured_at, NOTE: _about(compared),
    }  # fmt: skip
    datasets = _datasets(store.project.corpus(compared.corpus), store.root)
    parent = store.run("comparison", key, f"compare {settings['profile']}", tags, settings).info.run_id
    made = 1
    for row in compared.rows:
        is_the_compared = row.model_files in (None, comparison.model_mark(store.project.model(row.model)))
        trained_in = training.get(row.model) if is_the_compared else None
        made += _variant(store, row, parent, key, {**tags, "training": trained_in}, datasets, lock)
    _log_metrics(store, parent, comparison.read_headline(report / "metrics.json"), _of_whom)
    _log_inputs(store, parent, datasets)
    store.client.log_artifacts(parent, str(report), report.name)
    store.client.set_terminated(parent, "FINISHED")
    return made


def _is_whole(store: Store, parent: "Run", rows: Sequence[Row]) -> bool:
    """Whether a finished comparison's reports, children and their models are all in MLflow: a person may have deleted some."""
    below = f"tags.`{PARENT}` = '{parent.info.run_id}'"
    children = store.client.search_runs([store.experiment_id], below, max_results=1000)
    there = {run.data.tags["variant"] for run in children if model_of(store, run)}
    reports = store.client.list_artifacts(parent.info.run_id, store.project.reports.name)
    return bool(reports) and {row.variant for row in rows} <= there


def model_of(store: Store, run: "Run") -> str | None:
    """The id of the LoggedModel of a variant's run; None where it has none, or it was deleted."""
    from mlflow.exceptions import MlflowException

    for output in run.outputs.model_outputs if run.outputs else []:
        try:
            return str(store.client.get_logged_model(output.model_id).model_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return None


def _about(compared: comparison.Comparison) -> str:
    """The description of a comparison."""
    teacher, champion, rate = compared.rows[0], compared.champion, compared.rows[0].objective
    if comparison.untrained(compared.rows):
        return "UNTRAINED models: size and speed are measured, errors would mean nothing."
    if champion is None:
        return f"No champion: {no_champion(compared.rows)}."
    than = f"{gains(champion['speedup'], champion['shrink'])} than"
    return (
        f"Champion {champion.variant}: {than} {teacher.variant}, {rate.upper()} {percent(champion[rate])}% against "
        f"{percent(teacher[rate])}%. The report with its page is under Artifacts, in reports/."
    )


def _variant(store: Store, row: Row, parent: str, parent_key: str, shared: Mapping, datasets: dict, lock: dict) -> int:
    """Log a row as a child run, with its figures, their datasets and the variant as a LoggedModel; 1 where the run is new."""
    from mlflow.entities import LoggedModelOutput

    slug = Variant(model=row.model, scheme=row.scheme).slug
    tags = {key: getattr(row, key) for key in WHO}
    inherited = ("mlflow.source.git.commit", "git.edited", "host", "prefect.flow_run", "profile", "corpus", "training")
    tags |= {"untrained": shared["untrained"], "device": row.device, "not timed": row.not_timed}
    tags |= {key: shared[key] for key in inherited}
    tags |= {
        "gate": row.gate.word,
        "gate.reason": row.gate.reason,
        NOTE: f"{standing(row)}: {row.gate.reason}{MODELED if _is_modeled(row) else ''}",
    }
    tags |= {"champion": "yes" if row.champion else "no", PARENT: parent}
    tags |= _dvc_tags(lock, f"evaluate@{slug}", f"quantize@{slug}")
    params = {key: getattr(row, key) for key in ("model", "scheme", "runtime")}  # MLflow's compare page groups by params
    run = store.run("variant", f"{parent_key}/{row.variant}", row.variant, tags, params)
    run_id, known = run.info.run_id, model_of(store, run)
    if run.data.tags.get(PARENT) != parent:  # its comparison's run was deleted, and is a new one now
        _set_tags(store, run_id, {PARENT: parent})
    if run.info.status == "FINISHED" and known:
        return 0
    model_id = known or _logged_model(store, slug, row, run_id)
    if not known:
        store.client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
    _log_metrics(store, run_id, row.figures, figures.logged_as, model_id, datasets)
    _log_inputs(store, run_id, {split: datasets[split] for split in scored_splits(datasets)})
    store.client.set_terminated(run_id, "FINISHED")
    return 1


def _is_modeled(row: Row) -> bool:
    """Whether a figure of power has a range."""
    return any(row[f"{figure.name}_low"] is not None for figure in figures.FIGURES if figure.power)


def _logged_model(store: Store, slug: str, row: Row, run_id: str) -> str:
    """The id of the LoggedModel of a variant's folder; it is logged unless a run has logged the same bytes before."""
    from mlflow.entities import LoggedModelStatus

    folder = store.project.variant(row.variant)
    key = _folder_hash(folder)
    known = list(store.client.search_logged_models([store.experiment_id], f"tags.`{KEY}` = '{key}'"))
    if ready := [model for model in known if model.status == LoggedModelStatus.READY]:
        return ready[0].model_id
    tags = {KEY: key, **{name: getattr(row, name) for name in WHO}}
    # One that is there and not ready had its upload interrupted, and gets its files again.
    made = known[0] if known else store.client.create_logged_model(store.experiment_id, slug, run_id, tags, {}, "wav2vec2-ctc")
    with tempfile.TemporaryDirectory(prefix="bigfoot-") as scratch:
        package.save(folder, row.runtime, Path(scratch) / "model")
        store.client.log_model_artifacts(made.model_id, f"{scratch}/model")
    store.client.finalize_logged_model(made.model_id, "READY")
    return made.model_id


# ---------------------------------------------------------------- pieces


def _datasets(corpus: Path, root: Path) -> "dict[str, Dataset]":
    """{split: mlflow Dataset}; its digest is that of the split's texts and audio. {} where the corpus isn't here."""
    from mlflow.entities import Dataset

    if not (corpus / "corpus.json").is_file():
        return {}
    info = read_info(corpus)
    datasets = {}
    for split, size in info["splits"].items():
        source = json.dumps({"uri": str(split_folder(corpus, split).relative_to(root))})
        about = {**size, "license": info["license"], "synthetic": info["synthetic"]}
        datasets[split] = Dataset(f"{info['name']}-{split}", size["digest"][:16], "local", source, profile=json.dumps(about))
    return datasets


def _log_inputs(store: Store, run_id: str, datasets: dict) -> None:
    from mlflow.entities import DatasetInput, InputTag

    inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", split)]) for split, dataset in datasets.items()]
    if inputs:
        store.client.log_inputs(run_id, inputs)


def _log_metrics(
    store: Store,
    run_id: str,
    values: Mapping,
    named: Callable[[str], str],
    model_id: str | None = None,
    datasets: Mapping | None = None,
) -> None:
    """Log those of `values` that are numbers, as they are `named`. Figures of a model are linked to it and to their dataset."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics: list[Metric] = []
    for name, value in values.items():
        if is_number(value):
            dataset = _dataset_of(name, datasets or {})
            linked = {"dataset_name": dataset.name, "dataset_digest": dataset.digest} if dataset else {}
            metrics.append(Metric(named(name), float(value), now, 0, model_id=model_id, **linked))
    store.client.log_batch(run_id, metrics=metrics)


def _of_whom(key: str) -> str:
    """champion_wer -> champion/wer: MLflow groups charts by what stands before a slash."""
    whose, _, name = key.partition("_")
    return f"{whose}/{name}" if whose in ("champion", "teacher") else key


def _dataset_of(key: str, datasets: "Mapping[str, Dataset]") -> "Dataset | None":
    """The dataset that a figure was measured on, by its key; None where a figure has none."""
    first = next(iter(test_sets(datasets)), "")
    split = figures.split_of(key, first)
    return datasets.get(split) if split else None


def _set_tags(store: Store, run_id: str, tags: Mapping) -> None:
    from mlflow.entities import RunTag

    store.client.log_batch(run_id, tags=[RunTag(key, str(value)) for key, value in tags.items()])


def _hashes(lock: dict, stage: str, part: str) -> dict[str, str]:
    """{path: md5} of a stage's deps or outs."""
    return {entry["path"]: entry["md5"] for entry in lock.get(stage, {}).get(part, []) if "md5" in entry}


def _dvc_tags(lock: dict, *stages: str) -> dict[str, str]:
    """dvc.stage: the first of `stages`; dvc.deps: {path: md5} of all their deps, as JSON."""
    deps = {path: md5 for stage in stages for path, md5 in _hashes(lock, stage, "deps").items()}
    return {"dvc.stage": stages[0], "dvc.deps": json.dumps(deps, sort_keys=True)} if deps else {}


def _folder_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:32]
