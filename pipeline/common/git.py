"""Git's output for a folder, and the tags that state where a run comes from."""

import os
import platform
import subprocess
from pathlib import Path


def origin(root: Path) -> dict[str, str | None]:
    """Tags of a run: the git commit, whether tracked files have edits, the host, and Prefect's flow run."""
    edited = git(root, "status", "--porcelain", "--untracked-files=no")
    edited = None if edited is None else "yes" if edited else "no"
    return {
        "mlflow.source.git.commit": git(root, "rev-parse", "HEAD"), "git.edited": edited, "host": platform.node(),
        "prefect.flow_run": os.environ.get("BIGFOOT_FLOW_RUN"),
    }  # fmt: skip


def git(root: Path, *arguments: str) -> str | None:
    """The output of a git command at `root`, with names of files as they are; None without a repository, or where git fails."""
    command = ["git", "-c", "core.quotePath=false", *arguments]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def is_worktree(root: Path) -> bool:
    """Whether `root` is in a linked worktree (`git worktree add`), not in the repository's own folder."""
    folders = git(root, "rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir")
    return folders is not None and len(set(folders.splitlines())) > 1
