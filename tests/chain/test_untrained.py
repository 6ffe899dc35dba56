"""An UNTRAINED profile through the real stages: size and speed are measured, and no word error of it is shown anywhere."""

import json
import re

import pytest
from ruamel.yaml import YAML

from pipeline.models.folder import load_model
from pipeline.stages import benchmark, compare, evaluate, prepare, quantize, student, teacher, teacher_logits
from tests.planted import ROOT, bigfoot

VARIANTS = ["teacher.fp32", "teacher.peer-onnx-optimum-matmul", "small.int8-onnx"]
SMALL = {
    "conv_dim": [16] * 7, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Profile paper_scale with tiny shapes and few variants, run to its end."""
    pytest.importorskip("espeakng_loader")
    folder, yaml = tmp_path_factory.mktemp("project"), YAML(typ="safe")
    chosen = yaml.load(ROOT / "profiles/paper_scale.yaml")
    chosen["corpus"]["source"] |= {"words": [12, 12]}
    chosen["teacher"]["config"] |= SMALL
    half = {"from": "teacher", "layers": [1, 3], "importance": "weights", "training": None}
    small = {"from": "half", "hidden": 16, "conv_channels": 8, "conv_merge": [2, 2, 2, 1], "training": None}
    chosen["students"] = {"half": half, "small": small}
    split = [name.split(".") for name in VARIANTS]
    chosen["schemes"] = {scheme: {} for _, scheme in split}
    chosen["variants"] = {f"{model}-{scheme}": {"model": model, "scheme": scheme} for model, scheme in split}
    chosen["benchmark"] |= {"restarts": 2, "rounds": 2, "max_rounds": 2, "energy_seconds": 0}
    yaml.dump(chosen, folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        prepare.main()
        teacher.main()
        teacher_logits.main()
        for name in chosen["students"]:
            student.main(name)
        for stage in (quantize, evaluate):
            for slug in chosen["variants"]:
                stage.main(slug)
        benchmark.main()
        compare.main()
    return folder


def rows(project) -> list[dict]:
    return json.loads((project / "reports/comparison.json").read_text())


def test_students_are_cut_and_learn_nothing_and_their_metrics_say_so(project):
    metrics = {name: json.loads((project / f"models/{name}/metrics.json").read_text()) for name in ("teacher", "half", "small")}
    assert [one["trained"] for one in metrics.values()] == [False] * 3 and {one["dev_wer"] for one in metrics.values()} == {
        None
    }
    whole, half = (load_model(project / f"models/{name}")[0].state_dict() for name in ("teacher", "half"))
    layer = "wav2vec2.encoder.layers.{}.attention.k_proj.weight"
    assert half[layer.format(0)].equal(whole[layer.format(1)]) and half[layer.format(1)].equal(whole[layer.format(3)])


def test_size_and_speed_are_measured_and_all_that_rests_on_words_is_null(project):
    found = {row["variant"]: row for row in rows(project)}
    assert set(found) == set(VARIANTS)
    for row in found.values():
        assert row["disk_mb"] > 0 and row["latency_p50_ms"] > 0 and row["ram_mb"] > 0 and row["trained"] is False
        words = [key for key in row if re.search("wer|cer|tions$", key)]
        assert len(words) > 20 and not [key for key in words if row[key] is not None]
        unjudged = {"passed": None, "reason": "untrained", "undecided": False, "times_over": None}
        assert row["gate"] == unjudged and row["champion"] is False
    assert found["small.int8-onnx"]["shrink"] > 1 and found["teacher.peer-onnx-optimum-matmul"]["kind"] == "peer"
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert not [key for key, value in metrics.items() if "wer" in key and value is not None] and metrics["teacher_disk_mb"] > 0


@pytest.mark.parametrize("name", ["comparison.md", "table.txt", "index.html", *(f"cards/{name}.md" for name in VARIANTS)])
def test_untrained_is_said_first_and_no_word_error_is_shown(project, name):
    text = (project / "reports" / name).read_text()
    body = re.sub(r"(?s)\A---.*?---\s*|<(style|script)>.*?</\1>|\A.*?(?=<h1>)", "", text).strip()
    first = body.split("\n\n")[1] if name.startswith("cards/") else body.splitlines()[0]
    assert "UNTRAINED" in first
    figures = re.sub(r"(?s)```.*?```", "", text)  # settings and programs, on cards
    assert not re.search(r"WER|CER \d|champion of|passes the gate", figures), "nothing of a WER"
    if name.startswith("cards/"):
        assert "model-index" not in text and "- untrained" in text


def test_there_are_no_plots_of_errors_and_none_of_the_worst_utterances(project):
    assert not (project / "reports/pareto.svg").exists() and "<svg" not in (project / "reports/index.html").read_text()
    assert json.loads((project / "reports/worst.json").read_text()) == []
    assert json.loads((project / "reports/breakdown.json").read_text()) == {}


def test_mlflow_marks_the_runs_and_has_no_figure_of_words(project):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("bigfoot").experiment_id])
    assert len(runs) == 1 + len(VARIANTS)
    for run in runs:
        assert run.data.tags["untrained"] == "yes" and run.data.tags.get("gate", "untrained") == "untrained"
        assert not [name for name in run.data.metrics if "wer" in name or "cer" in name] and run.data.metrics


def test_nothing_of_it_passes_the_gate(project):
    done = bigfoot("gate", cwd=project)
    assert done.returncode == 1 and done.stdout.count("untrained") == 2 * len(VARIANTS), done.stdout + done.stderr
