"""What a task waits for before its command may run: the time of another try, and a slot of a tag's concurrency limit.

Decision: it waits for both itself. Prefect would, too (retry_delay_seconds; the limits of its own tags), but asleep in the
task's thread, where nothing reaches it: a cancelled flow run would go on until the delay is over or the slot is free, or its
worker kills it after 30 s. So Prefect tries a task again at once, and a task that needs a slot doesn't carry the tag.
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
LEASE_SECONDS = 60  # how long a slot stays taken after its holder was killed outright
TAKEN = 423  # HTTP's `Locked`, which is how the server says that no slot is free


def for_another_try(stop: threading.Event) -> None:
    """On a later try of this task, wait for its time; raises Stopped once `stop` is set."""
    tried = runtime.task_run.run_count - 1
    if not tried:
        return
    delay = DELAYS[min(tried, len(DELAYS)) - 1]
    get_run_logger().info("another try in %g s", delay)
    if stop.wait(delay):
        raise Stopped("stopped while it waited for another try")


@contextlib.contextmanager
def slot(tag: str | None, stop: threading.Event) -> Iterator[None]:
    """Hold one of the slots that `prefect concurrency-limit create TAG NUMBER` gives; without such a limit, or tag, none.

    Waits for it, and says so once; raises Stopped once `stop` is set.
    """
    said = False
    with contextlib.ExitStack() as held:
        while tag and not _take(tag, held):
            if not said:
                get_run_logger().info("waiting for a slot of the limit '%s'", tag)
                said = True
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
