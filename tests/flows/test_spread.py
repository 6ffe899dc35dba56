"""Stages on other machines: two workers with separate clones that share only a Prefect server and a DVC remote."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows import workspace
from tests.flows.conftest import ROOT, add_code
from tests.flows.runs import names, run

HERE = "mkdir -p models && pwd > models/{name}"


def sh(folder: Path, *command: str) -> None:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert not done.returncode, (command, done.stdout + done.stderr)


def git(folder: Path, *arguments: str) -> None:
    sh(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments)


@pytest.fixture
def machines(project, tmp_path):
    """A function that makes a project with a remote and two workers for it, each in its own clone."""
    from prefect.settings import PREFECT_API_URL

    environment = os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value()}
    prefect, workers = [sys.executable, "-m", "prefect"], []

    def make(**commands) -> tuple[Path, dict[str, Path]]:
        folder = project(**commands)
        add_code(folder)
        sh(folder, sys.executable, "-m", "dvc", "remote", "add", "-d", "shared", str(tmp_path / "remote"))
        git(tmp_path, "init", "-q", "--bare", "origin")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "project")
        git(folder, "push", "-q", str(tmp_path / "origin"), "HEAD")
        clones = {name: tmp_path / name for name in ("one", "two")}
        for command in (["work-pool", "create", "bigfoot", "--type", "process", "--overwrite"],
                        ["work-queue", "create", "gpu", "--pool", "bigfoot"],
                        ["--no-prompt", "deploy", "--all"]):  # fmt: skip
            done = subprocess.run([*prefect, *command], cwd=folder, env=environment, capture_output=True, text=True)
            assert not done.returncode or "already exists" in done.stderr + done.stdout, done.stdout + done.stderr
        for name, clone in clones.items():
            git(tmp_path, "clone", "-q", "origin", str(clone))
            command = [*prefect, "worker", "start", "--pool", "bigfoot", "--limit", "1", "--name", name]
            log = (tmp_path / f"{name}.log").open("w")
            workers.append(
                subprocess.Popen(
                    command, cwd=clone, env=environment | {"BIGFOOT_PROJECT": str(clone)}, stdout=log, stderr=log,
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
                )
            )  # fmt: skip
        return folder, clones

    yield make
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    for worker in workers:
        worker.wait(60)


@pytest.mark.slow
def test_two_workers_share_the_stages_and_return_only_their_outputs(machines):
    folder, clones = machines(
        teacher=HERE.format(name="teacher"),
        student="sleep 8 && " + HERE.format(name="${item}"),
        benchmark="cat models/half models/thin > timings.json",
    )
    state = run(folder, spread=True)
    assert state.is_completed(), state.message
    assert set(names(state).values()) == {"Completed"}
    ran = [(folder / "models" / name).read_text() for name in ("half", "thin")]
    used = {name for name, clone in clones.items() for path in ran if path.startswith(str(clone))}
    assert used == {"one", "two"}, ran
    assert (folder / "timings.json").read_text() == "".join(ran)
    assert not [worktree for clone in clones.values() for worktree in (clone / ".bigfoot/worktrees").iterdir()]
    again = run(folder, spread=True)
    assert set(names(again).values()) == {"Cached"}


@pytest.mark.slow
def test_a_stage_that_fails_on_another_machine_is_named_and_a_canceled_one_ends_there(machines):
    folder, clones = machines(
        teacher=HERE.format(name="teacher"),
        student="if [ ${item} = half ]; then echo 'error: no such layer' >&2; exit 1; fi; sleep 64",
    )
    from prefect.settings import PREFECT_API_URL

    code = f"from flows.shrink import shrink; print(shrink(project={str(folder)!r}, spread=True, return_state=True).message)"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": PREFECT_API_URL.value()}
    flow = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output = []
    for line in flow.stdout:
        output.append(line)
        if "student@half: no such layer" in line:
            break
    assert flow.poll() is None, output
    deadline = time.monotonic() + 60
    while not (sleepers := [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "64"]]):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    flow.send_signal(signal.SIGTERM)
    flow.communicate(timeout=60)
    psutil.wait_procs(sleepers, timeout=60)
    assert not [p for p in sleepers if p.is_running()], "the stage outlived the flow run that requested it"
    worktrees = [worktree.name for clone in clones.values() for worktree in (clone / ".bigfoot/worktrees").iterdir()]
    assert any(name.startswith("sent-student-half-") for name in worktrees)


def test_a_second_stage_on_a_machine_takes_no_second_copy_of_its_inputs_and_writes_into_none(project):
    folder = project(teacher="mkdir -p models && head -c 99999 /dev/zero > models/teacher", student="date +%N > models/${item}")
    sh(folder, sys.executable, "-m", "dvc", "repro", "teacher")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "teacher")
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True).strip()
    content, lock = ((folder / name).read_text() for name in workspace.SENT)
    teachers = []
    for name in ("half", "thin"):
        with workspace.sent(folder, f"student-{name}", commit, content, lock) as room:
            for again in ([], ["--force"]):  # the second run replaces its own output, which is a link by now
                sh(room.folder, sys.executable, "-m", "dvc", "repro", "--single-item", "--pull", *again, f"student@{name}")
            teachers.append(room.folder / "models/teacher")
    cached = [file for file in (folder / ".dvc/cache/files/md5").rglob("*") if file.is_file()]
    assert len(cached) == 5  # the teacher, and two of each student
    assert all(hashlib.md5(file.read_bytes()).hexdigest() == file.parent.name + file.name for file in cached)
    if _can_reflink(folder):
        pytest.skip("this file system shares the blocks of copies, which inodes don't show")
    assert any(file.samefile(teachers[0]) and file.samefile(teachers[1]) for file in cached)


def _can_reflink(folder: Path) -> bool:
    command = ["cp", "--reflink=always", "dvc.yaml", "dvc.yaml.copy"]
    return not subprocess.run(command, cwd=folder, capture_output=True).returncode


def test_without_a_remote_or_with_edits_nothing_is_sent(project):
    folder = project()
    state = run(folder, spread=True)
    assert state.is_failed() and "DVC remote" in state.message
    sh(folder, sys.executable, "-m", "dvc", "remote", "add", "-d", "shared", str(folder.parent / "remote"))
    state = run(folder, spread=True)
    assert state.is_failed() and ".dvc/config" in state.message


def test_a_stage_that_was_not_requested_refuses_to_run():
    environment = os.environ | {"BIGFOOT_ONLY_STAGE": "student@half", "DVC_STAGE": "teacher", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "pipeline.stages.teacher"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: teacher") and "student@half" in done.stderr
    assert len(done.stderr.splitlines()) == 1
