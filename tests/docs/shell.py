"""A clone in which the documentation's commands can be executed: this code, committed, with its tools on the PATH."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT

TOOLS = {"python": "", "bigfoot": "-m pipeline.cli", "dvc": "-m dvc", "mlflow": "-m mlflow", "prefect": "-m prefect"}
TOOLS |= {"accelerate": "-m accelerate.commands.accelerate_cli", "torchrun": "-m torch.distributed.run"}
GIT = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "t"), ("EMAIL", "t@t"))}


def clone(folder: Path) -> Path:
    """The tracked files of this checkout as they stand, in a repository of their own; dvc.lock stays behind."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=folder, check=True, env=os.environ | GIT)


def environment(folder: Path) -> dict[str, str]:
    """What a shell in that clone sees: tools of this Python that use the clone's own code; no server, no person's settings."""
    tools = folder.parent / "tools"
    if not tools.is_dir():
        tools.mkdir()
        for tool, arguments in TOOLS.items():
            (tools / tool).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
            (tools / tool).chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PREFECT_", "AWS_"))}
    return kept | GIT | {
        "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip


def run(script: str, folder: Path, **variables: str) -> str:
    """Execute a script in the clone; returns its output. A command that fails ends it, and is the last one shown."""
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment(folder) | variables, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=3000,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout
