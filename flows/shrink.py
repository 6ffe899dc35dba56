"""Flow `shrink`: the stages of dvc.yaml as tasks, independent ones side by side, up to date ones not at all.

Decision: Prefect holds no second copy of the graph. What there is to do, and what waits for what, is asked of DVC once at
the start (pipeline/graph.py); a task is `dvc repro --single-item STAGE`. The flow itself decides what starts next: a stage
whose needs are met, while fewer than `concurrency` run. A failed stage stops its own branch only; what follows from it ends
as NotRun, everything else is finished, and the flow ends failed, with its name.

`python -m flows.shrink` runs it by hand with its defaults, on Prefect's server or, where none is configured, an ephemeral one.
"""

import os
import sys
import threading
from pathlib import Path
from typing import Annotated, Literal

from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed
from prefect.states import Cancelled, Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows import process, show, workspace
from pipeline import graph, params
from pipeline.errors import BigfootError

MOST_AT_ONCE = 16
ALONE = "benchmark"  # measures, so nothing else runs on its host
GPU_STAGES = ("teacher", "student")
GPU_TAG = "gpu"  # `prefect concurrency-limit create gpu 1` keeps two trainings off one GPU
LOCKED = "Unable to acquire lock"


class Busy(Exception):
    """DVC's lock was held by another command: worth another try."""


@task(
    cache_policy=NO_CACHE,
    retries=4,
    retry_delay_seconds=[2, 5, 15, 60],
    retry_condition_fn=lambda task, run, state: isinstance(state.result(raise_on_failure=False), Busy),
)
def run_stage(stage: str, folder: Path, force: bool, seconds: float | None, stop: threading.Event) -> State:
    """`dvc repro --single-item` of one stage, its lines in this task's log."""
    log, progress, said = get_run_logger(), show.Progress(stage), []

    def hear(line: str) -> None:
        if line:
            said.append(line)
            log.info(line)
            progress.hear(line)

    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", *(["--force"] if force else []), stage]
    environment = {
        "BIGFOOT_FLOW_RUN": f"{runtime.flow_run.name} ({runtime.flow_run.id})",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",  # dvc.yaml says just `python`
    }
    if stage != ALONE:  # threads that spin while they wait slow two trainings side by side down to a quarter, not to a half
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
    try:
        status = process.run(command, folder, hear, stop, seconds, alone=stage == ALONE, environment=environment)
    except process.Stopped as why:
        return Failed(name="Stopped", message=f"{stage}: {why}")
    if status and any(LOCKED in line for line in said[-5:]):
        raise Busy(said[-1])
    if status:
        return Failed(message=f"{stage}: {_reason(said)}")
    return Completed(message=f"{stage}: done")


@task(cache_policy=NO_CACHE)
def skip_stage(stage: str, lacking: str | None) -> State:
    """A stage that is not run: it is up to date (Cached), or what it needs did not come about (NotRun)."""
    if lacking:
        return Cancelled(name="NotRun", message=f"{stage}: not run, for want of {lacking}")
    return Completed(name="Cached", message=f"{stage}: up to date")


@flow(name="shrink", flow_run_name="shrink-{profile}", task_runner=ThreadPoolTaskRunner(max_workers=MOST_AT_ONCE))
def shrink(
    profile: Annotated[
        Literal["in use", "quickstart", "digits"] | str,
        Field(description="A file of profiles/, without .yaml; 'in use' is params.yaml as it stands"),
    ] = "in use",
    overrides: Annotated[
        list[str], Field(description="Changed parameters, as in `dvc exp run --set-param`: students.half.layers=3")
    ] = [],  # noqa: B006  Prefect makes the form's default of it
    targets: Annotated[list[str], Field(description="Go as far as these stages, such as teacher or student@half")] = [],  # noqa: B006
    force: Annotated[bool, Field(description="Run stages again even where nothing has changed")] = False,
    concurrency: Annotated[int, Field(ge=1, le=MOST_AT_ONCE, description="Stages side by side")] = 2,
    project: Annotated[str, Field(description="The checkout to work in")] = ".",
) -> State:
    """Shrink the recogniser that params.yaml names: every stage of dvc.yaml that is not up to date, and the comparison."""
    log = get_run_logger()
    name = f"{runtime.flow_run.name or 'shrink'}-{str(runtime.flow_run.id)[:8]}".replace(" ", "-")
    try:
        room = workspace.open_workspace(Path(project).resolve(), name, None if profile == "in use" else profile, overrides)
        everything = graph.read(room.folder)
        wanted = graph.up_to(everything, targets) if targets else everything
        stale = set(wanted) if force else graph.stale(room.folder, everything) & set(wanted)
    except BigfootError as error:
        return Failed(message=str(error))
    settings = params.load(room.folder / "params.yaml")
    _absolute_tracking(room.project)
    log.info("%d of %d stages to run in %s", len(stale), len(wanted), room.folder)
    ended = _run_all(wanted, stale, room.folder, force, concurrency, settings.time_limits)
    failed = [state.message for state in ended.values() if state.is_failed() or state.is_crashed()]
    if failed:
        stays = f" (its worktree stays: {room.folder})" if room.is_own else ""
        return Failed(message="; ".join(failed) + stays)
    if "compare" in wanted:
        show.comparison(room.folder, settings.profile)
    if room.is_own:
        workspace.save(room, name)
        return Completed(message=f"{len(stale)} stages run, saved as DVC experiment {name}")
    return Completed(message=f"{len(stale)} stages run, {len(wanted) - len(stale)} were up to date")


def _run_all(
    wanted: graph.Graph, stale: set[str], folder: Path, force: bool, concurrency: int, limits: dict[str, float]
) -> dict[str, State]:
    """Every stage to its end, whatever that is: {stage: the state it ended in}."""
    stop, futures, ended, running = threading.Event(), {}, {}, {}
    try:
        while len(ended) < len(wanted):
            for stage, needs in wanted.items():
                needs = needs & set(wanted)
                if stage in futures or not needs <= set(ended):
                    continue
                lacking = sorted(need for need in needs if not ended[need].is_completed())
                waits_for = [futures[need] for need in sorted(needs) if need not in lacking]  # for the arrows in the UI
                if lacking or stage not in stale:
                    skipped = skip_stage.with_options(name=stage, task_run_name=stage)
                    futures[stage] = skipped.submit(stage, lacking[0] if lacking else None, wait_for=waits_for)
                elif len(running) < concurrency:
                    kind = stage.partition("@")[0]
                    hours = limits.get(stage, limits.get(kind))
                    tags = [GPU_TAG] if kind in GPU_STAGES and _has_gpu() else []
                    futures[stage] = run_stage.with_options(name=stage, task_run_name=stage, tags=tags).submit(
                        stage, folder, force, None if hours is None else 3600 * hours, stop, wait_for=waits_for
                    )
                    running[stage] = futures[stage]
                else:
                    continue
                if stage not in running:
                    ended[stage] = _state(futures[stage])
            if running:
                first = next(as_completed(list(running.values())))
                for stage in [stage for stage, future in running.items() if future is first]:
                    running.pop(stage)
                    ended[stage] = _state(first)
    except BaseException:
        stop.set()  # cancelled: every stage that runs is ended before the flow is
        for future in running.values():
            future.wait(timeout=30)
        raise
    return ended


def _state(future) -> State:
    """The state a task ended in; without wait() a future may still tell the one before."""
    future.wait()
    return future.state


def _reason(said: list[str]) -> str:
    """What a stage died of, from its last lines: its own error before DVC's."""
    errors = [line for line in said if line.startswith("error: ")]
    return (errors[-1].removeprefix("error: ") if errors else said[-1]) if said else "no message"


def _has_gpu() -> bool:
    return Path("/proc/driver/nvidia/version").exists() and os.environ.get("CUDA_VISIBLE_DEVICES") != ""


def _absolute_tracking(project: Path) -> None:
    """A worktree's runs go to the same MLflow store as the project's, whose default is a file in its folder."""
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'mlflow.db'}")


if __name__ == "__main__":
    shrink()
