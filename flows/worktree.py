"""How a git worktree is made for a flow run, with the project's DVC cache and what else DVC needs, and how it is removed.

Decision: a kill may come while one is made, and a later try must not work in a half of it. So it is marked as the last step,
and one without the mark is made anew.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.common import git as common_git
from pipeline.common import graph
from pipeline.common.addresses import safe
from pipeline.common.errors import BigfootError

AUTHOR = {"NAME": "Bigfoot", "EMAIL": "bigfoot@localhost"}
LINKS = "reflink,hardlink,symlink,copy"  # how a worktree gets its files from DVC's cache: the first that the file system can


@contextlib.contextmanager
def made(project: Path, folder: Path) -> Iterator[None]:
    """While a worktree is made: without what a kill left of it, marked at the end, and removed after a failure."""
    if folder.exists():
        remove(project, folder)
    try:
        yield
    except BaseException:
        remove(project, folder)
        raise
    if mark := _mark(folder):
        mark.touch()


def is_whole(folder: Path) -> bool:
    mark = _mark(folder)
    return mark is not None and mark.exists()


def _mark(folder: Path) -> Path | None:
    """The file that says that a worktree is whole, beside git's own files about it; None of a folder that is no worktree."""
    link = folder / ".git"
    return Path(link.read_text(encoding="utf-8").removeprefix("gitdir:").strip()) / "bigfoot" if link.is_file() else None


def make(project: Path, folder: Path) -> None:
    """A worktree of HEAD with the project's uncommitted edits."""
    add(project, folder, "HEAD")
    for line in filter(None, git(project, "status", "--porcelain", "--no-renames", "-z", "-uall").split("\0")):
        source, target = project / line[3:], folder / line[3:]
        if source.is_dir() and not source.is_symlink():
            continue  # a git repository within this one, which belongs to no commit of it
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


def add(project: Path, folder: Path, commit: str) -> None:
    """A worktree of a commit, with the project's DVC cache, its local DVC configuration and its remotes.

    Its files are links into that cache unless the project sets cache.type, so the corpus is on the disk once, however many
    worktrees there are. Links are read-only; DVC removes a stage's outputs before it runs, so no stage writes into one.
    """
    git(project, "worktree", "prune")
    git(project, "worktree", "add", "--detach", str(folder), commit)
    local = project / ".dvc" / "config.local"
    if local.is_file():
        shutil.copy2(local, folder / ".dvc" / "config.local")
    cache = dvc(project, "cache", "dir").strip()
    dvc(folder, "config", "--local", "cache.dir", str((project / cache).resolve()))
    if "cache.type=" not in dvc(folder, "config", "--list"):
        dvc(folder, "config", "--local", "cache.type", LINKS)
    for name, place in graph.remote_folders(project).items():  # in the project's files they may be relative to the project
        dvc(folder, "config", "--local", f"remote.{name}.url", place)


def remove(project: Path, folder: Path) -> None:
    """Remove a worktree; DVC's cache stays."""
    if mark := _mark(folder):
        mark.unlink(missing_ok=True)
    for _ in range(5):  # one of DVC's background processes may still write there
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.5)
    git(project, "worktree", "prune")


def identity(folder: Path) -> dict[str, str]:
    """What names the author of a commit where git knows none, as in a container; `dvc exp save` needs one."""
    if all(common_git.git(folder, "config", key) is not None for key in ("user.name", "user.email")):
        return {}
    names = {f"GIT_{who}_{key}": name for who in ("AUTHOR", "COMMITTER") for key, name in AUTHOR.items()}
    return {key: name for key, name in names.items() if key not in os.environ}


def dvc(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run DVC in a folder and return its output; where it fails, raise BigfootError with its last error line."""
    command, variables = [sys.executable, "-m", "dvc", *arguments], {**os.environ, **(environment or {})}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    if done.returncode:
        output = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no message"]
        errors = [line for line in output if line.startswith("ERROR:")]  # lines with help may follow them
        raise BigfootError(safe(f"dvc {' '.join(arguments)}: {(errors or output)[-1]}"))
    return done.stdout


def git(folder: Path, *arguments: str) -> str:
    # Names of files may be any bytes.
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, errors="surrogateescape")
    if done.returncode:
        raise BigfootError(safe(f"git {' '.join(arguments[:2])} failed in {folder}: {' '.join(done.stderr.split())}"))
    return done.stdout
