"""Runs a command for a task: passes on its output line by line, ends it on request, and can reserve the host for it.

Measurements beside other work are worthless, so a command holds the host's lock while it runs: exclusively if it measures,
otherwise shared. It is a kernel lock (flock), so a killed process releases it.
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
from pipeline.common.files import open_lock

HOST_LOCK = Path(tempfile.gettempdir()) / "bigfoot-host.lock"


class Stopped(Exception):
    """The command was ended from outside: the flow was canceled, or the time limit was reached."""


def run(
    command: list[str],
    folder: Path,
    on_line: Callable[[str], None],
    stop: threading.Event,
    seconds: float | None = None,
    alone: bool = False,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a command in `folder` to its end and return its exit status; every line that it prints goes to `on_line`.

    Once `stop` is set, or after `seconds`, all its processes are ended and Stopped is raised. `alone`: no other command of any
    flow runs on the host meanwhile. `environment` is added to this process's own.
    """
    if stop.is_set():
        raise Stopped("stopped before it started")
    with _host(alone, on_line, stop):
        process = subprocess.Popen(
            [sys.executable, guard.__file__, *command], cwd=folder, text=True, errors="replace", bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
        )  # fmt: skip
        finished, late = threading.Event(), threading.Event()
        watching = threading.Thread(target=_watch, args=(process, seconds, stop, finished, late), daemon=True)
        watching.start()
        assert process.stdin and process.stdout  # pipes, as asked for above
        try:
            for line in process.stdout:
                on_line(line.rstrip())
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
    if late.is_set() and seconds is not None:
        raise Stopped(f"stopped after {seconds / 3600:g} h, its limit in params.yaml (time_limits)")
    return status


def _watch(
    process: subprocess.Popen,
    seconds: float | None,
    stop: threading.Event,
    finished: threading.Event,
    late: threading.Event,
) -> None:
    """Close the guard's input, which ends the command, once `stop` is set or the time is over; the latter sets `late`."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while not finished.wait(0.2):
        if deadline is not None and time.monotonic() > deadline:
            late.set()
        if stop.is_set() or late.is_set():
            assert process.stdin
            process.stdin.close()
            return


@contextlib.contextmanager
def _host(alone: bool, on_line: Callable[[str], None], stop: threading.Event) -> Iterator[None]:
    """Hold the host's lock; while it waits for it, it reports this once."""
    with open_lock(HOST_LOCK) as file:
        mode, reported = fcntl.LOCK_EX if alone else fcntl.LOCK_SH, False
        while True:
            try:
                fcntl.flock(file, mode | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stop.is_set():
                    raise Stopped("stopped while it waited for this host") from None
                if not reported:
                    on_line("waiting for this host: " + ("other stages are running" if alone else "it is being measured"))
                    reported = True
                time.sleep(0.5)
        yield
