"""The folder of a run, on a real Prefect server with real DVC: two runs in worktrees at once, and the worktree of a failure."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry

from flows import workspace, worktree
from flows.shrink import shrink
from pipeline.common import graph
from pipeline.common.errors import BigfootError
from tests.flows.conftest import in_a_process
from tests.flows.runs import names, run


def call(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def dvc(folder: Path, *arguments: str) -> str:
    return call(folder, sys.executable, "-m", "dvc", *arguments)


def state_of(folder: Path) -> list:
    """The state of a checkout: git status, params.yaml and dvc.lock."""
    return [
        call(folder, "git", "status", "--porcelain"),
        (folder / "params.yaml").read_text(),
        (folder / "dvc.lock").read_text(),
    ]


def layers(folder: Path) -> dict[str, int]:
    """{experiment: its students.half.layers}, from `dvc exp show`."""
    commits = json.loads(dvc(folder, "exp", "show", "--json"))
    experiments = [experiment for commit in commits for experiment in commit["experiments"] or []]
    return {
        experiment["name"]: experiment["revs"][0]["data"]["params"]["params.yaml"]["data"]["students"]["half"]["layers"]
        for experiment in experiments
    }


def worktrees(folder: Path) -> list[Path]:
    return list((folder / ".bigfoot/worktrees").iterdir())


@pytest.mark.slow
def test_two_runs_with_overrides_at_once_become_two_experiments_and_leave_the_project_unchanged(project):
    folder = project(student="sleep 5 && mkdir -p models && echo 1 > models/${item}")
    dvc(folder, "repro", "teacher")
    (folder / "params.yaml").write_text((folder / "params.yaml").read_text() + "\n# an edit that no commit has\n")
    before, wanted = state_of(folder), (1, 3)
    flows = [in_a_process(folder, overrides=[f"students.half.layers={number}"]) for number in wanted]
    outputs = [flow.communicate(timeout=240)[0] for flow in flows]
    ends = [text.splitlines()[-1] for text in outputs]
    assert all("saved as DVC experiment" in end for end in ends), outputs
    assert layers(folder) == {end.rpartition(" ")[2]: number for end, number in zip(ends, wanted, strict=True)}
    assert state_of(folder) == before
    assert not worktrees(folder) and len(call(folder, "git", "worktree", "list").splitlines()) == 1
    assert not (folder / ".git/index.lock").exists()
    assert "up to date" in dvc(folder, "status", "teacher")  # so DVC's lock is free


@pytest.mark.slow
def test_results_that_are_saved_at_the_same_time_stay_separate(project):
    folder = project()
    dvc(folder, "repro", "--quiet")
    wanted = {"one": 1, "three": 3, "four": 4}
    rooms = [workspace.open_workspace(folder, name, None, [f"students.half.layers={n}"]) for name, n in wanted.items()]
    saving = [threading.Thread(target=workspace.save, args=(room, room.folder.name)) for room in rooms]
    for thread in saving:
        thread.start()
    for thread in saving:
        thread.join()
    assert layers(folder) == wanted and not worktrees(folder)


@pytest.mark.slow
def test_a_run_that_ends_early_records_only_the_stages_it_ran(project):
    folder = project()
    dvc(folder, "repro", "--quiet")
    room = workspace.open_workspace(folder, "early", None, ["students.half.layers=3", "students.thin.layers=3"])
    dvc(room.folder, "repro", "--quiet", "student@half")
    workspace.save(room, "early", ["teacher", "student@half"])
    dvc(folder, "exp", "apply", "early")
    changed = json.loads(dvc(folder, "status", "--json"))
    assert "student@half" not in changed and "student@thin" in changed


def test_the_worktree_of_a_failure_stays_when_a_later_try_of_that_run_is_refused(project):
    folder = project(student="sed -i 's/^  student:/  pupil:/' dvc.yaml; exit 3")
    parameters = {"project": str(folder), "overrides": ["students.half.layers=3"], "targets": ["student"]}
    with get_client(sync_client=True) as client:
        flow_run = client.create_flow_run(shrink, parameters=parameters)
        first = run_flow(shrink, flow_run, parameters, return_type="state")
        client.set_flow_run_state(flow_run.id, AwaitingRetry(), force=True)  # as the UI's Retry button does
        second = run_flow(shrink, client.read_flow_run(flow_run.id), parameters, return_type="state")
    (kept,) = worktrees(folder)
    assert first.is_failed() and str(kept) in first.message
    assert second.is_failed() and "no stage student" in second.message and str(kept) in second.message


def test_a_worktree_whose_creation_failed_is_not_used_again(project, monkeypatch):
    folder, add = project(), worktree.add
    monkeypatch.setattr(worktree, "add", lambda *given: (add(*given), (given[1] / "dvc.lock").write_text("nonsense")))
    for _ in range(2):
        with pytest.raises(BigfootError, match="dvc checkout"):
            workspace.open_workspace(folder, "own", None, ["students.half.layers=3"])
        assert not worktrees(folder)


@pytest.mark.shows("killed", "a flow run while its worktree is made", "the next try makes it anew")
def test_a_worktree_that_a_kill_left_half_made_is_made_anew(project, record_property):
    folder = project()
    (folder / "params.yaml").write_text((folder / "params.yaml").read_text() + "\n# an edit that no commit has\n")
    (folder / "an edit").write_text("too")
    code = f"""
import os, signal
from pathlib import Path
from flows import workspace, worktree
git = worktree.git
def killed(folder, *arguments):
    said = git(folder, *arguments)
    return os.kill(os.getpid(), signal.SIGKILL) if arguments[:2] == ("worktree", "add") else said
worktree.git = killed
workspace.open_workspace(Path({str(folder)!r}), "own", None, ["students.half.layers=3"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL and (folder / ".bigfoot/worktrees/own").is_dir(), done.stderr
    room = workspace.open_workspace(folder, "own", None, ["students.half.layers=3"])
    record_property("tried", 1)
    assert not room.is_resumed and (room.folder / "an edit").read_text() == "too"
    assert dvc(room.folder, "cache", "dir").strip() == str(folder / ".dvc/cache")
    assert workspace.open_workspace(folder, "own", None, ["students.half.layers=3"]).is_resumed
    workspace.close(room)
    assert not worktrees(folder)


def test_data_that_was_edited_since_dvc_add_is_recorded_as_dvc_repro_does(project):
    folder = project(teacher="mkdir -p models && cat data/own/* > models/teacher")
    (folder / "data/own").mkdir(parents=True)
    (folder / "data/own/a.txt").write_text("one\n")
    dvc(folder, "add", "-q", "data/own")
    content = yaml.safe_load((folder / "dvc.yaml").read_text())
    content["stages"]["teacher"]["deps"] = ["data/own"]
    (folder / "dvc.yaml").write_text(yaml.safe_dump(content))
    call(folder, "git", "add", "-A")
    call(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "data")
    (folder / "data/own/b.txt").write_text("two\n")
    assert workspace.record_data(folder) == [folder / "data/own.dvc"]
    room = workspace.open_workspace(folder, "own", None, ["students.half.layers=3"])
    assert sorted(path.name for path in (room.folder / "data/own").iterdir()) == ["a.txt", "b.txt"]
    workspace.close(room)
    (folder / "data/own/c.txt").write_text("three\n")
    assert run(folder, targets=["teacher"]).is_completed()
    assert (folder / "models/teacher").read_text() == "one\ntwo\nthree\n"
    assert "up to date" in dvc(folder, "status", "data/own.dvc", "teacher")
    for file in (folder / "data/own").iterdir():
        file.unlink()
    (folder / "data/own").rmdir()
    assert workspace.record_data(folder) == [] and "nfiles: 3" in (folder / "data/own.dvc").read_text()


def test_what_is_relative_to_the_project_is_so_from_its_worktree(project, tmp_path, monkeypatch):
    folder = project()
    (folder / "repository").mkdir()
    call(folder / "repository", "git", "init", "-q")
    dvc(folder, "remote", "add", "-d", "shared", "../store")
    dvc(folder, "remote", "add", "far", "s3://bucket/bigfoot")
    room = workspace.open_workspace(folder, "own", None, ["students.half.layers=3"])
    assert graph.remote_folders(room.folder) == {"shared": str(tmp_path / "store")}
    assert "s3://bucket/bigfoot" in dvc(room.folder, "config", "remote.far.url")
    workspace.close(room)
    for store in ("", "sqlite:///mlflow.db", f"sqlite:///{folder}/mlflow.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
        workspace.absolute_tracking(folder)
        assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{folder}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    workspace.absolute_tracking(folder)
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:9"


def test_a_result_is_saved_where_git_knows_no_name(project, tmp_path, monkeypatch):
    folder = project()
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in [name for name in os.environ if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER", "EMAIL"))]:
        monkeypatch.delenv(name)
    room = workspace.open_workspace(folder, "own", None, ["students.half.layers=3"])
    dvc(room.folder, "repro", "--quiet", "teacher")
    workspace.save(room, "own", ["teacher"])
    assert "own" in dvc(folder, "exp", "list")


def test_a_worktree_has_the_links_to_data_that_the_project_has(project, tmp_path):
    folder, elsewhere = project(), tmp_path / "calls"
    elsewhere.mkdir()
    (elsewhere / "a.wav").write_bytes(b"speech")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "one.wav").symlink_to(elsewhere / "a.wav")
    room = workspace.open_workspace(folder, "own", None, ["students.half.layers=3"])
    assert (room.folder / "linked/a.wav").read_bytes() == (room.folder / "one.wav").read_bytes() == b"speech"
    workspace.close(room)


@pytest.mark.parametrize(
    ("profile", "override"),
    [("ablations", "students.base.training.steps=100"), ("commands", "students.dash.hidden=96"),
     ("commands", "students.dash_scratch.training.augment.noise_probability=0.1")],
)  # fmt: skip
def test_an_override_leaves_alone_what_shares_its_section_by_an_anchor(tmp_path, profile, override):
    file, source = tmp_path / "params.yaml", Path("profiles") / f"{profile}.yaml"
    file.write_text(source.read_text())
    workspace._override(file, [override])
    before, after = (dict(leaves(yaml.safe_load(text.read_text()))) for text in (source, file))
    path, _, value = override.partition("=")
    assert after == before | {path: yaml.safe_load(value)} != before


def leaves(section: dict, above: str = "") -> Iterator[tuple[str, object]]:
    """(a.b.c, value) for all values of nested sections."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def test_a_profile_that_is_no_yaml_is_one_line(project):
    folder = project()
    (folder / "params.yaml").write_text("a: [1\n")
    with pytest.raises(BigfootError, match="params.yaml with the overrides a=1"):
        workspace.open_workspace(folder, "own", None, ["a=1"])


def test_overrides_of_a_profile_that_one_parser_alone_reads_are_not_lost(project):
    folder = project()
    (folder / "params.yaml").write_text((folder / "params.yaml").read_text().replace("profile: ", "profile:\t"))
    with pytest.raises(BigfootError, match=r"params.yaml can't be edited: .*start any token in .*/project/params.yaml"):
        workspace.open_workspace(folder, "own", None, ["students.half.layers=3"])
    assert workspace.open_workspace(folder, "own", None, [], own=True).is_own


def test_a_name_that_is_not_utf_8_is_carried_into_the_worktree(project):
    folder = project()
    (folder / os.fsdecode(b"h\xf6ren.txt")).write_text("anything")
    room = workspace.open_workspace(folder, "own", None, ["students.half.layers=3"])
    assert (room.folder / os.fsdecode(b"h\xf6ren.txt")).is_file()


def test_an_override_that_is_no_yaml_is_one_line(tmp_path):
    (tmp_path / "params.yaml").write_text("students: {half: {layers: 3}}\n")
    with pytest.raises(BigfootError, match=r"^override 'students.half.layers=\[1': name a key"):
        workspace._override(tmp_path / "params.yaml", ["students.half.layers=[1"])
    with pytest.raises(BigfootError, match=r"^override 'students.half.layers=2001-99-99': name a key"):
        workspace._override(tmp_path / "params.yaml", ["students.half.layers=2001-99-99"])


def test_a_refused_run_of_its_own_leaves_no_worktree(project):
    folder = project()
    state = run(folder, overrides=["students.half.layres=3"])
    said = f"{folder}/params.yaml with the overrides students.half.layres=3: students.half.layres"
    assert state.is_failed() and said in state.message
    state = run(folder, profile="digits", targets=["pupil"])
    assert state.is_failed() and "there is no stage pupil" in state.message
    assert not list((folder / ".bigfoot").glob("worktrees/*"))
    state = run(folder, force=True, spread=True)
    assert state.is_failed() and "force and spread" in state.message


def test_a_run_with_overrides_leaves_the_project_alone_and_becomes_an_experiment(up_to_date):
    folder = up_to_date
    before = {name: (folder / name).read_bytes() for name in ("params.yaml", "dvc.lock", "timings.json")}
    state = run(folder, overrides=["students.half.layers=3"])
    assert state.is_completed() and names(state)["student@half"] == "Completed" and names(state)["teacher"] == "Cached"
    assert before == {name: (folder / name).read_bytes() for name in before}
    assert state.message.rpartition(" ")[2] in dvc(folder, "exp", "list")
    assert not list((folder / ".bigfoot/worktrees").iterdir())


def test_the_worktree_of_a_failed_run_stays_and_is_named(project):
    folder = project(student="exit 3")
    state = run(folder, overrides=["students.half.layers=3"], targets=["student@half"])
    (stays,) = (folder / ".bigfoot/worktrees").iterdir()
    assert state.is_failed() and str(stays) in state.message
