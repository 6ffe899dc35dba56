"""MLflow shows what is in files: once, completely, and never at the price of a run."""

import json
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from filelock import Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

from pipeline.benchmark import consumption
from pipeline.common.errors import BigfootError, Busy
from pipeline.compare import figures
from pipeline.compare.run import compare
from pipeline.recognition import decoding
from pipeline.tracking import database, live, log, package, registry, store, sync
from pipeline.tracking.store import KIND, Store
from tests import tiny
from tests.docs import services
from tests.planted import FIGURES, ROOT, plant, plant_variant, write

TWO = {name: FIGURES[name] for name in ("teacher.fp32", "half.int8-openvino")}


@pytest.fixture(autouse=True)
def own_store(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # as none; and what MLflow sets is undone after the test
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "1")


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """An MLflow database without runs: making one takes seconds, copying it none."""
    folder = tmp_path_factory.mktemp("empty")
    Store("another", folder)
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path, empty_database):
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    return tmp_path


@pytest.fixture
def compared(project):
    """(params, folder) of a comparison on disk that MLflow knows nothing of."""
    params = plant(project, TWO)
    compare(params, project, project / "reports")
    return params, project


def runs(folder, kind=None, experiment="bigfoot"):
    store = Store(experiment, folder)
    everything = store.client.search_runs([store.experiment_id])
    return [run for run in everything if kind is None or run.data.tags[KIND] == kind]


def models(folder, experiment="bigfoot"):
    store = Store(experiment, folder)
    return list(store.client.search_logged_models([store.experiment_id]))


# ---------------------------------------------------------------- sync


def test_every_variant_is_a_child_run_with_the_same_keys(compared):
    params, folder = compared
    assert sync.sync(params, folder)
    (parent,) = runs(folder, "comparison")
    children = runs(folder, "variant")
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.run_name for run in children} == set(TWO)
    absent = {"rtfx_batched", "cnn_ms", "encoder_ms", "train_payback_hours"}  # planted as not measured: absent, never 0
    absent |= {"cer_rise_upper", "test_cer_rise_upper", figures.ASKED}  # words decide here; nothing was asked for
    absent |= {
        "shrink_over_int8",
        *(f"speedup_over_int8{end}" for end in ("", "_low", "_high")),
    }  # the teacher has no int8 variant
    absent |= {f"{figure.name}{end}" for figure in figures.FIGURES if figure.power for end in ("_low", "_high")}  # metered
    for run in children:
        assert set(run.data.metrics) == {figures.logged_as(key) for key in set(figures.keys()) - absent}
        groups = [key.partition("/")[0] for key in sorted(run.data.metrics)]
        assert groups[:5] == ["headline"] * 5 and groups[5] != "headline"  # MLflow's charts begin with these five
        assert {"variant", "model", "scheme", "runtime", "host", "training"} <= set(run.data.tags)
        assert run.info.status == "FINISHED"


def test_the_training_of_a_student_without_a_variant_is_logged_and_counted(project):
    plant(project, {**TWO, "thin.int8-openvino": FIGURES["thin.int8-openvino"]})  # trains half, which thin comes from
    params = plant(project, {name: FIGURES[name] for name in ("teacher.fp32", "thin.int8-openvino")})
    compare(params, project, project / "reports")
    assert "Together with its ancestors (teacher, half): 12 Wh" in (project / "reports/cards/thin.int8-openvino.md").read_text()
    assert sync.sync(params, project)
    assert {run.info.run_name for run in runs(project, "training")} == {"train teacher", "train half", "train thin"}


def test_a_library_that_is_not_installed_is_required_in_any_version():
    assert package._requirement("ctranslate2", {}) == "ctranslate2"


def test_energy_that_no_meter_measured_is_called_modeled_and_has_its_range(project):
    params = plant(project, TWO)
    timings = json.loads((project / "timings.json").read_text())
    for timing in timings["variants"].values():
        timing |= {"energy_mode": "cpu: cpu_load, ram: constant", "energy_note": consumption.MODELED}
    write(project / "timings.json", timings)
    trained = project / "models/half/metrics.json"
    write(trained, json.loads(trained.read_text()) | {"energy_mode": "cpu: cpu_load, ram: constant"})
    compare(params, project, project / "reports")
    assert sync.sync(params, project)
    for run in runs(project, "variant"):
        assert "modeled, not measured" in run.data.tags[store.NOTE]
        low, high = (run.data.metrics[f"power/energy_wh_per_audio_hour_{end}"] for end in ("low", "high"))
        assert low < run.data.metrics["power/energy_wh_per_audio_hour"] < high
    (comparison,) = runs(project, "comparison")
    assert not [name for name in comparison.data.metrics if "energy" in name] and "modeled" in store.ABOUT
    metrics = {run.info.run_name: run.data.metrics for run in runs(project, "training")}
    assert "training/train_energy_wh_low" in metrics["train half"] and "training/train_energy_wh" in metrics["train teacher"]
    assert "training/train_energy_wh_low" not in metrics["train teacher"], "a meter read the teacher's"


def test_logging_the_same_thing_twice_gives_one_run(compared):
    params, folder = compared
    sync.sync(params, folder)
    before = {run.info.run_id: len(run.data.metrics) for run in runs(folder)}
    sync.sync(params, folder)
    assert {run.info.run_id: len(run.data.metrics) for run in runs(folder)} == before
    assert len(models(folder)) == len(TWO)


@pytest.mark.skipif(not decoding.is_installed(), reason="needs the extra lm: make lm")
def test_a_decoding_is_in_the_names_of_its_run_and_model(project):
    params = plant(project, TWO | {"thin.int8-openvino+lm": (18, 0.6, 5.0)})
    compare(params, project, project / "reports")
    sync.sync(params, project)
    names = {run.info.run_name: run for run in runs(project, "variant")}
    assert names["thin.int8-openvino+lm"].data.params["scheme"] == "int8-openvino+lm"
    assert "thin-int8-openvino-lm" in {model.name for model in models(project)}
    assert "schemes.int8-openvino-lm.lm" in runs(project, "comparison")[0].data.params, "MLflow takes no + in a key"


def compare_again(params, folder: Path) -> None:
    """Another comparison, in which a variant takes longer."""
    timings = json.loads((folder / "timings.json").read_text())
    timings["variants"]["half.int8-openvino"]["latency_p50_ms"] += 1
    (folder / "timings.json").write_text(json.dumps(timings))
    compare(params, folder, folder / "reports")


def test_a_new_comparison_of_the_same_variants_logs_their_models_once(compared):
    params, folder = compared
    sync.sync(params, folder)
    compare_again(params, folder)
    sync.sync(params, folder)
    assert len(runs(folder, "comparison")) == 2 and len(runs(folder, "variant")) == 4
    assert len(models(folder)) == 2 and len(runs(folder, "training")) == 2


def test_what_a_kill_left_half_done_is_completed(compared, monkeypatch):

    params, folder = compared
    with monkeypatch.context() as broken:
        broken.setattr(log, "_log_metrics", lambda *_: 1 / 0)
        assert not sync.sync(params, folder)
    assert sync.sync(params, folder)
    assert {run.info.status for run in runs(folder)} == {"FINISHED"}
    assert len(runs(folder, "comparison")) == 1 and len(runs(folder, "variant")) == 2 and len(models(folder)) == 2


def test_params_of_which_a_kill_left_a_part_are_completed(compared, monkeypatch):
    params, folder = compared
    whole, sent = MlflowClient.log_batch, Counter()

    def cut_off(client, run_id, **content):
        sent[run_id] += len(content.get("params", []))
        return whole(client, run_id, **content) if sent[run_id] <= 100 else 1 / 0

    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "log_batch", cut_off)
        assert not sync.sync(params, folder)
    assert sync.sync(params, folder)
    (parent,) = runs(folder, "comparison")
    assert parent.data.params.keys() == store.flat(json.loads((folder / "reports/params.json").read_text())).keys()


@pytest.mark.parametrize("replaced", [{"&": "and", "%": "percent"}, {"w/": "with"}, {"/": "per"}, {"+": "plus", "-": "minus"}])
def test_a_section_with_keys_that_mlflow_cannot_name_or_tell_apart_is_one_param(project, replaced):
    params = plant(project, TWO)
    text = replace(params.corpus.text, replace=replaced)
    params = params.model_copy(update={"corpus": params.corpus.model_copy(update={"text": text})})
    compare(params, project, project / "reports")
    assert sync.sync(params, project)
    (parent,) = runs(project, "comparison")
    assert json.loads(parent.data.params["corpus.text.replace"]) == replaced


def test_a_model_whose_upload_was_interrupted_is_uploaded_again_and_leaves_no_second_one(compared, monkeypatch):
    params, folder = compared
    with monkeypatch.context() as broken:
        broken.setattr(log.package, "save", lambda *_: 1 / 0)
        assert not sync.sync(params, folder)
    assert [model.status for model in models(folder)] == ["PENDING"]
    assert sync.sync(params, folder) and [model.status for model in models(folder)] == ["READY", "READY"]


def test_params_dvc_hashes_corpus_and_reports_are_there(compared):
    params, folder = compared
    (folder / "dvc.lock").write_text(
        "stages:\n  evaluate@half-int8-openvino:\n    deps:\n    - {path: variants/half.int8-openvino, md5: abc.dir}\n"
    )
    sync.sync(params, folder)
    (parent,) = runs(folder, "comparison")
    assert parent.data.params["gate.max_rise"] == "0.01"
    assert parent.data.metrics["champion/speedup"] == 5.0
    assert {entry.dataset.name for entry in parent.inputs.dataset_inputs} == {
        f"quickstart-{s}" for s in ("train", "dev", "gate", "test")
    }
    client = Store("bigfoot", folder).client
    assert "reports/index.html" in [file.path for file in client.list_artifacts(parent.info.run_id, "reports")]
    tags = next(run.data.tags for run in runs(folder, "variant") if run.info.run_name == "half.int8-openvino")
    assert tags["dvc.stage"] == "evaluate@half-int8-openvino"
    assert json.loads(tags["dvc.deps"]) == {"variants/half.int8-openvino": "abc.dir"}


@pytest.mark.parametrize("what", ["variant", "comparison", "model"])
def test_what_a_person_deleted_is_logged_again(compared, what):
    params, folder = compared
    sync.sync(params, folder)
    client = Store("bigfoot", folder).client
    if what == "model":
        client.delete_logged_model(models(folder)[0].model_id)
    else:
        client.delete_run(runs(folder, what)[0].info.run_id)
    assert sync.sync(params, folder)
    (parent,) = runs(folder, "comparison")
    children = runs(folder, "variant")
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert len(children) == 2 and {log.model_of(Store("bigfoot", folder), run) for run in children} == {
        model.model_id for model in models(folder)
    }
    assert sync.sync(params, folder) and len(runs(folder)) == len(children) + len(runs(folder, "training")) + 1


def test_a_training_has_the_settings_that_it_was_trained_with_whatever_params_are_now(compared):
    params, folder = compared
    teacher = params.teacher.model_dump(mode="json") | {"training": {"steps": 123, "learning_rate": 0.001}}
    lock = {"stages": {"teacher": {"params": {"params.yaml": {"corpus.name": "quickstart", "teacher": teacher}}}}}
    (folder / "dvc.lock").write_text(json.dumps(lock))
    now = params.model_copy(update={"corpus": params.corpus.model_copy(update={"name": "other"})})
    assert sync.sync(now, folder)
    run = next(run for run in runs(folder, "training") if run.info.run_name == "train teacher")
    assert run.data.params["training.steps"] == "123"
    (parent,) = runs(folder, "comparison")
    assert {entry.dataset.name for entry in parent.inputs.dataset_inputs} >= {"quickstart-gate", "quickstart-test"}


def test_figures_belong_to_their_model_and_data_set(compared):
    params, folder = compared
    sync.sync(params, folder)
    store = Store("bigfoot", folder)
    model = next(m for m in models(folder) if m.name == "half-int8-openvino")
    datasets = {metric.key: metric.dataset_name for metric in store.client.get_logged_model(model.model_id).metrics}
    named = {"headline/wer": "test", "text/dev_wer": "dev", "text/gate_wer": "gate", "text/wer_rise_upper": "gate"}
    assert {key: datasets[key] for key in named} == {key: f"quickstart-{split}" for key, split in named.items()}
    assert datasets["headline/disk_mb"] is None


def test_a_logged_model_transcribes_files_wherever_it_is_loaded(project):
    from pipeline.recognition.recognizer import Recognizer
    from pipeline.speech import audio

    params = plant(project, {"teacher.fp32": FIGURES["teacher.fp32"], "teacher.fp32-onnx": FIGURES["teacher.int8-onnx"]})
    variant = plant_variant(project, "teacher.fp32-onnx", tiny.save_model(project / "tiny" / "teacher"))
    compare(params, project, project / "reports")
    assert sync.sync(params, project)
    audio.write(project / "a.wav", tiny.speech(1.5))
    model = next(m for m in models(project) if m.name == "teacher-fp32-onnx")
    program = (
        "import sys, pathlib, mlflow, pandas\n"
        "recordings = pandas.DataFrame({'audio': [pathlib.Path('a.wav').read_bytes()]})\n"
        "print(mlflow.pyfunc.load_model(sys.argv[1]).predict(recordings)['text'][0])\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith(('pipeline', 'bigfoot_')) and '.' not in n))"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db"}
    command = [sys.executable, "-P", "-c", program, f"models:/{model.model_id}"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment, check=True)
    text, packages = done.stdout.splitlines()
    assert text == Recognizer.load(variant).transcribe(audio.read(project / "a.wav"))
    (package,) = packages.split()
    assert Path(package).is_relative_to(project / "mlartifacts"), "it ran this checkout's code, not its own"


def test_bigfoot_track_catches_up_and_logs_what_it_did(compared):
    _, folder = compared
    command = [sys.executable, "-m", "pipeline.cli", "track"]
    runs_of_track = [
        subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert [done.returncode for done in runs_of_track] == [0, 0]
    assert "5 new runs" in runs_of_track[0].stderr and "new runs" not in runs_of_track[1].stderr
    assert len(runs(folder)) == 5


# ---------------------------------------------------------------- live training runs


def curve(folder, run_id, name):
    history = Store("bigfoot", folder).client.get_metric_history(run_id, name)
    return [(point.step, point.value) for point in sorted(history, key=lambda point: point.step)]


def started(folder, key="print-of-teacher"):
    return live.training_run(model="teacher", key=key, params={"a": {"b": 1}}, experiment="bigfoot", root=folder)


def test_a_curve_goes_to_mlflow_while_training_goes_on(project, monkeypatch):
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0.05)
    run = started(project)
    run.log(1, {"loss": 2.0})
    deadline = time.monotonic() + 10
    while not curve(project, run.run_id, "loss") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert curve(project, run.run_id, "loss") == [(1, 2.0)]
    run.finish({"dev_wer": 0.2, "energy_mode": "estimated"})
    (there,) = runs(project)
    assert there.info.status == "FINISHED" and there.data.params == {"a.b": "1"}
    assert there.data.metrics["training/best_dev_wer"] == 0.2


def test_a_training_that_is_ended_ends_its_run_and_sends_its_last_values(project):
    code = (
        "import time; from pathlib import Path; from pipeline.tracking.live import training_run\n"
        f"run = training_run('teacher', 'key', {{}}, 'bigfoot', Path({str(project)!r}))\n"
        "run.log(1, {'loss': 2.0}); print('started', flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    training = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    assert training.stdout.readline() == b"started\n"
    training.terminate()
    assert training.wait(30) == 128 + signal.SIGTERM
    (there,) = runs(project)
    assert there.info.status == "FAILED" and curve(project, there.info.run_id, "loss") == [(1, 2.0)]


def test_a_model_that_was_trained_again_since_is_not_named_as_a_variants_origin(project):
    params, sums = plant(project, TWO), [project / f"models/{name}/SHA256SUMS" for name in ("teacher", "half")]
    for file in sums:
        file.write_text("of this training")
    compare(params, project, project / "reports")
    sums[1].write_text("of another")
    assert sync.sync(params, project)
    origins = {run.data.tags["variant"]: run.data.tags.get("training") for run in runs(project, "variant")}
    assert origins["teacher.fp32"] and origins["half.int8-openvino"] is None


def test_a_resumed_training_is_the_same_run_without_doubled_steps(project):
    run = started(project)
    for step in (1, 2, 3):
        run.log(step, {"loss": 1 / step})
    run._end("FAILED")  # as at exit
    again = started(project)
    for step in (2, 3, 4):
        again.log(step, {"loss": 1 / step})
    again.finish({})
    assert again.run_id == run.run_id and len(runs(project)) == 1
    assert [step for step, _ in curve(project, run.run_id, "loss")] == [1, 2, 3, 4]


def test_sync_completes_a_curve_that_was_cut_off(compared):
    params, folder = compared
    run = started(folder)
    run.log(25, {"loss": 2.0})
    run._end("FAILED")
    sync.sync(params, folder)
    assert curve(folder, run.run_id, "loss") == [(25, 2.0), (50, 1.0)]
    assert len(runs(folder, "training")) == 2  # the teacher's and half's
    tags = {r.data.tags["training"] for r in runs(folder, "variant") if r.data.tags["model"] == "teacher"}
    assert tags == {run.run_id}


# ---------------------------------------------------------------- servers


def test_a_server_that_is_away_costs_one_warning_and_nothing_else(compared, monkeypatch, caplog):
    params, folder = compared
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{services.free_port()}")
    began = time.monotonic()
    assert sync.sync(params, folder) is False
    run = started(folder)
    run.log(1, {"loss": 2.0})
    run.finish({})
    assert time.monotonic() - began < 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2  # one each
    assert "bigfoot track" in caplog.text and "secret" not in caplog.text
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sync.sync(params, folder) and len(runs(folder)) == 5


def test_runs_that_go_with_dvcs_temporary_folder_are_said_to(compared, monkeypatch, caplog):
    params, folder = compared
    monkeypatch.setattr(sync, "OF_EXPERIMENTS", f"/{folder.name}/")
    with caplog.at_level(logging.INFO):
        assert sync.sync(params, folder)
    assert "MLFLOW_TRACKING_URI keeps them elsewhere" in caplog.text and "mlflow ui" not in caplog.text


@pytest.mark.parametrize("address", ["./mlruns", "htp://127.0.0.1:5000", "127.0.0.1:5000", "file:///nowhere/mlruns"])
def test_an_address_of_no_server_is_one_line_that_names_it(compared, monkeypatch, caplog, address):
    params, folder = compared
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert sync.sync(params, folder) is False
    assert f"MLFLOW_TRACKING_URI, {address}, can't be used" in caplog.text
    with pytest.raises(BigfootError, match=f"^MLFLOW_TRACKING_URI, {re.escape(address)}, can't be used"):
        registry.rollback(folder, params)


def test_a_server_of_another_kind_is_one_line_that_names_it(compared, monkeypatch, caplog):
    """It answers every request with 404 and JSON, as Prefect's does."""

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b'{"detail": "Not Found"}')

        do_POST = do_GET

        def log_message(self, *_):
            pass

    params, folder = compared
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(BigfootError, match=f"^MLFLOW_TRACKING_URI, {address}, can't be used.*Not Found"):
            registry.rollback(folder, params)
        server.shutdown()


def test_a_server_that_goes_away_is_said_as_one_that_is_away(monkeypatch):
    port = services.free_port()
    with pytest.raises(MlflowException) as caught:
        MlflowClient(f"http://127.0.0.1:{port}").get_experiment("0")
    assert str(database.explained(caught.value, f"http://127.0.0.1:{port}")).startswith(
        f"no MLflow server at http://127.0.0.1:{port}"
    )


@pytest.mark.parametrize(
    ("error", "uri", "kind", "line"),
    [
        (requests.HTTPError("413 for url: http://bob:hunter2@host/x"), "http://bob:hunter2@host", BigfootError, "MLFLOW_.*413"),
        (
            MlflowException("Max retries exceeded (too many 500 error responses)"),
            "http://host",
            BigfootError,
            "answers with er",
        ),
        (MlflowException("error code 401 != 200"), "http://bob:hunter2@host", BigfootError, "MLFLOW_TRACKING_TOKEN"),
        (RestException({"message": "Unauthorized"}), "http://host", BigfootError, "MLFLOW_TRACKING_TOKEN"),
        (ModuleNotFoundError("No module named 'google.cloud'"), "sqlite:///a.db", BigfootError, "google.cloud.*install"),
        (Timeout("a.lock"), "sqlite:///a.db", Busy, "a.lock: wait"),
        (sqlite3.IntegrityError("UNIQUE constraint failed"), "sqlite:///a.db", BigfootError, "can't be used .UNIQUE"),
        (MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed"), "sqlite:///a.db", Busy, "wait for it"),
        (
            MlflowException("(sqlite3.OperationalError) attempt to write a readonly database"),
            "sqlite:///a.db",
            BigfootError,
            "perm",
        ),
        (MlflowException("(sqlite3.OperationalError) disk I/O error"), "sqlite:///a.db", BigfootError, "is full, or a limit"),
        (sqlite3.DatabaseError("file is not a database"), "sqlite:///a.db", BigfootError, "--rebuild"),
    ],
)
def test_what_befalls_a_store_is_one_line_without_a_password(error, uri, kind, line):
    said = database.explained(error, uri)
    assert type(said) is kind and re.search(line, str(said)) and "hunter2" not in str(said)
    assert ("--rebuild" in str(said)) == ("not a database" in str(error)), "it costs the history: only where nothing else helps"


def test_a_server_that_never_answers_is_given_up_after_one_probe(compared, monkeypatch, caplog):
    params, folder = compared
    monkeypatch.setattr(store, "PROBE_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert sync.sync(params, folder) is False
    assert time.monotonic() - began < 2 and len(caplog.records) == 1


def test_a_server_lost_midway_costs_training_one_warning(project, monkeypatch, caplog):
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0.05)
    run = started(project)
    monkeypatch.setattr(run.store, "log_curve", lambda *_: 1 / 0)
    for step in range(5):
        run.log(step, {"loss": 1.0})
        time.sleep(0.1)
    run.finish({"dev_wer": 0.2})
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1


@pytest.mark.slow
def test_a_real_server_gets_everything_and_its_address_is_not_printed(compared, tmp_path, monkeypatch, capfd):
    params, folder = compared
    with mlflow_server(tmp_path, monkeypatch) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("//", "//user:S3CRET@"))
        run = started(folder)
        run.log(25, {"loss": 2.0})
        run.finish({})
        for _ in range(2):
            assert sync.sync(params, folder)
        assert len(runs(folder)) == 5 and len(models(folder)) == 2
        assert list((tmp_path / "kept").rglob("index.html"))
    assert "S3CRET" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_what_went_to_the_projects_database_through_a_server_is_there_without_it(compared, monkeypatch):
    """As after `make ui`: the server that made the experiment named its artifacts by its own address."""
    params, folder = compared
    (folder / "mlflow.db").unlink()
    with monkeypatch.context() as served, mlflow_server(folder, served, "mlflow.db", "mlartifacts"):
        assert sync.sync(params, folder)
    compare_again(params, folder)
    assert sync.sync(params, folder)
    for run in runs(folder):
        assert run.info.artifact_uri.startswith((folder / "mlartifacts").as_uri())
    found = [run for run in runs(folder, "comparison")]
    client = Store("bigfoot", folder).client
    assert all(
        "reports/index.html" in [file.path for file in client.list_artifacts(run.info.run_id, "reports")] for run in found
    )


@contextmanager
def mlflow_server(folder: Path, monkeypatch, database: str = "server.db", artifacts: str = "kept") -> Iterator[str]:
    """The address of a real server that keeps all in `folder`, and where runs go to while it is there."""
    port = services.free_port()
    store = ["--backend-store-uri", f"sqlite:///{folder}/{database}", "--artifacts-destination", str(folder / artifacts)]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *store]
    address = f"http://127.0.0.1:{port}"
    is_up = lambda: urllib.request.urlopen(f"{address}/health", timeout=2).status == 200  # noqa: E731
    with services.process(command, folder / "server.log", is_up):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        yield address
