"""Waits before a task's command: for the time of another try, and for a slot of a tag's concurrency limit.

Decision: the task waits for both itself. Prefect could do it (retry_delay_seconds; limits on its own tags), but its wait blocks
the task's thread and can't be interrupted: a canceled flow run would continue until the delay is over or the slot is free, or
until its worker kills it after 30 s. So Prefect retries a task without delay, and a task that needs a slot has no tag.
"""

import contextlib
import threading
from collections.abc import Iterator

from prefect import get_run_logger, runtime
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency

from flows.process import Stopped

DELAYS = (2, 10, 30, 60)  # seconds before the second try, the third, ...
POLL_SECONDS = 2.0
LEASE_SECONDS = 60  # how long a slot stays taken after its holder was killed
TAKEN = 423  # HTTP's `Locked`: the server's status where no slot is free


def for_another_try(stop: threading.Event) -> None:
    """From a task's second try on, wait before it starts; raises Stopped once `stop` is set."""
    tries = runtime.task_run.run_count - 1
    if not tries:
        return
    delay = DELAYS[min(tries, len(DELAYS)) - 1]
    get_run_logger().info("another try in %g s", delay)
    if stop.wait(delay):
        raise Stopped("stopped while it waited for another try")


@contextlib.contextmanager
def slot(tag: str | None, stop: threading.Event) -> Iterator[None]:
    """Hold one slot of the limit that `prefect concurrency-limit create TAG NUMBER` made; none without such a limit or tag.

    While it waits for a slot, it logs this once; raises Stopped once `stop` is set.
    """
    logged = False
    with contextlib.ExitStack() as held:
        while tag and not _take(tag, held):
            if not logged:
                get_run_logger().info("waiting for a slot of the limit '%s'", tag)
                logged = True
            if stop.wait(POLL_SECONDS):
                raise Stopped(f"stopped while it waited for a slot of the limit '{tag}'")
        yield


def _take(tag: str, held: contextlib.ExitStack) -> bool:
    holder = ConcurrencyLeaseHolder(type="task_run", id=runtime.task_run.id)
    try:
        held.enter_context(concurrency(f"tag:{tag}", lease_duration=LEASE_SECONDS, max_retries=0, holder=holder))
    except ConcurrencySlotAcquisitionError as error:
        if getattr(getattr(error.__cause__, "response", None), "status_code", None) != TAKEN:
            raise
        return False
    return True
