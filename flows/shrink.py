"""Flow `shrink`: runs the stages of dvc.yaml as tasks, independent stages in parallel, and skips stages that are up to date.

Decision: Prefect has no second copy of the graph. DVC reports once, at the start, which stages are stale and what they depend
on (pipeline/common/graph.py); a task is `dvc repro --single-item STAGE`. The flow decides which stage starts next: one whose
dependencies are complete, while fewer than `concurrency` run. A failed stage stops only the stages that depend on it: they end
as NotRun, all others finish, and the flow fails with the failed stage's name in its message.

`python -m flows.shrink` runs it with its defaults, on the configured Prefect server or else on one of its own.
"""

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast

from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Cancelled, Completed, Failed, State
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from flows import service, show, waiting, workspace
from flows.repro import RETRIED, Again, kind, run_stage, this_flow_run
from flows.stage import send_stage
from pipeline.common import graph
from pipeline.common.command import stage_main
from pipeline.common.errors import BigfootError, Temporary
from pipeline.params import Budget, Params
from pipeline.project import Project, load_params

MOST_AT_ONCE = 16
PROFILES = sorted(file.stem for file in Project(Path(__file__).parents[1]).profiles.glob("*.yaml"))
Start = Callable[..., PrefectFuture]
AWAY = "no MLflow server at"  # from the message of pipeline/tracking


@task(
    cache_policy=NO_CACHE, retry_delay_seconds=list(waiting.DELAYS), **RETRIED
)  # runs in the flow's own thread, so Prefect's delay blocks nothing
def catch_up(folder: Path) -> State:
    """Log to MLflow what it lacks, with retries while its server can't be reached; a failure here does not fail the run."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "track"], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"BIGFOOT_FLOW_RUN": this_flow_run()},
    )  # fmt: skip
    output = (done.stdout + done.stderr).strip()
    get_run_logger().info(output)
    if AWAY in output:
        raise Again(output)
    return Failed(message=output.splitlines()[-1]) if done.returncode else Completed(message=output)


@task(cache_policy=NO_CACHE)
def skip_stage(stage: str, lacking: str | None) -> State:
    """A stage that is not run: it is up to date (Cached), or a stage that it depends on did not complete (NotRun)."""
    if lacking:
        return Cancelled(name="NotRun", message=f"{stage}: not run, because {lacking} did not complete")
    return Completed(name="Cached", message=f"{stage}: up to date")


RUNNER = cast(TaskRunner[PrefectFuture], ThreadPoolTaskRunner(max_workers=MOST_AT_ONCE))


@flow(name="shrink", flow_run_name="shrink-{profile}", task_runner=RUNNER)
def shrink(
    profile: Annotated[
        str,
        Field(
            description="A file in profiles/, without .yaml; 'in use' is the current params.yaml",
            json_schema_extra={"enum": ["in use", *PROFILES]},  # a list to choose from
        ),
    ] = "in use",
    overrides: Annotated[
        list[str], Field(description="Changed parameters, as in `dvc exp run --set-param`: students.half.layers=3")
    ] = [],  # noqa: B006  Prefect uses it as the form's default
    targets: Annotated[list[str], Field(description="Run only these stages and their needs, such as student@half")] = [],  # noqa: B006
    force: Annotated[bool, Field(description="Run stages again even if nothing has changed")] = False,
    concurrency: Annotated[int, Field(ge=1, le=MOST_AT_ONCE, description="Stages in parallel")] = 2,
    project: Annotated[str, Field(description="The checkout to work in")] = ".",
    spread: Annotated[
        bool, Field(description="Send stages to workers of deployment stage/any or, for trainings, stage/gpu")
    ] = False,
    budget: Annotated[
        Budget | None, Field(description="Propose students for this size and time, as `bigfoot propose` does, and make them")
    ] = None,
) -> State:
    """Shrink the recognizer of params.yaml: run every stage of dvc.yaml that is not up to date, and show the comparison."""
    log, room = get_run_logger(), None
    name = f"{runtime.flow_run.name or 'shrink'}-{str(runtime.flow_run.id)[:8]}".replace(" ", "-")
    try:
        if force and spread:
            raise BigfootError("force and spread can't be combined: the remote would hold two outputs of one stage")
        chosen = None if profile == "in use" else profile
        checkout = Path(project).resolve()
        for file in workspace.record_data(checkout):
            log.info("the data of %s was edited: recorded, as `dvc repro` does", file)
        room = workspace.open_workspace(checkout, name, chosen, overrides, own=budget is not None)
        workspace.absolute_tracking(room.project)
        made = _propose(room, budget, force, concurrency, spread) if budget else set()
        wanted, stale = _needed(room, targets, force)
        stale -= made  # by force, and not twice
        commit = workspace.share(room) if spread and stale else None
    except BigfootError as error:
        if room and not room.is_resumed and not budget:  # for a budget, stages may have run
            workspace.close(room)
        return Failed(message=f"{error}{_kept_worktree(room)}")
    settings = load_params(room.params)
    log.info("%d of %d stages to run in %s", len(stale), len(wanted), room.folder)

    if failed := _failed(_run_all(wanted, stale, concurrency, _starter(room, settings, force, commit))):
        return Failed(message=failed + _kept_worktree(room))
    not_logged = ""
    if "compare" in wanted:
        tracking = catch_up.with_options(name="tracking", task_run_name="tracking")(room.folder, return_state=True)
        if not tracking.is_completed():
            first = f"`dvc exp apply {name}`, then " if room.is_own else ""
            not_logged = f"; MLflow lacks them: {first}`bigfoot track`"
        try:
            show.comparison(room.folder, settings.profile, settings.tracking.experiment)
        except Exception as error:  # of several libraries, where the server is away: the stages have run
            log.warning("the comparison is not shown here, reports/ has it: %s", error)
    if room.is_own:
        try:
            workspace.save(room, name, wanted if targets else ())
        except BigfootError as error:
            return Failed(message=f"{error}{_kept_worktree(room)}")
        return Completed(message=f"{len(stale)} stages run, saved as DVC experiment {name}{not_logged}")
    return Completed(message=f"{len(stale)} stages run, {len(wanted) - len(stale)} were up to date{not_logged}")


@task(cache_policy=NO_CACHE, retry_delay_seconds=list(waiting.DELAYS), **RETRIED)  # in the flow's own thread, as `catch_up`
def propose(room: workspace.Workspace, budget: Budget) -> State:
    """Run `bigfoot propose`, which changes the worktree's params; again, where another benchmark is running."""
    try:
        output = workspace.propose(room, budget)
    except Temporary as error:
        raise Again(str(error)) from None
    except BigfootError as error:
        return Failed(message=str(error))
    get_run_logger().info(output)
    return Completed(message=output.splitlines()[-1])


def _needed(room: workspace.Workspace, targets: list[str], force: bool) -> tuple[graph.Graph, set[str]]:
    """The stages up to the targets, or all, and those of them that have to run."""
    stages = graph.read(room.folder)
    wanted = graph.up_to(stages, targets) if targets else stages
    return wanted, set(wanted) if force else graph.stale(room.folder, stages, wait=True) & set(wanted)


def _propose(room: workspace.Workspace, budget: Budget, force: bool, concurrency: int, spread: bool) -> set[str]:
    """Make the teacher, which students are cut from, and write proposals into the worktree's params; returns the stages run.

    Raises BigfootError where a stage fails, or nothing fits.
    """
    wanted, stale = _needed(room, ["teacher"], force)
    commit = workspace.share(room) if spread and stale else None
    if failed := _failed(_run_all(wanted, stale, concurrency, _starter(room, load_params(room.params), force, commit))):
        raise BigfootError(failed)
    state = propose.with_options(name="propose", task_run_name="propose")(room, budget, return_state=True)
    if not state.is_completed():
        raise BigfootError(str(state.message))
    return stale


def _starter(room: workspace.Workspace, settings: Params, force: bool = False, commit: str | None = None) -> Start:
    """Starts a stage here, or at a commit on another machine."""

    def start(stage: str, stop: threading.Event, waits_for: list[PrefectFuture]) -> PrefectFuture:
        hours = settings.time_limits.get(stage, settings.time_limits.get(kind(stage)))
        seconds = None if hours is None else 3600 * hours
        if commit:
            return send_stage.with_options(name=stage, task_run_name=stage).submit(
                stage, room, commit, seconds, stop, wait_for=waits_for, return_state=False
            )
        return run_stage.with_options(name=stage, task_run_name=stage).submit(
            stage, room.folder, force, seconds, stop, wait_for=waits_for, return_state=False
        )

    return start


def _failed(ended: dict[str, State]) -> str:
    """The messages of stages that failed; "" where none did."""
    return "; ".join(
        f"{state.message}" if stage in f"{state.message}" else f"{stage}: {state.message}"
        for stage, state in ended.items()
        if state.is_failed() or state.is_crashed()
    )


def _run_all(wanted: graph.Graph, stale: set[str], concurrency: int, start: Start) -> dict[str, State]:
    """Run or skip every stage: {stage: its final state}."""
    stop = threading.Event()
    futures: dict[str, PrefectFuture] = {}
    running: dict[str, PrefectFuture] = {}
    ended: dict[str, State] = {}
    try:
        while len(ended) < len(wanted):
            for stage, needs in wanted.items():
                needs = needs & set(wanted)
                if stage in futures or not needs <= set(ended):
                    continue
                lacking = sorted(need for need in needs if not ended[need].is_completed())
                waits_for = [futures[need] for need in sorted(needs) if need not in lacking]  # draws the arrows in the UI
                if lacking or stage not in stale:
                    skipped = skip_stage.with_options(name=stage, task_run_name=stage)
                    futures[stage] = skipped.submit(
                        stage, lacking[0] if lacking else None, wait_for=waits_for, return_state=False
                    )
                elif len(running) < concurrency:
                    running[stage] = futures[stage] = start(stage, stop, waits_for)
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
        stop.set()  # canceled: end every running stage before the flow ends
        for future in running.values():
            future.wait(timeout=30)
        raise
    return ended


def _kept_worktree(room: workspace.Workspace | None) -> str:
    """The part of a failed run's message that names its worktree, where there is one."""
    return f" (its worktree stays: {room.folder})" if room and room.is_own and room.folder.is_dir() else ""


def _state(future) -> State:
    """A task's final state; without wait() a future may still have the state before it."""
    future.wait()
    return future.state


def main() -> None:
    services = contextlib.ExitStack()
    atexit.register(services.close)  # after what Prefect registers later, which sends its last lines to the server
    services.enter_context(service.prefect_server(Project().scratch / "prefect"))
    state = shrink(return_state=True)
    if not state.is_completed():
        raise BigfootError(str(state.message))


if __name__ == "__main__":
    try:
        stage_main(main, [])
    except KeyboardInterrupt:
        sys.exit("stopped: `python -m flows.shrink` goes on with what is left")
