"""One DVC stage as a task: `dvc repro` in a folder, with its output in the task's log, retried only where that can help."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

from prefect import get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed, State

from flows import process, show, waiting
from pipeline.common.addresses import safe
from pipeline.common.command import ONLY
from pipeline.common.errors import Temporary

ALONE = "benchmark"  # measures, so nothing else runs on its host
GPU_STAGES = ("teacher", "teacher_logits", "student")
GPU_TAG = "gpu"  # `prefect concurrency-limit create gpu 1` keeps two of these stages off one GPU
LOCKED = ("Unable to acquire lock", "is being blocked by")  # DVC's messages for a held repository lock, and a held lock of outs
TEMPORARY = f"exited with {Temporary.status}"  # DVC's message for a stage with this exit status


class Again(Exception):
    """DVC's lock was held, or an outside service could not be reached. Only these failures are tried again."""


RETRIED: dict[str, Any] = {  # Prefect retries without a delay; waiting.for_another_try waits
    "retries": len(waiting.DELAYS),
    "retry_condition_fn": lambda task, run, state: isinstance(state.result(raise_on_failure=False), Again),
}


@task(cache_policy=NO_CACHE, **RETRIED)
def run_stage(
    stage: str, folder: Path, force: bool, seconds: float | None, stop: threading.Event, sent_by: str | None = None
) -> State:
    """Run one stage by `dvc repro --single-item`.

    `sent_by`: the flow run on another machine that requested the stage; then its inputs are pulled from the DVC remote and its
    outputs are pushed there.
    """
    commands = [["repro", "--single-item", *(["--force"] if force else []), stage]]
    if sent_by:
        commands = [["repro", "--pull", stage], ["push", "--run-cache", stage]]
    try:
        waiting.for_another_try(stop)
        with waiting.slot(GPU_TAG if uses_gpu(stage) and _has_gpu() else None, stop):
            for command in commands:
                failed = dvc(command, stage, folder, stop, seconds, only=stage if sent_by else None, flow_run=sent_by)
                if failed:
                    return failed
    except process.Stopped as reason:
        return stopped(stage, reason)
    return Completed(message=f"{stage}: done")


def stopped(stage: str, reason: process.Stopped) -> State:
    """The state of a task that was ended from outside."""
    return Failed(name="Stopped", message=f"{stage}: {reason}")


def uses_gpu(stage: str) -> bool:
    return kind(stage) in GPU_STAGES


def kind(stage: str) -> str:
    """student@half -> student."""
    return stage.partition("@")[0]


def dvc(
    arguments: list[str], stage: str, folder: Path, stop: threading.Event, seconds: float | None = None,
    only: str | None = None, flow_run: str | None = None,
) -> State | None:  # fmt: skip
    """Run a DVC command in `folder`, with its output in the task's log; returns None, or the state of the failed task.

    Raises Again where another try may help, and Stopped.

    `only`: the one stage whose command may run (the others refuse, see pipeline/common/command.py); "" allows none. `flow_run`:
    the flow run in MLflow's tags; by default this one.
    """
    log, progress, output = get_run_logger(), show.Progress(stage), []

    def on_line(line: str) -> None:
        line = safe(line)  # DVC names its remote with the password
        if line:
            output.append(line)
            log.info(line)
            progress.update(line)

    environment = {
        "BIGFOOT_FLOW_RUN": flow_run or this_flow_run(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",  # dvc.yaml calls `python`
    }
    if stage != ALONE:  # with threads that spin while they wait, two trainings side by side run at a quarter speed, not at half
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
    if only is not None:
        environment[ONLY] = only
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
    alone = stage == ALONE and only != "" and arguments[0] == "repro"
    status = process.run(command, folder, on_line, stop, seconds, alone=alone, environment=environment)
    if not status:
        return None
    message = f"{stage}: {_reason(output)}"
    if any(sign in line for line in output[-20:] for sign in (*LOCKED, TEMPORARY)):
        raise Again(message)
    return Failed(message=message)


def this_flow_run() -> str:
    """The current flow run, as in MLflow's tags: name and id."""
    return f"{runtime.flow_run.name} ({runtime.flow_run.id})"


def _reason(output: list[str]) -> str:
    """Why a command failed: the stage's own error, otherwise DVC's message on a lock, otherwise the last line of output."""
    errors = [line.removeprefix("error: ") for line in output if line.startswith("error: ")]
    locked = [line for line in output if any(sign in line for sign in LOCKED)]
    return (errors or locked or output or ["no message"])[-1]


def _has_gpu() -> bool:
    return Path("/proc/driver/nvidia/version").exists() and os.environ.get("CUDA_VISIBLE_DEVICES") != ""
