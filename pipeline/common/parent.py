"""Ends this process with the one that it works for, however that one ends: a kill -9 leaves no orphan.

Decision: a thread looks twice a second whether the line of parents is still what it was, since an orphan gets another parent.
This is the same on Linux and macOS, and behind a shell or accelerate's launcher. Linux's own signal (PR_SET_PDEATHSIG) reaches
only the children of a process, and comes already when the thread ends that started them.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

SECONDS = 0.5


def end_with_starter(variable: str) -> None:
    """End this process and all that it started once the program is gone that set this environment variable for it.

    That program is its nearest ancestor without the variable.
    """
    import psutil

    line = [psutil.Process()]
    while variable in _environment(line[-1]) and (parent := line[-1].parent()):
        line.append(parent)
    pids = [process.pid for process in line]

    def wait() -> None:
        with suppress(psutil.NoSuchProcess):
            while [process.ppid() for process in line[:-1]] == pids[1:]:
                time.sleep(SECONDS)

    _end_after(wait)


def end_with_pool() -> None:
    """End this worker process once the process of its pool is gone: for a pool's `initializer`."""
    pool = multiprocessing.parent_process()
    assert pool, "this is a worker"
    _end_after(pool.join)


def _environment(process: "psutil.Process") -> dict[str, str]:
    """The variables that a process was started with; none where they can't be read, as of another user's."""
    import psutil

    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _end_after(wait: Callable[[], None]) -> None:
    def end() -> None:
        import psutil

        wait()
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=end, name="parent", daemon=True).start()
