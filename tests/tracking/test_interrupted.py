"""Whatever befalls MLflow's store (killed, locked, broken, moved): files hold everything, and `bigfoot track` catches up."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from pipeline.apps.transcription.variant import opened
from pipeline.common.errors import Busy
from pipeline.params import Tracking
from pipeline.project import Project
from pipeline.tracking import sync
from pipeline.tracking.history import history
from pipeline.tracking.store import Store
from tests.chain.test_full import as_others
from tests.docs import services
from tests.planted import ROOT, bigfoot
from tests.tracking.test_sync import compared, empty_database, models, own_store, project, runs  # noqa: F401

CHAMPION = "models:/bigfoot-quickstart@champion"
HALF_MADE = "CREATE TABLE _alembic_tmp_experiments (name TEXT)"


def execute(database: Path, command: str) -> None:
    connection = sqlite3.connect(database)
    connection.execute(command)
    connection.commit()
    connection.close()


@pytest.mark.shows("killed", "what makes `mlflow.db`", "the next start makes it")
def test_a_kill_while_the_database_is_made_leaves_none_that_is_half_made(tmp_path):
    code = f"from pathlib import Path; from pipeline.tracking.store import Store; Store('bigfoot', Path({str(tmp_path)!r}))"
    making = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)})
    while not (tmp_path / "mlflow.db.part").exists():
        assert making.poll() is None
        time.sleep(0.01)
    making.kill()
    making.wait()
    assert not (tmp_path / "mlflow.db").exists()
    execute(tmp_path / "mlflow.db.part", HALF_MADE)  # as a kill at the worst moment leaves it
    assert Store("bigfoot", tmp_path).find("training", "none") is None
    assert [path.name for path in tmp_path.glob("mlflow.db*")] == ["mlflow.db"]


@pytest.mark.shows("full", "`mlflow.db` is broken", "one line; `bigfoot track --rebuild` makes it anew")
def test_a_broken_database_is_named_with_the_command_that_makes_it_anew(compared, caplog):  # noqa: F811
    params, folder = compared
    (folder / "mlflow.db").unlink()
    execute(folder / "mlflow.db", HALF_MADE)
    assert sync.sync(params, folder) is False
    assert "mlflow.db can't be used" in caplog.text and "`bigfoot track --rebuild` makes it anew" in caplog.text
    done = bigfoot("track", "--rebuild", cwd=folder)
    assert done.returncode == 0 and "5 new runs" in done.stderr and "the former database" in done.stderr
    assert len(runs(folder)) == 5 and len(list(folder.glob("mlflow.db.20*"))) == 1


def test_a_database_that_a_server_has_open_is_not_rebuilt(compared):  # noqa: F811
    params, folder = compared
    assert sync.sync(params, folder)
    code = f"import time; file = open({str(folder / 'mlflow.db')!r}); print('open', flush=True); time.sleep(60)"
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"open\n"
    done = bigfoot("track", "--rebuild", cwd=folder)
    server.kill()
    assert done.returncode == 1 and ": stop that first" in done.stderr
    assert f"(process {server.pid})" in done.stderr  # this process may have the file open too, until garbage is collected
    assert not list(folder.glob("mlflow.db.20*"))


def test_a_server_is_not_rebuilt(compared, monkeypatch):  # noqa: F811
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    done = bigfoot("track", "--rebuild", cwd=compared[1])
    assert done.returncode == 1 and done.stderr.startswith("error: --rebuild is for a project's own database")


@pytest.mark.shows("full", "another process holds `mlflow.db`", "one line; `bigfoot track` catches up")
def test_a_database_that_another_process_holds_costs_one_line(compared, caplog):  # noqa: F811
    params, folder = compared
    held = sqlite3.connect(folder / "mlflow.db", isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    assert sync.sync(params, folder) is False
    (line,) = caplog.messages
    expected = f"another process holds {folder}/mlflow.db: wait for it, or stop it: `bigfoot track` catches up"
    assert line == f"warning: not in MLflow yet, {expected}"
    with pytest.raises(Busy, match="another process holds"):
        history(folder, params)
    held.execute("ROLLBACK")
    assert sync.sync(params, folder) and len(runs(folder)) == 5


@pytest.mark.shows("full", "the project is moved, or copied", "its models are found again")
@pytest.mark.parametrize("experiment", ["bigfoot", "/a team/asr"])
@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_a_project_that_was_moved_or_copied_finds_its_models_again(compared, tmp_path_factory, how, experiment):  # noqa: F811
    params, folder = compared
    params = params.model_copy(update={"tracking": Tracking(experiment=experiment)})
    assert sync.sync(params, folder)
    other = tmp_path_factory.mktemp("elsewhere") / "ein_anderer Ort%"
    how(folder, other)
    with opened(CHAMPION, Project(other)) as variant:
        assert (variant / "variant.json").read_bytes() == (other / "variants/half.int8-openvino/variant.json").read_bytes()
    assert sync.sync(params, other)
    logged = runs(other, experiment=experiment)
    assert len(logged) == 5 and len(models(other, experiment)) == 2
    content = (other / "mlflow.db").read_bytes()
    assert str(folder).encode() not in content.replace(f"{folder}/mlruns".encode(), b"")  # MLflow's own, which nothing is in
    for run in logged:
        assert Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(Path(other.as_uri().removeprefix("file://")))


def test_another_experiment_that_keeps_its_files_in_a_folder_of_that_name_keeps_them(compared, tmp_path):  # noqa: F811
    params, folder = compared
    client, elsewhere = Store("bigfoot", folder).client, tmp_path / "other/mlartifacts/mine"
    mine = client.create_run(client.create_experiment("mine", artifact_location=elsewhere.as_uri())).info.run_id
    client.log_text(mine, "kept", "note.txt")
    assert [file.path for file in Store("bigfoot", folder).client.list_artifacts(mine)] == ["note.txt"]


def test_a_project_that_was_moved_to_where_nothing_can_be_written_is_one_line(compared, tmp_path):  # noqa: F811
    params, folder = compared
    assert sync.sync(params, folder)
    other = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    (other / "mlflow.db").chmod(0o444)
    command = [sys.executable, "-m", "pipeline.cli", "transcribe", CHAMPION, "a.wav"]
    done = subprocess.run(
        command, cwd=other, capture_output=True, text=True, preexec_fn=as_others, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "mlflow.db has paths that lead elsewhere, and can't be written" in done.stderr


def test_track_that_can_not_log_ends_with_status_1(compared, monkeypatch):  # noqa: F811
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    done = bigfoot("track", cwd=compared[1])
    assert done.returncode == 1 and done.stderr.startswith("warning: not in MLflow yet") and done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.shows("killed", "`bigfoot track`", "each run and model is in MLflow once")
def test_track_that_is_killed_at_random_logs_everything_once_in_the_end(compared, record_property):  # noqa: F811
    _, folder = compared
    moments, hits = random.Random(21), 0
    for _ in range(10):
        track = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "track"], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            track.wait(moments.uniform(3, 20))
        except subprocess.TimeoutExpired:
            track.kill()
            hits += 1
        track.wait()
    record_property("tried", hits)
    done = bigfoot("track", cwd=folder)
    assert done.returncode == 0 and "not in MLflow yet" not in done.stderr
    assert len(runs(folder)) == 5 and {run.info.status for run in runs(folder)} == {"FINISHED"}
    assert len([model for model in models(folder) if model.status == "READY"]) == 2


@pytest.mark.slow
@pytest.mark.shows(
    "killed", "MLflow's server during `bigfoot track`, signals 9 and 15", "one warning; the next one completes it"
)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_is_killed_while_track_sends_costs_one_warning_and_nothing_is_lost(
    compared,  # noqa: F811
    tmp_path_factory,
    monkeypatch,
    caplog,
    how,
):
    params, folder = compared
    kept, port = tmp_path_factory.mktemp("server"), services.free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    with server(kept, port) as group:
        track = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "track"], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        store = Store("bigfoot", folder)
        while not store.client.search_runs([store.experiment_id]):
            assert track.poll() is None
        os.killpg(group, how)
        _, errors = track.communicate(timeout=300)
        assert track.returncode == 1 and len(errors.splitlines()) == 1
        assert errors.startswith("warning: not in MLflow yet") and "`bigfoot track` catches up" in errors
    with server(kept, port):
        assert sync.sync(params, folder), caplog.text
        assert len(runs(folder)) == 5 and {run.info.status for run in runs(folder)} == {"FINISHED"}
        assert len([model for model in models(folder) if model.status == "READY"]) == 2


def server(kept: Path, port: int):
    """A real server that keeps all in a folder."""
    store = ["--backend-store-uri", f"sqlite:///{kept}/server.db", "--artifacts-destination", str(kept / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *store]
    is_up = lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).status == 200  # noqa: E731
    return services.process(command, kept / "log", is_up)
