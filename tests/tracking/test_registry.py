"""The registry holds the best champion seen on a test set: a better one takes its place, nothing else does, and a person can
go back."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pipeline import cli
from pipeline.common.errors import BigfootError
from pipeline.common.git import is_worktree
from pipeline.compare.run import compare
from pipeline.params import Budget, Gate
from pipeline.recognition import seal
from pipeline.speech import audio
from pipeline.tracking import registry, sync
from pipeline.tracking.candidate import Candidate, judge
from pipeline.tracking.history import history
from pipeline.tracking.store import Store
from tests import corpora, tiny
from tests.planted import FIGURES, plant, plant_variant, write
from tests.tracking.test_sync import mlflow_server

HALF = "half.int8-openvino"
TWO = {name: FIGURES[name] for name in ("teacher.fp32", HALF)}  # half: 5x faster, 4x smaller
KNOWN = {
    "teacher": "t", "gate_set": "g", "test_set": "s", "timed_on": "m", "speedup": "5.0", "shrink": "4.0", "wer": "0.011",
    "wer_rise_upper": "0.005", "disk_mb": "2.0", "latency_p50_ms": "8.0",
}  # fmt: skip
BUDGET = Gate(max_rise=0.01)
NAME = "bigfoot-quickstart"


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """An MLflow database with one run: making it takes seconds, copying it none."""
    folder = tmp_path_factory.mktemp("empty")
    Store("bigfoot", folder).run("variant", "one", "one")
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path, empty_database, monkeypatch):
    """A project's folder, and the working directory, with a store of its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # as none; and what MLflow sets is undone after the test
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    return tmp_path


@pytest.fixture
def ours(project):
    return registry.Registry(Store("bigfoot", project), "quickstart")


@pytest.fixture
def params(project):
    return plant(project, TWO)


def candidate(ours, content="first", comparison="", **figures):
    """A variant's bytes and its evidence, as a LoggedModel of the only run; by default of a comparison of its own."""
    (experiment,) = (experiment for experiment in ours.client.search_experiments() if experiment.name == "bigfoot")
    (run,) = ours.client.search_runs([experiment.experiment_id])
    model = ours.client.create_logged_model(experiment.experiment_id, "half-int8-openvino", run.info.run_id)
    ours.client.finalize_logged_model(model.model_id, "READY")
    evidence = {**KNOWN, "variant": HALF, "content": content, **{name: str(value) for name, value in figures.items()}}
    return Candidate(HALF, run.info.run_id, model.model_id, content, evidence, comparison or f"{content} {figures}")


def considered(ours, *arguments, **figures):
    return registry.consider(ours, candidate(ours, *arguments, **figures), BUDGET)


def aliases(ours):
    """{alias: version}"""
    return {alias: int(version) for alias, version in ours.client.get_registered_model(ours.name).aliases.items()}


# ---------------------------------------------------------------- what sync does


def test_sync_registers_the_champion_once_with_its_evidence(params, project, ours, caplog):
    caplog.set_level("INFO", "pipeline")
    compare(params, project, project / "reports")
    for _ in range(2):
        assert sync.sync(params, project)
    (version,) = ours.versions()
    assert aliases(ours) == {"champion": 1}
    messages = [record.message for record in caplog.records if record.message.startswith("Registry")]
    assert messages == [f"Registry: {HALF} (version 1) is models:/{NAME}@champion: the first champion"]
    tags = {name.removeprefix("bigfoot."): value for name, value in version.tags.items()}
    wanted = {"variant": HALF, "wer": "0.011", "speedup": "5.0", "shrink": "4.0", "gain": "4.0", "disk_mb": "2.0"}
    wanted |= {"latency_p50_ms": "8.0", "promoted": "1", "gate": "passes", "corpus": "quickstart", "synthetic": "yes"}
    assert {name: tags[name] for name in wanted} == wanted
    wanted = {"content", "gate_set", "test_set", "teacher", "host", "timed_on", "gate_reason", "wer_rise_upper", "budget"}
    assert wanted <= set(tags)
    parent = ours.client.get_run(tags["comparison"])
    assert parent.data.tags["champion"] == HALF
    assert ours.client.get_run(version.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
    models = ours.client.search_logged_models([Store("bigfoot", project).experiment_id])
    (linked,) = (model for model in models if "mlflow.modelVersions" in model.tags)
    assert linked.name == "half-int8-openvino" and linked.artifact_location == version.source
    with pytest.raises(BigfootError, match="thick .*teacher.fp32"):
        registry.promote(project, params, "thick")
    again = f"{HALF} (version 1) is models:/{NAME}@champion already: its evidence is that of the last comparison now"
    assert registry.promote(project, params, HALF) == again


def test_a_better_one_takes_over_and_a_worse_one_does_not(ours):
    considered(ours)
    message = considered(ours, "larger", shrink=2.0)
    assert all(part in message for part in (f"{HALF} (version 1) stays", f"models:/{NAME}@champion", "2.0x", "4.0x"))
    assert aliases(ours) == {"champion": 1} and len(ours.versions()) == 1
    message = considered(ours, "smaller", shrink=5.0)
    assert all(part in message for part in ("(version 2) is", "5.0x", "4.0x"))
    assert aliases(ours) == {"champion": 2, "previous": 1}
    considered(ours)  # the first one again
    assert aliases(ours) == {"champion": 2, "previous": 1} and len(ours.versions()) == 2


def test_another_test_set_is_named_and_only_force_replaces(ours):
    considered(ours)
    other = candidate(ours, "other", shrink=9.0, test_set="another")
    assert "another test set" in registry.consider(ours, other, BUDGET)
    assert aliases(ours) == {"champion": 1}
    with pytest.raises(BigfootError, match=r"\(version 1\) stays champion, .* another test set \(--force"):
        registry.insist(ours, other, BUDGET, force=False)
    assert registry.insist(ours, other, BUDGET, force=True).endswith("by force")
    assert aliases(ours) == {"champion": 2, "previous": 1}


def test_the_same_files_keep_the_evidence_of_the_last_comparison(ours):
    considered(ours)
    assert considered(ours, gate_set="grown", busy="0.50") is None
    assert "another gate set" in considered(ours, "better", shrink=9.0, gate_set="grown"), "busy evidence is not kept"
    assert considered(ours, gate_set="grown") is None and aliases(ours) == {"champion": 1}
    assert "(version 2) is" in considered(ours, "better", shrink=9.0, gate_set="grown")


def test_evidence_that_the_last_comparison_lacks_goes(ours):
    busy = candidate(ours, busy="0.50", latency_asked_ms="9.0")
    registry.consider(ours, busy, BUDGET)
    considered(ours)
    (version,) = ours.versions()
    assert not {"bigfoot.busy", "bigfoot.latency_asked_ms"} & set(version.tags) and version.tags["bigfoot.promoted"] == "1"


def test_a_description_has_the_figures_of_the_last_comparison_unless_a_person_wrote_it(ours):
    considered(ours)
    considered(ours, shrink=6.0)
    assert "5.0x faster, 6.0x smaller" in ours.current().description
    ours.client.update_model_version(ours.name, ours.current().version, "Ask Ann first")
    considered(ours, shrink=7.0)
    assert ours.current().description == "Ask Ann first"


def test_what_was_made_again_after_the_comparison_changes_no_evidence(params, project, ours, caplog):
    caplog.set_level("INFO", "pipeline")
    compare(params, project, project / "reports")
    assert sync.sync(params, project)
    (before,) = ours.versions()
    planted = json.loads((project / "timings.json").read_text())
    write(
        project / "timings.json",
        {**planted, "measured_at": "2030-01-01T00:00:00", "host": {**planted["host"], "cpu": "another"}},
    )
    assert sync.sync(params, project) and "timings.json is newer than the last comparison" in caplog.messages[-1]
    (after,) = ours.versions()
    assert after.tags == before.tags
    with pytest.raises(BigfootError, match="is newer than the last comparison"):
        registry.promote(project, params, HALF)


def test_a_gate_set_that_was_made_again_after_the_comparison_is_no_evidence(params, project, ours, caplog):
    caplog.set_level("INFO", "pipeline")
    compare(params, project, project / "reports")
    assert sync.sync(params, project)
    (before,) = ours.versions()
    corpora.rewrite(project / "corpora/quickstart", lambda splits: splits.update(gate=splits["gate"][:150]))
    assert sync.sync(params, project) and "gate in " in caplog.messages[-1] and "was changed after" in caplog.messages[-1]
    (after,) = ours.versions()
    assert after.tags == before.tags


def test_a_variant_that_was_made_again_is_not_logged_with_the_former_ones_figures(params, project, ours, caplog):
    compare(params, project, project / "reports")
    info = json.loads((project / "variants" / HALF / "variant.json").read_text())
    (project / "variants" / HALF / "weights.bin").write_bytes(b"never scored")
    (project / "variants" / HALF / "variant.json").unlink()
    write(project / "variants" / HALF / "variant.json", info | {"files": seal.seal(project / "variants" / HALF)})
    assert not sync.sync(params, project)
    assert f"variants/{HALF} was changed after the last comparison" in caplog.messages[-1]
    assert not ours.client.search_registered_models()


@pytest.mark.parametrize("over", [{"max_mb": 1.5, "max_ms": 9}, {"max_mb": 9, "max_ms": 1.5}])
def test_a_champion_over_what_was_asked_for_is_replaced(over):
    budget = Gate(max_rise=0.01, budget=Budget(**over))
    old = KNOWN | {"latency_asked_ms": "2.0", "budget": budget.model_dump_json()}
    new = KNOWN | {"latency_asked_ms": "1.0", "disk_mb": "1.0", "shrink": "3.0"}
    is_better, why = judge(old, new, budget)
    assert is_better and "over the budget" in why
    assert not judge(old, new, BUDGET)[0]


@pytest.mark.parametrize("asked", [{}, {"latency_asked_ms": "2.0", "budget": '{"budget": {"length": 3.0}}'}])
def test_milliseconds_for_another_length_of_audio_are_not_held_against_a_champion(asked):
    budget = Gate(max_rise=0.01, budget=Budget(max_mb=9, max_ms=1.5, length=1.0))
    new = KNOWN | {"latency_asked_ms": "1.0"}
    is_better, why = judge(KNOWN | asked, new | {"shrink": "3.0"}, budget)
    assert not is_better and why.endswith("the champion was never asked for 1 s of audio")
    assert judge(KNOWN | asked, new | {"shrink": "5.0"}, budget)[0], "a larger gain counts as ever"
    is_better, why = judge(KNOWN | asked | {"disk_mb": "20"}, new | {"shrink": "3.0"}, budget)
    assert is_better and "disk_mb 20, at most 9" in why


def test_what_a_kill_left_half_done_is_completed(ours, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(registry.Registry, "point", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            considered(ours)
    considered(ours)
    assert aliases(ours) == {"champion": 1} and len(ours.versions()) == 1


def test_an_alias_that_a_person_moved_is_the_incumbent(ours):
    considered(ours)
    considered(ours, "smaller", shrink=5.0)
    ours.client.set_registered_model_alias(NAME, "champion", "1")
    considered(ours, "between", shrink=4.5)  # better than version 1, not than version 2
    assert aliases(ours)["champion"] == 3


# ---------------------------------------------------------------- what a person does


@pytest.mark.parametrize("before", [[], [5.0], [7.0]])
@pytest.mark.parametrize("choose", ["force", "alias"])
def test_what_a_person_chose_stays_until_another_comparison(ours, before, choose):
    """Whether the comparison had made its own champion (5.0) already, or had kept a former one (7.0)."""
    considered(ours, "former", shrink=1.0)
    for shrink in before:
        considered(ours, f"of {shrink}", shrink=shrink)
    best, other = (candidate(ours, name, "same", shrink=shrink) for name, shrink in (("best", 5.0), ("other", 1.5)))
    if before:
        registry.consider(ours, best, BUDGET)
    if choose == "force":
        registry.insist(ours, other, BUDGET, force=True)
    elif before:
        ours.client.set_registered_model_alias(NAME, "champion", "1")
    else:
        return
    chosen = aliases(ours)["champion"]
    for _ in range(2):
        assert "as a person chose after this comparison: `bigfoot promote" in registry.consider(ours, best, BUDGET)
        assert aliases(ours)["champion"] == chosen
    considered(ours, "best", shrink=5.0)
    assert aliases(ours)["champion"] != chosen


def test_a_persons_own_tags_are_no_evidence(ours):
    considered(ours)
    ours.client.set_model_version_tag(NAME, "1", "wer", "checked by Ann")
    ours.client.set_model_version_tag(NAME, "1", "speedup", "99")
    assert "replaced" not in str(considered(ours, "smaller", shrink=5.0)) and aliases(ours)["champion"] == 2


def test_an_alias_that_was_moved_back_by_hand_has_the_later_champion_as_the_former_one(params, project, ours):
    considered(ours, "first")
    considered(ours, "second", shrink=5.0)
    ours.client.set_registered_model_alias(NAME, "champion", "1")
    registry.rollback(project, params)
    assert aliases(ours)["champion"] == 2


def test_a_rollback_gives_the_alias_back_and_sync_leaves_it_so(params, ours):
    considered(ours)
    considered(ours, "smaller", shrink=5.0)
    run = CliRunner().invoke
    done = run(cli.app, ["rollback"])
    assert done.exit_code == 0 and f"`bigfoot promote {HALF}`" in done.stdout
    assert aliases(ours) == {"champion": 1}
    assert "(version 2) was rolled back" in considered(ours, "smaller", shrink=5.0)
    assert aliases(ours) == {"champion": 1}
    lines = run(cli.app, ["champion"]).stdout.splitlines()
    assert lines[0] == f"models:/{NAME}@champion" and len(lines) == 5 and max(map(len, lines)) <= 80
    assert lines[1].startswith(f"champion     {HALF} (version 1), promoted ")
    assert lines[2].startswith(f"{'':13}WER 1.10%, 5.0x faster, 4.0x smaller")
    assert lines[3].startswith(f"rolled back  {HALF} (version 2)")
    registry.insist(ours, candidate(ours, "smaller", shrink=5.0), BUDGET, force=False)
    assert aliases(ours) == {"champion": 2, "previous": 1} and len(ours.versions()) == 2


def test_rollbacks_go_back_one_by_one_and_stop_at_the_first(params, project, ours):
    with pytest.raises(BigfootError, match=f"{NAME} .*`bigfoot track`"):
        history(project, params)
    for shrink in (4.0, 4.5, 5.0):
        considered(ours, str(shrink), shrink=shrink)
    for left in (2, 1):
        registry.rollback(project, params)
        assert aliases(ours)["champion"] == left
    with pytest.raises(BigfootError, match=rf"\(version 1\) .*{NAME}"):
        registry.rollback(project, params)


def test_a_comparison_without_champion_takes_none_away_and_its_variants_need_force(project, ours):
    considered(ours)
    params = plant(project, {**TWO, HALF: (220, 1.0, 4.0)})
    compare(params, project, project / "reports")
    message = registry.keep_up(Store("bigfoot", project), params)
    assert message.startswith(f"{HALF} (version 1) stays models:/{NAME}@champion")
    with pytest.raises(BigfootError, match=f"{HALF} .*the gate"):
        registry.promote(project, params, HALF)


# ---------------------------------------------------------------- the rule


@pytest.mark.parametrize(
    ("incumbent", "challenger", "budget", "is_better"),
    [
        ({}, {"speedup": "9.0"}, {}, False),  # both gains count: still 4x
        ({}, {"shrink": "4.5"}, {}, True),
        ({}, {}, {}, False),  # no worse is not better
        ({}, {"speedup": "9.0"}, {"prefer": "speed"}, True),
        ({"wer_rise_upper": "0.02"}, {"shrink": "2.0"}, {}, True),  # the budget was tightened
        ({}, {"shrink": "3.0", "disk_mb": "0.9"}, {"max_disk_mb": 1.0}, True),
        ({"teacher": "another"}, {"shrink": "4.5"}, {}, False),
        ({"gate_set": "another"}, {"shrink": "4.5"}, {}, False),
        ({"gate_set": ""}, {"shrink": "4.5"}, {}, False),  # of a Bigfoot that had no gate split
        ({"timed_on": "another"}, {"shrink": "4.5"}, {}, False),
        ({"timed_on": "another", "latency_p50_ms": "99.0"}, {"shrink": "4.5"}, {"max_latency_p50_ms": 50}, False),
        ({"timed_on": "another"}, {"shrink": "4.5"}, {"prefer": "size"}, True),
        ({"timed_on": "another"}, {"shrink": "4.5"}, {"prefer": "size", "max_latency_p50_ms": 50}, False),
        ({}, {"speedup": "5.6", "speedup_low": "5.2", "speedup_high": "6.0"}, {"prefer": "speed"}, True),
        ({"speedup_high": "5.3"}, {"speedup": "5.6", "speedup_low": "5.2"}, {"prefer": "speed"}, False),  # they overlap
        ({"speedup_high": "5.3"}, {"speedup": "5.6", "speedup_low": "5.2", "shrink": "4.5"}, {}, True),  # both have 4x and 4.5x
        ({}, {"shrink": "4.5", "busy": "0.40"}, {}, False),
        ({}, {"shrink": "4.5", "busy": "0.40"}, {"prefer": "size"}, True),
    ],
)
def test_an_incumbent_gives_way_only_to_a_larger_gain_within_the_budget(incumbent, challenger, budget, is_better):
    decision, _ = judge({**KNOWN, **incumbent}, {**KNOWN, **challenger}, Gate(max_rise=0.01, **budget))
    assert decision is is_better


def test_a_gain_within_the_intervals_and_a_busy_host_are_said():
    known = {**KNOWN, "speedup_high": "5.3"}
    _, why = judge(known, {**KNOWN, "speedup": "5.6", "speedup_low": "5.2"}, Gate(prefer="speed"))
    assert why == "is not surely better: with these intervals it gains 5.6x over the teacher, the champion 5.0x"
    _, why = judge(KNOWN, {**KNOWN, "shrink": "9", "busy": "0.40"}, Gate())
    assert why == "was timed while other work took 40% of the CPU: benchmark an idle host"


def test_an_experiment_and_a_worktree_promote_nothing_until_they_are_told_to(params, project, ours, monkeypatch):
    compare(params, project, project / "reports")
    sync.sync(params, project)
    (version,) = ours.versions()
    ours.client.delete_registered_model(NAME)
    store = Store("bigfoot", project)
    with monkeypatch.context() as experiment:
        experiment.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
        assert "of an experiment, which promotes nothing by itself" in registry.keep_up(store, params)
    for command in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "a"]):
        subprocess.run(["git", *command], cwd=project, check=True)
    subprocess.run(["git", "worktree", "add", "-q", "trial"], cwd=project, check=True)
    assert not is_worktree(project) and is_worktree(project / "trial")
    assert ours.versions() == []
    assert registry.promote(project, params, HALF).endswith("the first champion")


def test_a_champion_of_which_nothing_is_known_stays():
    is_better, why = judge({}, KNOWN, Gate())
    assert not is_better and "(teacher)" in why


# ---------------------------------------------------------------- a real server


def test_a_variant_that_gains_nothing_is_promoted_by_force_alone(project):
    params = plant(project, {"teacher.fp32": (20, 8.0, 40.0), "teacher.int8-onnx": (20, 9.0, 50.0)})
    compare(params, project, project / "reports")
    with pytest.raises(BigfootError, match="teacher.int8-onnx gains nothing over teacher.fp32: --force"):
        registry.promote(project, params, "teacher.int8-onnx")


@pytest.fixture
def real(project):
    """A compared project whose champion is a real variant of a tiny model, and a recording."""
    params = plant(project, {"teacher.fp32": FIGURES["teacher.fp32"], "teacher.fp32-onnx": FIGURES["teacher.int8-onnx"]})
    plant_variant(project, "teacher.fp32-onnx", tiny.save_model(project / "tiny" / "teacher"))
    compare(params, project, project / "reports")
    audio.write(project / "a.wav", tiny.speech(1.5))
    return params


def transcribed_by_the_champion(project, uri):
    """The text of a.wav in another process and folder, which has only the store's address and the alias."""
    program = (
        "import pathlib, sys, mlflow, pandas\n"
        "recordings = pandas.DataFrame({'audio': [pathlib.Path(sys.argv[1]).read_bytes()]})\n"
        f"print(mlflow.pyfunc.load_model('models:/{NAME}@champion').predict(recordings)['text'][0])"
    )
    elsewhere = project / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    command = [sys.executable, "-P", "-c", program, str(project / "a.wav")]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_the_champion_loads_by_its_alias_from_a_database_and_from_a_real_server(real, project, monkeypatch):
    from pipeline.recognition.recognizer import Recognizer

    expected = Recognizer.load(project / "variants" / "teacher.fp32-onnx").transcribe(audio.read(project / "a.wav"))
    monkeypatch.chdir(project.parent)  # the store is beside the project, not where the process is
    assert sync.sync(real, project)
    assert transcribed_by_the_champion(project, f"sqlite:///{project}/mlflow.db") == expected
    with mlflow_server(project, monkeypatch) as address:
        for _ in range(2):
            assert sync.sync(real, project)
        served = registry.Registry(Store("bigfoot", project), "quickstart")
        assert aliases(served) == {"champion": 1} and len(served.versions()) == 1
        assert transcribed_by_the_champion(project, address) == expected
