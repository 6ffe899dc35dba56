"""docs/mlflow.md's server, for real: MLflow on PostgreSQL and S3, a comparison logged there, and a model that comes back."""

import json
import os
import subprocess
import sys
import urllib.request

import pytest

from tests import planted, tiny
from tests.docs import pages, services, shell
from tests.planted import FIGURES, bigfoot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
VARIANTS = {"teacher.fp32": FIGURES["teacher.fp32"], "teacher.fp32-onnx": FIGURES["teacher.int8-onnx"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of `mlflow server` as the page starts it, and of the S3 behind it."""
    folder = tmp_path_factory.mktemp("server") / "clone"
    folder.mkdir()
    with services.s3(folder) as s3, services.postgresql("mlflow") as database:
        services.client(s3).create_bucket(Bucket="mlflow")
        port = services.free_port()
        variables = services.KEYS | {"MLFLOW_S3_ENDPOINT_URL": s3, "DATABASE": database, "PORT": str(port)}
        environment = shell.environment(folder) | variables
        address = f"http://127.0.0.1:{port}"
        command = ["bash", "-c", pages.story("docs/mlflow.md", "server")]
        is_up = lambda: urllib.request.urlopen(f"{address}/health", timeout=2).status == 200  # noqa: E731
        with services.process(command, folder / "mlflow.log", is_up, cwd=folder, env=environment):
            yield address, s3


@pytest.fixture
def project(tmp_path, server, monkeypatch):
    """A comparison on disk, one of whose variants is a real one, and a machine without any S3 key."""
    from pipeline.compare.run import compare

    params = planted.plant(tmp_path, VARIANTS)
    model = tiny.save_model(tmp_path / "tiny/teacher")
    planted.plant_variant(tmp_path, "teacher.fp32-onnx", model)
    compare(params, tmp_path, tmp_path / "reports")
    for name in [*services.KEYS, "MLFLOW_S3_ENDPOINT_URL"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server[0])
    return tmp_path


def test_a_comparison_lives_in_postgresql_and_s3_and_a_model_comes_back(project, server):
    from mlflow import MlflowClient

    from pipeline.recognition.recognizer import Recognizer
    from pipeline.speech import audio

    attempts = [bigfoot("track", cwd=project) for _ in range(2)]
    assert [done.returncode for done in attempts] == [0, 0]
    assert "new runs" in attempts[0].stderr and "up to date" in attempts[1].stderr

    client = MlflowClient(server[0])
    experiment = client.get_experiment_by_name("bigfoot")
    kinds = [run.data.tags["bigfoot.kind"] for run in client.search_runs([experiment.experiment_id])]
    assert sorted(kinds) == ["comparison", "training", "variant", "variant"]
    models = {model.name: model for model in client.search_logged_models([experiment.experiment_id])}
    assert set(models) == {"teacher-fp32", "teacher-fp32-onnx"}

    held = services.client(server[1]).list_objects_v2(Bucket="mlflow", Prefix="artifacts/")["Contents"]
    names = [entry["Key"].rpartition("/")[2] for entry in held]
    assert "index.html" in names and names.count("MLmodel") == 2 and "model.onnx" in names
    assert not (project / "mlflow.db").exists() and not (project / "mlartifacts").exists()

    audio.write(project / "a.wav", tiny.speech(1.5))
    text = _in_a_process(project, models["teacher-fp32-onnx"].model_id)
    variant = Recognizer.load(project / "variants/teacher.fp32-onnx")
    assert text == variant.transcribe(audio.read(project / "a.wav"))


def _in_a_process(project, model_id: str) -> str:
    """The logged model's text of a recording, loaded where only the server's address is known."""
    program = (
        "import json, pathlib, mlflow, pandas\n"
        "recordings = pandas.DataFrame({'audio': [pathlib.Path('a.wav').read_bytes()]})\n"
        f"print(json.dumps(mlflow.pyfunc.load_model('models:/{model_id}').predict(recordings)['text'][0]))"
    )
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_ui_of_a_projects_own_database_answers(tmp_path):
    port, script = services.free_port(), pages.story("docs/own-data.md", "ui")
    environment = shell.environment(tmp_path / "project") | {"MLFLOW_PORT": str(port)}
    is_up = lambda: b"<title>MLflow</title>" in urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=2).read()  # noqa: E731
    with services.process(["bash", "-c", script], tmp_path / "ui.log", is_up, cwd=tmp_path, env=environment):
        assert (tmp_path / "mlflow.db").is_file()


def test_a_server_that_is_down_costs_one_warning_and_nothing_is_lost(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{services.free_port()}")
    done = bigfoot("track", cwd=project)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "not in MLflow yet" in done.stderr and "catches up" in done.stderr
