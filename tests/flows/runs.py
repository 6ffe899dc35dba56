"""Runs of the flow on the test's Prefect server, and what the server knows of their tasks."""

import asyncio
import time
from pathlib import Path

from flows.shrink import shrink


def run(folder: Path, **parameters):
    return shrink(project=str(folder), return_state=True, **parameters)


def tasks(state) -> dict:
    """{stage: its task run}, of a finished flow run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    async def ask():
        async with get_client() as client:
            only = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
            return await client.read_task_runs(flow_run_filter=only)

    return {one.name: one for one in asyncio.run(ask())}


def names(state) -> dict[str, str]:
    """Of each stage the name of its last state; the server learns of states by events, which may come after the flow's end."""
    deadline = time.monotonic() + 30
    while True:
        found = tasks(state)
        if all(one.state.is_final() or one.state.is_pending() for one in found.values()) or time.monotonic() > deadline:
            return {stage: one.state.name for stage, one in found.items()}
        time.sleep(0.2)
