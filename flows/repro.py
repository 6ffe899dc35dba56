"""One DVC stage as a task: `dvc repro` in a folder, its lines in the task's log, tried again only where that can help."""

import os
import sys
import threading
from pathlib import Path

from prefect import get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed, State

from flows import process, show, waiting
from pipeline.common.command import ONLY
from pipeline.common.errors import Temporary

ALONE = "benchmark"  # measures, so nothing else runs on its host
GPU_STAGES = ("teacher", "student")
GPU_TAG = "gpu"  # `prefect concurrency-limit create gpu 1` keeps two trainings off one GPU
LOCKED = ("Unable to acquire lock", "is being blocked by")  # DVC's words for its lock, and for its lock of outs
TEMPORARY = f"exited with {Temporary.status}"  # DVC's words for a stage that says so


class Again(Exception):
    """DVC's lock was held, or something outside was away: worth another try. Nothing else is."""


RETRIED = {  # at once: what has to be waited for, waiting.for_another_try does
    "retries": len(waiting.DELAYS),
    "retry_condition_fn": lambda task, run, state: isinstance(state.result(raise_on_failure=False), Again),
}


@task(cache_policy=NO_CACHE, **RETRIED)
def run_stage(
    stage: str, folder: Path, force: bool, seconds: float | None, stop: threading.Event, sent_by: str | None = None
) -> State:
    """One stage by `dvc repro --single-item`.

    `sent_by`: the flow run on another machine that asks for it; then what the stage needs comes from the remote, and what
    it makes goes there.
    """
    commands = [["repro", "--single-item", *(["--force"] if force else []), stage]]
    if sent_by:
        commands = [["repro", "--pull", stage], ["push", "--run-cache", stage]]
    try:
        waiting.for_another_try(stop)
        with waiting.slot(GPU_TAG if is_training(stage) and _has_gpu() else None, stop):
            for command in commands:
                failed = dvc(command, stage, folder, stop, seconds, only=stage if sent_by else None, flow_run=sent_by)
                if failed:
                    return failed
    except process.Stopped as why:
        return stopped(stage, why)
    return Completed(message=f"{stage}: done")


def stopped(stage: str, why: process.Stopped) -> State:
    """The state of a task that was ended from outside."""
    return Failed(name="Stopped", message=f"{stage}: {why}")


def is_training(stage: str) -> bool:
    return kind(stage) in GPU_STAGES


def kind(stage: str) -> str:
    """student@half -> student."""
    return stage.partition("@")[0]


def dvc(
    arguments: list[str], stage: str, folder: Path, stop: threading.Event, seconds: float | None = None,
    only: str | None = None, flow_run: str | None = None,
) -> State | None:  # fmt: skip
    """A DVC command in `folder`, its lines in the task's log: None, or the state of a task that failed by it.

    Raises Again where another try may help, and Stopped.

    `only`: no other stage's command may run (pipeline/stages refuses to); "" is none at all. `flow_run`: named in MLflow's
    tags; by default this one.
    """
    log, progress, said = get_run_logger(), show.Progress(stage), []

    def hear(line: str) -> None:
        if line:
            said.append(line)
            log.info(line)
            progress.hear(line)

    environment = {
        "BIGFOOT_FLOW_RUN": flow_run or this_flow_run(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",  # dvc.yaml says just `python`
    }
    if stage != ALONE:  # threads that spin while they wait slow two trainings side by side down to a quarter, not to a half
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
    if only is not None:
        environment[ONLY] = only
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
    alone = stage == ALONE and only != "" and arguments[0] == "repro"
    status = process.run(command, folder, hear, stop, seconds, alone=alone, environment=environment)
    if not status:
        return None
    message = f"{stage}: {_reason(said)}"
    if any(sign in line for line in said[-20:] for sign in (*LOCKED, TEMPORARY)):
        raise Again(message)
    return Failed(message=message)


def this_flow_run() -> str:
    """The flow run that this is in, as MLflow's tags name it."""
    return f"{runtime.flow_run.name} ({runtime.flow_run.id})"


def _reason(said: list[str]) -> str:
    """What a command died of: a stage's own error, before a lock of DVC's, before the last line."""
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    locked = [line for line in said if any(sign in line for sign in LOCKED)]
    return (errors or locked or said or ["no message"])[-1]


def _has_gpu() -> bool:
    return Path("/proc/driver/nvidia/version").exists() and os.environ.get("CUDA_VISIBLE_DEVICES") != ""
