"""The folder of a flow run: the project itself, or its own worktree, which shares DVC's cache and ends as a DVC experiment.

A run with its own profile or overrides must not change the params.yaml, dvc.lock and outs that others are using. It gets a git
worktree with the project's current content (uncommitted edits included, as in `dvc exp run`), and the same DVC cache and local
configuration. `dvc exp save` saves its result under a name: `dvc exp show` lists it, and `dvc exp apply` brings it into the
project. Then the worktree is removed; after a failure it stays, with its checkpoints, and the error message names it.
"""

import contextlib
import copy
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAMLError

from flows import worktree
from flows.worktree import dvc, git
from pipeline.common import graph
from pipeline.common.errors import BigfootError, Temporary
from pipeline.params import Budget
from pipeline.project import SQLITE, Project, load_params

SENT = (Project().params.name, Project().lock.name)  # sent with each stage


@dataclass(frozen=True)
class Workspace:
    """A folder to run stages in; `project` is the checkout it belongs to, which is the same folder unless it is a worktree.

    `is_resumed`: the worktree is from an earlier, failed try of the same flow run.
    """

    folder: Path
    project: Path
    is_resumed: bool = False

    @property
    def params(self) -> Path:
        return Project(self.folder).params

    @property
    def lock(self) -> Path:
        return Project(self.folder).lock

    @property
    def is_own(self) -> bool:
        return self.folder != self.project


def open_workspace(project: Path, name: str, profile: str | None, overrides: list[str], own: bool = False) -> Workspace:
    """The project itself, or a worktree `name` with these params; raises BigfootError where the params are wrong.

    `own`: a worktree even where they are the project's. `overrides` are as in `dvc exp run --set-param`:
    students.half.layers=3. An existing worktree is used again, unless a kill left it half made.
    """
    if not profile and not overrides and not own:
        load_params(Project(project).params)
        return Workspace(project, project)
    source = Project(project).profile(profile) if profile else Project(project).params
    folder = Project(project).worktrees / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    trial, room = folder.parent / f"{name}.yaml", Workspace(folder, project, is_resumed=worktree.is_whole(folder))
    try:
        shutil.copyfile(source, trial)
        try:
            if overrides:
                _override(trial, overrides)
        except YAMLError as error:
            _check(trial, source, overrides)  # it says the same of most
            reason = " ".join(str(error).replace(str(trial), str(source)).split())
            raise BigfootError(f"{source} can't be edited: {reason}") from None
        _check(trial, source, overrides)
        if not room.is_resumed:
            with worktree.made(project, folder):
                worktree.make(project, folder)
        os.replace(trial, room.params)
    finally:
        trial.unlink(missing_ok=True)
    return room


def record_data(project: Path) -> list[Path]:
    """Record data that was edited since `dvc add`, as `dvc repro` and `dvc exp run` do; returns their .dvc files."""
    edited = graph.edited_data(project)
    for file in edited:
        dvc(project, "commit", "--force", str(file))
    return edited


def propose(workspace: Workspace, budget: Budget) -> str:
    """Run `bigfoot propose` in a worktree, with what the project remembers of this machine; returns what it printed."""
    remembered, there = (Project(folder).costs for folder in (workspace.project, workspace.folder))
    if remembered.is_file():
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(remembered, there)
    options = [f"--{key.replace('_', '-')}={value}" for key, value in budget.model_dump(exclude_none=True).items()]
    command = [sys.executable, "-m", "pipeline.cli", "propose", *options]
    done = subprocess.run(command, cwd=workspace.folder, capture_output=True, text=True)
    if there.is_file():
        remembered.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(there, remembered)
    if done.returncode:
        kind = Temporary if done.returncode == Temporary.status else BigfootError
        said = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
        raise kind(f"budget: {said[-1] if said else f'bigfoot propose ended with status {done.returncode}'}")
    return done.stdout


def save(workspace: Workspace, name: str, stages: Iterable[str] = ()) -> None:
    """Save a worktree's result as the DVC experiment `name`, and remove the worktree.

    `stages`: the stages that have run, by default all. Outputs of other stages come from other params, and `dvc exp save`
    would record them as results of these params.
    """
    with _lock(workspace.project, "save"):  # `dvc exp save` uses stash and progress names that all worktrees share
        dvc(
            workspace.folder, "exp", "save", "--name", name, "--force", *stages, environment=worktree.identity(workspace.folder)
        )
    close(workspace)


def close(workspace: Workspace) -> None:
    """Remove a worktree; DVC's cache stays."""
    if workspace.is_own:
        worktree.remove(workspace.project, workspace.folder)


def share(workspace: Workspace) -> str:
    """Push the outputs of this folder's stages to the DVC remote for other machines, and return its commit.

    Raises BigfootError where there is no remote, or there are uncommitted edits.
    """
    folder = workspace.folder
    if not dvc(folder, "remote", "list").strip():
        raise BigfootError("spread needs a DVC remote that all machines reach: run `dvc remote add -d NAME ADDRESS` and commit")
    edited = [line[3:] for line in git(folder, "status", "--porcelain", "--no-renames", "-uall").splitlines()]
    if edited := [name for name in edited if name not in SENT]:
        raise BigfootError(f"other machines run committed code, so commit and push these edits first: {', '.join(edited[:5])}")
    dvc(folder, "push", "--run-cache")
    return git(folder, "rev-parse", "HEAD").strip()


@contextlib.contextmanager
def sent(project: Path, name: str, commit: str, content: str, lock: str) -> Iterator[Workspace]:
    """A worktree of a commit with this params.yaml and dvc.lock, for a stage that another machine requests.

    The same stage, commit and params give the same worktree: after a failure, training resumes from its checkpoints, and a
    second request waits for the first. Raises BigfootError where the commit can't be fetched, or the params are wrong.
    """
    digest = hashlib.sha256(f"{commit} {content}".encode()).hexdigest()[:10]
    folder = Project(project).worktrees / f"sent-{name}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(project, folder.name):
        if not worktree.is_whole(folder):
            with _lock(project, "clone"):
                if not _has(project, commit):
                    git(project, "fetch", "--quiet", "--all")
                if not _has(project, commit):
                    raise BigfootError(f"commit {commit[:10]} is neither in {project} nor in its git remotes: push it")
                with worktree.made(project, folder):
                    worktree.add(project, folder, commit)
        room = Workspace(folder, project)
        room.params.write_text(content, encoding="utf-8")
        if lock:
            room.lock.write_text(lock, encoding="utf-8")
        load_params(room.params)
        yield room


def _lock(project: Path, name: str) -> contextlib.AbstractContextManager:
    """A lock that one process per host holds at a time. Its file stays, so it is beside the worktrees' folder, not in it."""
    from filelock import FileLock

    locks = Project(project).scratch / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{name}.lock")


def _has(project: Path, commit: str) -> bool:
    done = subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=project, capture_output=True)
    return done.returncode == 0


def absolute_tracking(project: Path) -> None:
    """Make a worktree's runs use the project's MLflow store, also where that is a file in the project's folder."""
    store = os.environ.get("MLFLOW_TRACKING_URI") or Project(project).store
    if store.startswith(SQLITE):
        store = f"{SQLITE}{project / store.removeprefix(SQLITE)}"
    os.environ["MLFLOW_TRACKING_URI"] = store


def _check(trial: Path, source: Path, overrides: list[str]) -> None:
    """Raise BigfootError where the params are wrong, with what the run was given in the place of the file's name."""
    try:
        load_params(trial)
    except BigfootError as error:
        given = f"{source} with the overrides {', '.join(overrides)}" if overrides else str(source)
        raise BigfootError(str(error).replace(str(trial), given)) from None


def _override(file: Path, overrides: list[str]) -> None:
    """Set the keys that overrides such as `a.b.c=value` name; values are YAML. Comments stay."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    content = yaml.load(file)
    for override in overrides:
        path, equals, value = override.partition("=")
        *parents, last = path.strip().split(".")
        section = content
        for key in parents:
            if isinstance(section, dict) and key in section:
                section[key] = copy.deepcopy(section[key])  # other sections may share it by an anchor
            section = section.get(key) if isinstance(section, dict) else None
        try:
            if not equals or not isinstance(section, dict):
                raise YAMLError
            section[last] = YAML(typ="safe").load(value)
        except (YAMLError, ValueError):
            example = "name a key of params.yaml and its value, as in students.half.layers=3"
            raise BigfootError(f"override '{override}': {example}") from None
    yaml.dump(content, file)
