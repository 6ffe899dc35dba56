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
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.errors import BigfootError, Temporary
from pipeline.params import Budget
from pipeline.project import Project, load_params

SENT = (Project().params.name, Project().lock.name)  # sent with each stage
LINKS = "reflink,hardlink,symlink,copy"  # how a worktree gets its files from DVC's cache: the first that the file system can


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
    students.half.layers=3. An existing worktree is used again.
    """
    if not profile and not overrides and not own:
        load_params(Project(project).params)
        return Workspace(project, project)
    source = Project(project).profile(profile) if profile else Project(project).params
    folder = Project(project).worktrees / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    trial, room = folder.parent / f"{name}.yaml", Workspace(folder, project, is_resumed=folder.is_dir())
    try:
        shutil.copyfile(source, trial)
        _override(trial, overrides)
        _check(trial, source, overrides)
        if not room.is_resumed:
            with _removed_on_failure(room):
                _make(project, folder)
        os.replace(trial, room.params)
    finally:
        trial.unlink(missing_ok=True)
    return room


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
        dvc(workspace.folder, "exp", "save", "--name", name, "--force", *stages)
    close(workspace)


def close(workspace: Workspace) -> None:
    """Remove a worktree; DVC's cache stays."""
    if workspace.is_own:
        for _ in range(5):  # one of DVC's background processes may still write there
            shutil.rmtree(workspace.folder, ignore_errors=True)
            if not workspace.folder.exists():
                break
            time.sleep(0.5)
        _git(workspace.project, "worktree", "prune")


def dvc(folder: Path, *arguments: str) -> str:
    """Run DVC in a folder and return its output; where it fails, raise BigfootError with its last error line."""
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        output = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no message"]
        errors = [line for line in output if line.startswith("ERROR:")]  # lines with help may follow them
        raise BigfootError(f"dvc {' '.join(arguments)}: {(errors or output)[-1]}")
    return done.stdout


def share(workspace: Workspace) -> str:
    """Push the outputs of this folder's stages to the DVC remote for other machines, and return its commit.

    Raises BigfootError where there is no remote, or there are uncommitted edits.
    """
    folder = workspace.folder
    if not dvc(folder, "remote", "list").strip():
        raise BigfootError("spread needs a DVC remote that all machines reach: run `dvc remote add -d NAME ADDRESS` and commit")
    edited = [line[3:] for line in _git(folder, "status", "--porcelain", "--no-renames", "-uall").splitlines()]
    if edited := [name for name in edited if name not in SENT]:
        raise BigfootError(f"other machines run committed code, so commit and push these edits first: {', '.join(edited[:5])}")
    dvc(folder, "push", "--run-cache")
    return _git(folder, "rev-parse", "HEAD").strip()


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
        if not folder.is_dir():
            with _lock(project, "clone"):
                if not _has(project, commit):
                    _git(project, "fetch", "--quiet", "--all")
                if not _has(project, commit):
                    raise BigfootError(f"commit {commit[:10]} is neither in {project} nor in its git remotes: push it")
                with _removed_on_failure(Workspace(folder, project)):
                    _add(project, folder, commit)
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
    """Make a worktree's runs use the project's MLflow store, which by default is a file in the project's folder."""
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{Project(project).database}")


@contextlib.contextmanager
def _removed_on_failure(workspace: Workspace) -> Iterator[None]:
    """Remove a worktree whose creation failed or was canceled, so that no later run uses it."""
    try:
        yield
    except BaseException:
        close(workspace)
        raise


def _make(project: Path, folder: Path) -> None:
    """A worktree of HEAD with the project's uncommitted edits."""
    _add(project, folder, "HEAD")
    for line in filter(None, _git(project, "status", "--porcelain", "--no-renames", "-z", "-uall").split("\0")):
        source, target = project / line[3:], folder / line[3:]
        if source.exists():  # a folder only where it is a link, as to speech on another disk
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            if source.is_symlink():
                target.symlink_to(source.resolve())
            else:
                shutil.copy2(source, target)
        else:
            target.unlink(missing_ok=True)
    dvc(folder, "checkout", "--allow-missing", "--quiet")


def _add(project: Path, folder: Path, commit: str) -> None:
    """A worktree of a commit, with the project's DVC cache and its local DVC configuration.

    Its files are links into that cache unless the project sets cache.type, so the corpus is on the disk once, however many
    worktrees there are. Links are read-only; DVC removes a stage's outputs before it runs, so no stage writes into one.
    """
    _git(project, "worktree", "prune")
    _git(project, "worktree", "add", "--detach", str(folder), commit)
    local = project / ".dvc" / "config.local"
    if local.is_file():
        shutil.copy2(local, folder / ".dvc" / "config.local")
    cache = dvc(project, "cache", "dir").strip()
    dvc(folder, "config", "--local", "cache.dir", str((project / cache).resolve()))
    if "cache.type=" not in dvc(folder, "config", "--list"):
        dvc(folder, "config", "--local", "cache.type", LINKS)


def _check(trial: Path, source: Path, overrides: list[str]) -> None:
    """Raise BigfootError where the params are wrong, with what the run was given in the place of the file's name."""
    try:
        load_params(trial)
    except BigfootError as error:
        given = f"{source} with the overrides {', '.join(overrides)}" if overrides else str(source)
        raise BigfootError(str(error).replace(str(trial), given)) from None


def _override(file: Path, overrides: list[str]) -> None:
    """Set the keys that overrides such as `a.b.c=value` name; values are YAML. Comments stay."""
    from ruamel.yaml import YAML, YAMLError

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
        except YAMLError:
            example = "name a key of params.yaml and its value, as in students.half.layers=3"
            raise BigfootError(f"override '{override}': {example}") from None
    yaml.dump(content, file)


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise BigfootError(f"git {' '.join(arguments[:2])} failed in {folder}: {' '.join(done.stderr.split())}")
    return done.stdout
