"""One stage run: the task that runs it here, and flow `stage`, by which a worker elsewhere runs it for `shrink`.

Decision: between machines only DVC's remote travels. `shrink` names the commit and hands over the params; the worker makes a
worktree of them in its own clone, `dvc repro --pull` brings in what earlier stages made (by DVC's run cache, so dvc.lock is
not shared), and `dvc push --run-cache` gives back what came out. No stage but the one asked for may run: what an earlier
one made is either on the remote, or that is an error.
"""

import os
import sys
import threading
from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed, State
from pydantic import Field

from flows import process, show, workspace
from pipeline.errors import Away, BigfootError
from pipeline.stages import ONLY

ALONE = "benchmark"  # measures, so nothing else runs on its host
LOCKED = "Unable to acquire lock"
TEMPORARY = f"exited with {Away.status}"  # in DVC's words


class Again(Exception):
    """DVC's lock was held, or something outside was away: worth another try. Nothing else is."""


RETRIED = {
    "retries": 4,
    "retry_delay_seconds": [2, 10, 60, 300],
    "retry_condition_fn": lambda task, run, state: isinstance(state.result(raise_on_failure=False), Again),
}


@task(cache_policy=NO_CACHE, **RETRIED)
def run_stage(
    stage: str, folder: Path, force: bool, seconds: float | None, stop: threading.Event, sent_by: str | None = None
) -> State:
    """One stage by `dvc repro --single-item`, its lines in this task's log.

    `sent_by`: the flow run on another machine that asks for it; then what the stage needs comes from the remote, and what
    it makes goes there.
    """
    commands = [["repro", "--single-item", *(["--force"] if force else []), stage]]
    if sent_by:
        commands = [["repro", "--pull", stage], *(commands if force else []), ["push", "--run-cache", stage]]
    for command in commands:
        try:
            status, said = dvc(command, stage, folder, stop, seconds, only=stage if sent_by else None, flow_run=sent_by)
        except process.Stopped as why:
            return Failed(name="Stopped", message=f"{stage}: {why}")
        if status:
            return Failed(message=f"{stage}: {reason(said)}")
    return Completed(message=f"{stage}: done")


@flow(name="stage", flow_run_name="{stage}")
def stage(
    stage: Annotated[str, Field(description="A stage of dvc.yaml, such as student@half")],
    commit: Annotated[str, Field(description="The git commit to run it at")],
    params: Annotated[str, Field(description="The whole content of params.yaml")],
    force: Annotated[bool, Field(description="Run it even where the remote has its outcome")] = False,
    seconds: Annotated[float | None, Field(gt=0, description="How long it may take")] = None,
    sent_by: Annotated[str, Field(description="The flow run that asks for it, for MLflow's tags")] = "by hand",
) -> State:
    """Run one stage for a flow run elsewhere, in this worker's own clone. `shrink` with `spread` starts these."""
    try:
        room = workspace.open_sent(Path.cwd(), show.slug(stage), commit, params)
    except BigfootError as error:
        return Failed(message=str(error))
    get_run_logger().info("%s at %s, in %s", stage, commit[:10], room.folder)
    state = run_stage.with_options(name=stage, task_run_name=stage)(
        stage, room.folder, force, seconds, threading.Event(), sent_by, return_state=True
    )
    if not state.is_completed():
        return Failed(message=f"{state.message} (the worktree stays: {room.folder})")
    workspace.close(room)
    return Completed(message=state.message)


def dvc(
    arguments: list[str], stage: str, folder: Path, stop: threading.Event, seconds: float | None = None,
    only: str | None = None, flow_run: str | None = None,
) -> tuple[int, list[str]]:  # fmt: skip
    """A DVC command in `folder` as a task runs it: (exit status, what it said). Raises Again and process.Stopped.

    `only`: no other stage's command may run (pipeline/stages refuses to). `flow_run`: named in MLflow's tags; by default
    this one.
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
    status = process.run(command, folder, hear, stop, seconds, alone=stage == ALONE, environment=environment)
    if status and any(sign in line for line in said[-5:] for sign in (LOCKED, TEMPORARY)):
        raise Again(reason(said))
    return status, said


def this_flow_run() -> str:
    """The flow run that this is in, as MLflow's tags name it."""
    return f"{runtime.flow_run.name} ({runtime.flow_run.id})"


def reason(said: list[str]) -> str:
    """What a command died of, from its last lines: a stage's own error before DVC's."""
    errors = [line for line in said if line.startswith("error: ")]
    return (errors[-1].removeprefix("error: ") if errors else said[-1]) if said else "no message"
