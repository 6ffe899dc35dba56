"""Runs a stage on another machine: task `send_stage` requests it, and a worker there runs it with flow `stage`.

Decision: machines exchange files through the DVC remote only. `shrink` sends the commit, params.yaml and dvc.lock. The worker
makes a worktree from them in its own clone, gets the outputs of earlier stages with `dvc repro --pull`, and returns its own
with `dvc push --run-cache`. No other stage may run: a missing output of an earlier stage on the remote is an error.
"""

import threading
from pathlib import Path
from typing import Annotated, cast

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling, Completed, Failed, State
from pydantic import Field

from flows import process, show, waiting, workspace
from flows.repro import GPU_TAG, RETRIED, dvc, run_stage, stopped, this_flow_run, uses_gpu
from pipeline.common.errors import BigfootError

POLL_SECONDS = 2.0


@task(cache_policy=NO_CACHE, **RETRIED)
def send_stage(stage: str, room: workspace.Workspace, commit: str, seconds: float | None, stop: threading.Event) -> State:
    """Have a worker of deployment stage/any, or stage/gpu for what a GPU computes, run one stage, and pull its outputs here."""
    try:
        waiting.for_another_try(stop)
        return _send(stage, room, commit, seconds, stop)
    except process.Stopped as reason:
        return stopped(stage, reason)


def _send(stage: str, room: workspace.Workspace, commit: str, seconds: float | None, stop: threading.Event) -> State:
    deployment = f"stage/{GPU_TAG if uses_gpu(stage) else 'any'}"
    parameters = {
        "stage": stage, "commit": commit, "seconds": seconds, "sent_by": this_flow_run(),
        "params": room.params.read_text(encoding="utf-8"),
        "lock": room.lock.read_text(encoding="utf-8") if room.lock.is_file() else "",
    }  # fmt: skip
    with get_client(sync_client=True) as client:
        try:
            sent = cast(FlowRun, run_deployment(deployment, parameters=parameters, flow_run_name=stage, timeout=0))
        except ObjectNotFound:
            return Failed(message=f"{stage}: there is no deployment {deployment}: run `prefect deploy --all`")
        get_run_logger().info("sent to %s as flow run %s, which has the log", deployment, sent.id)
        while not ((state := client.read_flow_run(sent.id).state) and state.is_final()):
            if stop.wait(POLL_SECONDS):
                client.set_flow_run_state(sent.id, Cancelling(), force=True)
                raise process.Stopped("stopped with its flow")
    if not state.is_completed():
        return Failed(message=f"{state.message or f'{stage}: {state.name}'} (flow run {sent.id})")
    failed = dvc(["repro", "--single-item", "--pull", stage], stage, room.folder, stop, only="")
    return failed or Completed(message=f"{stage}: done elsewhere")


@flow(name="stage", flow_run_name="{stage}")
def stage(
    stage: Annotated[str, Field(description="A stage of dvc.yaml, such as student@half")],
    commit: Annotated[str, Field(description="The git commit to run it at")],
    params: Annotated[str, Field(description="The whole content of params.yaml")],
    lock: Annotated[str, Field(description="The whole content of dvc.lock, with the outputs of earlier stages")] = "",
    seconds: Annotated[float | None, Field(gt=0, description="Time limit in seconds")] = None,
    sent_by: Annotated[str, Field(description="The flow run that requests it, for MLflow's tags")] = "by hand",
) -> State:
    """Run one stage for a flow run on another machine, in this worker's clone. `shrink` with `spread` starts these runs."""
    try:
        with workspace.sent(Path.cwd(), show.slug(stage), commit, params, lock) as room:
            get_run_logger().info("%s at %s, in %s", stage, commit[:10], room.folder)
            workspace.absolute_tracking(room.project)
            task = run_stage.with_options(name=stage, task_run_name=stage)
            state = task(stage, room.folder, False, seconds, threading.Event(), sent_by, return_state=True)
            if state.is_completed():
                workspace.close(room)
    except BigfootError as error:
        return Failed(message=f"{stage}: {error}")
    if state.is_completed():
        return Completed(message=state.message)
    return Failed(message=f"{state.message} (the worktree stays: {room.folder})")
