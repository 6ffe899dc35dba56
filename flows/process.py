"""A command as a task runs it: its lines as they come, an end when it is told to, and the whole host to itself if it must.

Measurements are worth nothing beside other work, so a command holds the host's lock while it runs: shared, or exclusively
where it measures. The lock is the kernel's (flock), so a process that is killed holds nothing.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from flows import guard

HOST_LOCK = Path(tempfile.gettempdir()) / "bigfoot-host.lock"


class Stopped(Exception):
    """The command was ended from outside: the flow was cancelled, or its time was up."""


def run(
    command: list[str],
    folder: Path,
    say: Callable[[str], None],
    stop: threading.Event,
    seconds: float | None = None,
    alone: bool = False,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a command in `folder` to its end and return its exit status; every line it prints goes to `say`.

    Once `stop` is set, or after `seconds`, all of its processes are ended and Stopped is raised. `alone`: nothing else of
    this kind runs on the host meanwhile. `environment` is added to this process's own.
    """
    if stop.is_set():
        raise Stopped("stopped before it began")
    with _host(alone, say, stop):
        process = subprocess.Popen(
            [sys.executable, guard.__file__, *command], cwd=folder, text=True, errors="replace", bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
        )  # fmt: skip
        finished, late = threading.Event(), threading.Event()
        watching = threading.Thread(target=_watch, args=(process, seconds, stop, finished, late), daemon=True)
        watching.start()
        try:
            for line in process.stdout:
                say(line.rstrip())
            status = process.wait()
        finally:
            finished.set()
            watching.join()
            process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
    if stop.is_set():
        raise Stopped("stopped with its flow")
    if late.is_set():
        raise Stopped(f"stopped after {seconds / 3600:g} h, its limit in params.yaml (time_limits)")
    return status


def _watch(
    process: subprocess.Popen,
    seconds: float | None,
    stop: threading.Event,
    finished: threading.Event,
    late: threading.Event,
) -> None:
    """Close the guard's input, which ends the command, once `stop` is set or the time is up; `late` tells the latter."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while not finished.wait(0.2):
        if deadline is not None and time.monotonic() > deadline:
            late.set()
        if stop.is_set() or late.is_set():
            process.stdin.close()
            return


@contextlib.contextmanager
def _host(alone: bool, say: Callable[[str], None], stop: threading.Event) -> Iterator[None]:
    """Hold the host's lock; waits for it, and says so once."""
    with os.fdopen(os.open(HOST_LOCK, os.O_RDONLY | os.O_CREAT, 0o644)) as file:  # another user's is fine to lock, too
        wanted, said = fcntl.LOCK_EX if alone else fcntl.LOCK_SH, False
        while True:
            try:
                fcntl.flock(file, wanted | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop.is_set():
                    raise Stopped("stopped while it waited for this host") from None
                if not said:
                    say("waiting for this host: " + ("other stages are running" if alone else "it is being measured"))
                    said = True
                time.sleep(0.5)
        yield
