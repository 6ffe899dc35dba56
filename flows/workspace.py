"""Where a flow run works: the project itself, or a worktree of its own that shares DVC's cache and ends as a DVC experiment.

A run with a profile or overrides of its own must not touch the params.yaml, dvc.lock and outs that someone else is looking
at. It gets a git worktree with what the project has now (uncommitted edits included, as `dvc exp run` would take them), the
same DVC cache and local configuration, and is saved with `dvc exp save` under a name that `dvc exp show` lists and `dvc exp
apply` brings in. The worktree goes in the end; after a failure it stays, named, with its checkpoints.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.project import Project, load_params

TRAVELS = ("params.yaml", "dvc.lock")  # go with each stage


@dataclass(frozen=True)
class Workspace:
    """A folder to run stages in; `project` is the checkout it belongs to, the same one where it is no worktree.

    `is_found`: an earlier try of the same flow run has left it, after a failure.
    """

    folder: Path
    project: Path
    is_found: bool = False

    @property
    def params(self) -> Path:
        return Project(self.folder).params

    @property
    def lock(self) -> Path:
        return Project(self.folder).lock

    @property
    def is_own(self) -> bool:
        return self.folder != self.project


def open_workspace(project: Path, name: str, profile: str | None, overrides: list[str]) -> Workspace:
    """The project itself, or a worktree `name` with these params; raises BigfootError where the params are wrong.

    `overrides` are as in `dvc exp run --set-param`: students.half.layers=3. A worktree that is there already is gone on with.
    """
    if not profile and not overrides:
        load_params(Project(project).params)
        return Workspace(project, project)
    source = Project(project).profile(profile) if profile else Project(project).params
    folder = Project(project).worktrees / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    trial, room = folder.parent / f"{name}.yaml", Workspace(folder, project, is_found=folder.is_dir())
    try:
        shutil.copyfile(source, trial)
        _override(trial, overrides)
        load_params(trial)
        if not room.is_found:
            with _whole_or_gone(room):
                _make(project, folder)
        os.replace(trial, room.params)
    finally:
        trial.unlink(missing_ok=True)
    return room


def save(workspace: Workspace, name: str, stages: Iterable[str] = ()) -> None:
    """Save a worktree's outcome as the DVC experiment `name`, and remove the worktree.

    `stages`: only these have run, by default all; what lies there of others was made with other params, and `dvc exp save`
    would record it as if made with these.
    """
    with _lock(workspace.project, "save"):  # it stashes, and notes its progress, under names that all worktrees share
        dvc(workspace.folder, "exp", "save", "--name", name, "--force", *stages)
    close(workspace)


def close(workspace: Workspace) -> None:
    """Remove a worktree; what is in DVC's cache stays."""
    if workspace.is_own:
        for _ in range(5):  # a daemon of DVC's may still write there while it goes
            shutil.rmtree(workspace.folder, ignore_errors=True)
            if not workspace.folder.exists():
                break
            time.sleep(0.5)
        _git(workspace.project, "worktree", "prune")


def dvc(folder: Path, *arguments: str) -> str:
    """Run DVC in a folder and return what it prints; raises BigfootError with its error's last line where it fails."""
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no message"]
        errors = [line for line in said if line.startswith("ERROR:")]  # after them it may offer help
        raise BigfootError(f"dvc {' '.join(arguments)}: {(errors or said)[-1]}")
    return done.stdout


def share(workspace: Workspace) -> str:
    """Make what this folder has known to other machines: its commit, and by the DVC remote what its stages have made.

    Returns the commit. Raises BigfootError where there is no remote, or edits that no commit has.
    """
    folder = workspace.folder
    if not dvc(folder, "remote", "list").strip():
        raise BigfootError("spread needs a DVC remote that all machines reach: `dvc remote add -d NAME ADDRESS`, and commit it")
    edited = [line[3:] for line in _git(folder, "status", "--porcelain", "--no-renames", "-uall").splitlines()]
    if edited := [name for name in edited if name not in TRAVELS]:
        raise BigfootError(f"other machines run what is committed and pushed, and this is not: {', '.join(edited[:5])}")
    dvc(folder, "push", "--run-cache")
    return _git(folder, "rev-parse", "HEAD").strip()


@contextlib.contextmanager
def sent(project: Path, name: str, commit: str, content: str, lock: str) -> Iterator[Workspace]:
    """A worktree of a commit with this params.yaml and dvc.lock, for a stage that another machine asks for.

    The same stage, commit and params are the same worktree: after a failure its checkpoints are taken up again, and a
    second request waits for the first. Raises BigfootError where the commit is nowhere to be had, or the params are wrong.
    """
    mark = hashlib.sha256(f"{commit} {content}".encode()).hexdigest()[:10]
    folder = Project(project).worktrees / f"sent-{name}-{mark}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(project, folder.name):
        if not folder.is_dir():
            with _lock(project, "clone"):
                if not _has(project, commit):
                    _git(project, "fetch", "--quiet", "--all")
                if not _has(project, commit):
                    raise BigfootError(f"commit {commit[:10]} is not in {project}, nor where it fetches from: push it")
                with _whole_or_gone(Workspace(folder, project)):
                    _add(project, folder, commit)
        room = Workspace(folder, project)
        room.params.write_text(content, encoding="utf-8")
        if lock:
            room.lock.write_text(lock, encoding="utf-8")
        load_params(room.params)
        yield room


def _lock(project: Path, name: str) -> contextlib.AbstractContextManager:
    """Held by one process of this host at a time. Its file outlives it, so it lies beside the worktrees' folder, not in it."""
    from filelock import FileLock

    locks = Project(project).scratch / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{name}.lock")


def _has(project: Path, commit: str) -> bool:
    found = subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=project, capture_output=True)
    return found.returncode == 0


def absolute_tracking(project: Path) -> None:
    """A worktree's runs go to the same MLflow store as the project's, whose default is a file in its folder."""
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{Project(project).database}")


@contextlib.contextmanager
def _whole_or_gone(workspace: Workspace) -> Iterator[None]:
    """Nobody is to find, and go on with, a worktree whose making failed or was cancelled."""
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
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        else:
            target.unlink(missing_ok=True)
    dvc(folder, "checkout", "--allow-missing", "--quiet")


def _add(project: Path, folder: Path, commit: str) -> None:
    """A worktree of a commit, with the project's DVC cache and its local DVC configuration."""
    _git(project, "worktree", "prune")
    _git(project, "worktree", "add", "--detach", str(folder), commit)
    local = project / ".dvc" / "config.local"
    if local.is_file():
        shutil.copy2(local, folder / ".dvc" / "config.local")
    cache = dvc(project, "cache", "dir").strip()
    dvc(folder, "config", "--local", "cache.dir", str((project / cache).resolve()))


def _override(file: Path, overrides: list[str]) -> None:
    """Set the values that `a.b.c=value` name, keeping comments; values are YAML."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    content = yaml.load(file)
    for override in overrides:
        path, equals, value = override.partition("=")
        *parents, last = path.strip().split(".")
        place = content
        for key in parents:
            place = place.get(key) if isinstance(place, dict) else None
        if not equals or not isinstance(place, dict):
            raise BigfootError(f"override '{override}': name a key of params.yaml and its value, as in students.half.layers=3")
        place[last] = YAML(typ="safe").load(value)
    yaml.dump(content, file)


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise BigfootError(f"git {' '.join(arguments[:2])} failed in {folder}: {' '.join(done.stderr.split())}")
    return done.stdout
