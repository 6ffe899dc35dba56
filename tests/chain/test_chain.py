"""The real chain, `dvc repro` from nothing to the comparison, on a minute of synthetic speech and a tiny model.

What it learns is nothing; what is held here is that every stage finds what the one before it left, that a second run has
nothing to do, that a changed student re-runs that student alone, and that MLflow shows all of it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.recognition import gpu
from tests.chain.conftest import OPENED, VARIANTS, run_dvc
from tests.planted import bigfoot


def test_every_variant_is_compared_with_the_same_keys(project):
    rows = json.loads((project / "reports/comparison.json").read_text())
    assert [row["variant"] for row in rows][0] == "teacher.fp32" and {row["variant"] for row in rows} == set(VARIANTS)
    assert len({tuple(sorted(row)) for row in rows}) == 1
    for row in rows:
        if row["not_timed"]:
            continue
        assert row["disk_mb"] > 0 and row["latency_p50_ms"] > 0 and row["ram_mb"] > 0 and row["wer"] >= 0
        assert row["train_hours"] > 0 and row["cold_start_ms"] > 0 and row["load_ms"] > 0 and row["macs_per_second"] > 0
        assert row["energy_wh_per_audio_hour"] if row["energy_resolved"] else row["energy_note"].startswith("not resolved")
    assert rows[0]["speedup"] == 1 and rows[0]["shrink"] == 1 and rows[0]["wer_rise"] == 0
    report = (project / "reports/comparison.md").read_text()
    assert "SYNTHETIC" in report


@pytest.mark.skipif(gpu.name() is not None, reason="here it is timed")
def test_a_variant_for_a_gpu_is_compared_without_a_time_and_every_form_says_why(project):
    name, why = "half.fp16-onnx-cuda", "not timed: no NVIDIA GPU on this machine"
    assert list(json.loads((project / "timings.json").read_text())["skipped"]) == [name]
    (row,) = (row for row in json.loads((project / "reports/comparison.json").read_text()) if row["variant"] == name)
    assert row["wer"] is not None and row["disk_mb"] > 0 and row["speedup"] is row["latency_p50_ms"] is None
    assert row["gate"]["passed"] is False and why in row["gate"]["reason"]
    for file in ("comparison.md", "table.txt", "index.html", f"cards/{name}.md"):
        assert f"{name}: {why}" in " ".join((project / "reports" / file).read_text().split()), file
    judged = bigfoot("gate", name, cwd=project)
    assert judged.returncode == 1 and why in " ".join(judged.stdout.split())
    assert f"{name.partition('.')[2]}: won't be timed here, no NVIDIA GPU" in bigfoot("check", cwd=project).stdout


def test_a_second_repro_has_nothing_to_do(project):
    assert "up to date" in run_dvc(project, "repro")


def test_a_stage_opens_no_output_of_another_that_it_does_not_declare(project):
    stages = YAML(typ="safe").load(project / "dvc.lock")["stages"]
    outs = {out["path"] for stage in stages.values() for out in stage["outs"]}
    undeclared, readers = set(), set()
    for line in (project / OPENED).read_text().splitlines():
        stage, path = line.split(" ", 1)
        places = {path, *map(str, Path(path).parents)}
        if places & outs:
            readers.add(stage)
        if places & outs and not places & {entry["path"] for entry in stages[stage]["deps"] + stages[stage]["outs"]}:
            undeclared.add(f"{stage}: {path}")
    assert readers == set(stages) - {"prepare"} and not undeclared, sorted(undeclared)


def test_an_export_has_the_card_of_the_comparison(project):
    files = {path.relative_to(project / "exports").as_posix() for path in (project / "exports").rglob("*")}
    assert {"teacher.int8-onnx/onnx/onnx/model_quantized.onnx", "teacher.int8-onnx/onnx/tokens.txt"} <= files
    card = (project / "exports/teacher.int8-onnx/onnx/README.md").read_text()
    assert "## Metrics" in card and "sherpa_onnx" in card and "bigfoot transcribe" not in card


def test_dvc_shows_metrics_and_plots(project):
    shown = json.loads(run_dvc(project, "metrics", "show", "--json"))
    assert shown[""]["data"]["reports/metrics.json"]["data"]["teacher_wer"] is not None
    plots = json.loads(run_dvc(project, "plots", "show", "--json", "-o", str(project / "plots")))
    assert not plots.get("errors") and any("Errors against size" in name for name in plots["data"])


def test_a_comparison_says_how_long_its_evaluations_and_its_benchmark_took_and_a_score_does_not(project):
    rows = json.loads((project / "reports/comparison.json").read_text())
    assert all(row["evaluate_seconds"] > 0.1 and row["benchmark_seconds"] > 1 for row in rows)
    assert len({row["benchmark_seconds"] for row in rows}) == 1 < len({row["evaluate_seconds"] for row in rows})
    score, taken = (project / folder / "teacher.int8-onnx.json" for folder in ("scores", "durations"))
    before = score.read_bytes()
    (project / ".bigfoot/evaluate/teacher.int8-onnx").mkdir(parents=True)  # as a killed evaluation leaves it
    run_dvc(project, "repro", "--single-item", "--force", "evaluate@teacher-int8-onnx")
    assert score.read_bytes() == before
    assert json.loads(taken.read_text()) == {"seconds": None}
    run_dvc(project, "repro")


def test_mlflow_has_a_run_a_variant_and_models_that_transcribe(project):
    script = (
        "import mlflow, json; mlflow.set_tracking_uri('sqlite:///mlflow.db');"
        "runs = mlflow.search_runs(experiment_names=['bigfoot'], output_format='list');"
        "experiment = mlflow.get_experiment_by_name('bigfoot').experiment_id;"
        "models = mlflow.search_logged_models([experiment], output_format='list');"
        "print(json.dumps([sorted(r.data.tags.get('variant') or '' for r in runs), len(models)]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=True)
    variants, models = json.loads(done.stdout.strip().splitlines()[-1])
    assert set(VARIANTS) <= set(variants) and models >= len(VARIANTS)


def test_the_flow_finds_everything_up_to_date_and_shows_the_comparison(project, monkeypatch):
    from prefect.artifacts import Artifact
    from prefect.testing.utilities import prefect_test_harness

    from flows.shrink import shrink

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlflow.db")
    with prefect_test_harness(server_startup_timeout=120):
        state = shrink(project=str(project), return_state=True)
        assert state.is_completed() and state.message.startswith("0 stages run"), state.message
        table = json.loads(Artifact.get("comparison-quickstart").data)
        assert {row["Variant"] for row in table} == set(VARIANTS) and all(row["WER % [95%]"] and row["Gate"] for row in table)
        assert Artifact.get("report-quickstart").data.startswith("# Comparison")


def test_a_changed_student_reruns_itself_and_what_follows(project):
    """Last, because it changes the project: the teacher's stages stay as they are."""
    yaml = YAML(typ="safe")
    chosen = yaml.load(project / "params.yaml")
    chosen["students"]["half"]["training"]["steps"] = 4
    yaml.dump(chosen, project / "params.yaml")
    stale = json.loads(run_dvc(project, "status", "--json"))
    assert "student@half" in stale
    assert not {"prepare", "teacher", "teacher_logits"} & set(stale)
