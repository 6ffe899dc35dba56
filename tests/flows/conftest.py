"""A real Prefect server for the session, and projects with trivial stages: DVC and Prefect are real, the work isn't."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# teacher -> two students -> benchmark, with the names of the real graph.
STAGES = """
stages:
  teacher:
    cmd: {teacher}
    params: [corpus]
    outs: [models/teacher]
  student:
    foreach: [half, thin]
    do:
      cmd: "{student}"
      deps: [models/teacher]
      params: ["students.${{item}}"]
      outs: ["models/${{item}}"]
  benchmark:
    cmd: {benchmark}
    deps: [models]
    outs: [timings.json]
"""
WRITE = "echo hello from {name} && mkdir -p models && echo 1 > models/{name}"


def add_code(folder: Path) -> None:
    """Copy the flows and their deployments into a project, so that a worker can run them there."""
    for name in ("flows", "pipeline", "profiles"):  # the form offers the profiles that there are
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    shutil.copy(ROOT / "prefect.yaml", folder / "prefect.yaml")


def in_a_process(folder: Path, before: str = "", **parameters) -> subprocess.Popen:
    """Start the flow in a separate process, as a worker does; its last line of output is the final state's message.

    `before`: code to run first.
    """
    from prefect.settings import PREFECT_API_URL

    call = f"shrink(project={str(folder)!r}, return_state=True, **{parameters!r})"
    code = f"{before}\nfrom flows.shrink import shrink\nprint({call}.message)"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": PREFECT_API_URL.value()}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, start_new_session=True, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def server(tmp_path_factory):
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def empty(tmp_path_factory) -> Path:
    """A checkout without stages, in which git and DVC are at home; to be copied."""
    folder = tmp_path_factory.mktemp("empty") / "project"
    (folder / "profiles").mkdir(parents=True)
    for name in ("params.yaml", "profiles/quickstart.yaml", "profiles/digits.yaml", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=folder, check=True, env=os.environ | {"DVC_NO_ANALYTICS": "1"})
    return folder


@pytest.fixture
def project(empty, tmp_path, monkeypatch):
    """A function that makes a checkout with these commands for its stages."""

    def make(**commands: str) -> Path:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/project/mlflow.db")
        return _checkout(empty, tmp_path / "project", **commands)

    return make


@pytest.fixture(scope="session")
def finished(empty, server, tmp_path_factory):
    """(a checkout, the state in which the flow ended that ran all of its stages); to be copied, not changed."""
    from tests.flows.runs import run

    folder = _checkout(empty, tmp_path_factory.mktemp("finished") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        return folder, run(folder)


@pytest.fixture
def up_to_date(finished, tmp_path, monkeypatch) -> Path:
    """A checkout of which every stage has run."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/project/mlflow.db")
    return Path(shutil.copytree(finished[0], tmp_path / "project"))


def _checkout(
    empty: Path, folder: Path, teacher: str | None = None, student: str | None = None, benchmark: str | None = None
) -> Path:
    shutil.copytree(empty, folder)
    commands = {
        "teacher": teacher or WRITE.format(name="teacher"),
        "student": student or WRITE.format(name="${item}"),
        "benchmark": benchmark or "echo 1 > timings.json",
    }
    (folder / "dvc.yaml").write_text(STAGES.format(**commands))
    for command in (["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder
