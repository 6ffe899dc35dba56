"""The registry holds the best champion seen on a test set: a better one takes its place, nothing else does, and a person can
go back."""

import json
import os
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pipeline import audio, cli, evidence, registry, schemes, tracking
from pipeline.compare import compare
from pipeline.errors import BigfootError
from pipeline.params import Gate
from tests import tiny
from tests.planted import FIGURES, plant, write
from tests.test_tracking import _wait_for, closed_port

HALF = "half.int8-openvino"
TWO = {name: FIGURES[name] for name in ("teacher.fp32", HALF)}  # half: 5x faster, 4x smaller


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """An MLflow database without runs: making one takes seconds, copying it none."""
    folder = tmp_path_factory.mktemp("empty")
    tracking.Store("another", folder)
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path, empty_database, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    return tmp_path


def compared(folder, disk_mb=2.0, wrong=22, weights="first", **figures):
    """Compare, with half as it comes out of training anew: of that size, so many wrong words, and with these weights."""
    two = {**TWO, HALF: (wrong, disk_mb, 8.0), **figures}
    params = plant(folder, two)
    (folder / "variants" / HALF / "weights.bin").write_text(weights)
    compare(params, folder, folder / "reports")
    return params


def synced(folder, *arguments, **keywords):
    params = compared(folder, *arguments, **keywords)
    assert tracking.sync(params, folder)
    return params


def there(folder):
    return registry.Registry(tracking.Store("bigfoot", folder), "quickstart")


def aliases(folder):
    """{alias: version}"""
    found = there(folder).client.get_registered_model("bigfoot-quickstart")
    return {alias: int(version) for alias, version in found.aliases.items()}


def write_manifest(folder, split):
    (folder / "corpora" / "quickstart" / f"{split}.jsonl").write_text('{"id": "another"}\n')


# ---------------------------------------------------------------- what sync does


def test_the_champion_is_registered_once_with_its_evidence(project, caplog):
    caplog.set_level("INFO", "pipeline")
    for _ in range(2):
        synced(project)
    (version,) = there(project).versions()
    assert aliases(project) == {"champion": 1}
    assert f"Registry: {HALF} (version 1) is models:/bigfoot-quickstart@champion: the first champion" in caplog.text
    tags = {name.removeprefix("bigfoot."): value for name, value in version.tags.items()}
    wanted = {"variant": HALF, "wer": "0.011", "speedup": "5.0", "shrink": "4.0", "gain": "4.0", "disk_mb": "2.0"}
    wanted |= {"latency_p50_ms": "8.0", "promoted": "1", "gate": "passed", "corpus": "quickstart", "synthetic": "yes"}
    assert {name: tags[name] for name in wanted} == wanted
    assert {"content", "dev_set", "test_set", "teacher", "host", "gate_reason", "wer_rise_upper", "budget"} <= set(tags)
    parent = there(project).client.get_run(tags["comparison"])
    assert parent.data.tags["champion"] == HALF
    assert there(project).client.get_run(version.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
    model = there(project).client.get_logged_model(version.model_id)
    assert model.name == "half-int8-openvino" and json.loads(model.tags["mlflow.modelVersions"])[0]["version"] == "1"


def test_a_better_one_takes_over_and_a_worse_one_does_not(project, caplog):
    caplog.set_level("INFO", "pipeline")
    synced(project)
    synced(project, disk_mb=4.0, weights="larger")  # 2x smaller only
    assert aliases(project) == {"champion": 1} and len(there(project).versions()) == 1
    assert "is no better: it gains 2.00x over the teacher, the champion 4.00x" in caplog.text
    synced(project, disk_mb=1.6, weights="smaller")  # 5x
    assert aliases(project) == {"champion": 2, "previous": 1}
    synced(project)  # the first one again
    assert aliases(project) == {"champion": 2, "previous": 1} and len(there(project).versions()) == 2


def test_a_comparison_without_champion_takes_none_away(project, caplog):
    caplog.set_level("INFO", "pipeline")
    synced(project)
    synced(project, wrong=220, weights="broken")
    assert aliases(project) == {"champion": 1} and "the last comparison has no champion" in caplog.text


def test_another_test_set_is_told_and_only_force_replaces(project, caplog):
    caplog.set_level("INFO", "pipeline")
    synced(project)
    params = compared(project, disk_mb=1.0, weights="smaller")
    write_manifest(project, "test")
    assert tracking.sync(params, project)
    assert aliases(project) == {"champion": 1} and "can't be compared with it: another test set" in caplog.text
    with pytest.raises(BigfootError, match=r"\(version 1\) stays champion, .* another test set \(--force"):
        registry.promote(params, HALF, root=project)
    assert "by force" in registry.promote(params, HALF, force=True, root=project)
    assert aliases(project) == {"champion": 2, "previous": 1}


def test_what_a_kill_left_half_done_is_completed(project, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(registry.Registry, "point", lambda *_: 1 / 0)
        params = compared(project)
        assert not tracking.sync(params, project)
    assert tracking.sync(params, project)
    assert aliases(project) == {"champion": 1} and len(there(project).versions()) == 1


def test_an_alias_that_a_person_moved_is_the_incumbent(project):
    synced(project)
    synced(project, disk_mb=1.6, weights="smaller")
    there(project).client.set_registered_model_alias("bigfoot-quickstart", "champion", "1")
    synced(project, disk_mb=1.8, weights="between")  # better than version 1, not than version 2
    assert aliases(project)["champion"] == 3


# ---------------------------------------------------------------- what a person does


def test_a_rollback_gives_the_alias_back_and_sync_leaves_it_so_until_told(project, caplog):
    caplog.set_level("INFO", "pipeline")
    synced(project)
    params = synced(project, disk_mb=1.6, weights="smaller")
    run = CliRunner().invoke
    done = run(cli.app, ["rollback"])
    assert done.exit_code == 0 and f"`bigfoot promote {HALF}` takes it back" in done.stdout
    assert aliases(project) == {"champion": 1}
    assert tracking.sync(params, project)
    assert aliases(project) == {"champion": 1} and "was rolled back and is left alone" in caplog.text
    told = run(cli.app, ["champion"]).stdout.splitlines()
    assert told[0] == "models:/bigfoot-quickstart@champion"
    assert told[1].startswith(f"champion     {HALF} (version 1)  WER 1.10%, 5.00x faster, 4.00x smaller")
    assert told[2].startswith(f"rolled back  {HALF} (version 2)") and len(told) == 3
    assert run(cli.app, ["promote", HALF]).exit_code == 0
    assert aliases(project) == {"champion": 2, "previous": 1} and len(there(project).versions()) == 2


def test_rollbacks_go_back_one_by_one_and_stop_at_the_first(project):
    for number, disk_mb in enumerate((2.0, 1.9, 1.8)):
        params = synced(project, disk_mb=disk_mb, weights=str(number))
    for left in (2, 1):
        registry.rollback(params, project)
        assert aliases(project)["champion"] == left
    with pytest.raises(BigfootError, match=r"\(version 1\) is the first champion of bigfoot-quickstart"):
        registry.rollback(params, project)


def test_what_cannot_be_done_is_one_line(project):
    params = compared(project, **{"thin.int8-openvino": FIGURES["thin.int8-openvino"]})
    with pytest.raises(BigfootError, match="bigfoot-quickstart has no champion yet: `bigfoot track`"):
        registry.history(params, project)
    with pytest.raises(BigfootError, match="thin.int8-openvino doesn't pass the gate"):
        registry.promote(params, "thin.int8-openvino", root=project)
    with pytest.raises(BigfootError, match="no variant thick in the last comparison: it has teacher.fp32"):
        registry.promote(params, "thick", root=project)


# ---------------------------------------------------------------- the rule


KNOWN = {
    "teacher": "t", "dev_set": "d", "test_set": "s", "speedup": "5.0", "shrink": "4.0", "wer_rise_upper": "0.005",
    "disk_mb": "2.0", "latency_p50_ms": "8.0",
}  # fmt: skip


@pytest.mark.parametrize(
    ("incumbent", "challenger", "budget", "is_better"),
    [
        ({}, {"speedup": "9.0"}, {}, False),  # both gains count: still 4x
        ({}, {"shrink": "4.5"}, {}, True),
        ({}, {}, {}, False),  # no worse is not better
        ({}, {"speedup": "9.0"}, {"objective": "speed"}, True),
        ({"wer_rise_upper": "0.02"}, {"shrink": "2.0"}, {}, True),  # the budget was tightened
        ({}, {"shrink": "3.0", "disk_mb": "0.9"}, {"max_disk_mb": 1.0}, True),
        ({"teacher": "another"}, {"shrink": "4.5"}, {}, False),
        ({"dev_set": "another"}, {"shrink": "4.5"}, {}, False),
    ],
)
def test_an_incumbent_gives_way_only_to_a_larger_gain_within_the_budget(incumbent, challenger, budget, is_better):
    found, _ = evidence.judge({**KNOWN, **incumbent}, {**KNOWN, **challenger}, Gate(max_wer_rise=0.01, **budget))
    assert found is is_better


def test_a_champion_of_which_nothing_is_known_stays():
    assert evidence.judge({}, KNOWN, Gate()) == (False, "can't be compared with it: it carries no evidence of Bigfoot")


def test_a_set_is_known_by_its_manifest_and_its_audio(tmp_path):
    write(tmp_path / "dev.jsonl", {})
    (tmp_path / "dev.jsonl").write_text('{"id": "a", "audio": "a.flac"}\n')
    (tmp_path / "a.flac").write_bytes(b"one")
    first = evidence._heard(tmp_path, "dev")
    (tmp_path / "a.flac").write_bytes(b"two")
    assert evidence._heard(tmp_path, "dev") != first
    (tmp_path / "a.flac").write_bytes(b"one")
    (tmp_path / "train.jsonl").write_text("more")
    assert evidence._heard(tmp_path, "dev") == first


# ---------------------------------------------------------------- a real server


@pytest.mark.slow
def test_a_real_server_serves_the_champion_by_its_alias(project, monkeypatch):
    params = plant(project, {"teacher.fp32": FIGURES["teacher.fp32"], "teacher.fp32-onnx": FIGURES["teacher.int8-onnx"]})
    variant = project / "variants" / "teacher.fp32-onnx"
    schemes.quantise("fp32-onnx", {}, tiny.save_model(project / "tiny" / "teacher"), None, variant)
    compare(params, project, project / "reports")
    audio.write(project / "a.wav", tiny.speech(1.5))
    port = closed_port()
    store = ["--backend-store-uri", f"sqlite:///{project}/server.db", "--artifacts-destination", str(project / "kept")]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *store]
    with (project / "server.log").open("w") as told:
        server = subprocess.Popen(command, stdout=told, stderr=told, start_new_session=True)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", project / "server.log")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        assert tracking.sync(params, project)
        assert aliases(project) == {"champion": 1}
        program = (
            "import pathlib, mlflow, pandas\n"
            "heard = pandas.DataFrame({'audio': [pathlib.Path('a.wav').read_bytes()]})\n"
            "print(mlflow.pyfunc.load_model('models:/bigfoot-quickstart@champion').predict(heard)['text'][0])"
        )
        done = subprocess.run([sys.executable, "-P", "-c", program], cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        from pipeline.recognizer import Recognizer

        assert done.stdout.splitlines()[-1] == Recognizer.load(variant).transcribe(audio.read(project / "a.wav"))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
