"""Runs a command, and ends it with all processes that it started when its flow ends: `python guard.py COMMAND...`.

The flow holds the other end of this process's standard input. When it closes, because the flow cancels the stage, reaches a
time limit or is killed, the command's whole process group gets SIGTERM and, if it still runs after GRACE_SECONDS, SIGKILL.
This module imports nothing from the project, so that it starts fast and in any folder.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 10.0


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C ends the flow, which then closes this process's input
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    closed = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: closed.set())
    threading.Thread(target=_close_at_the_end, args=(0, closed), daemon=True).start()
    threading.Thread(target=_end_once_closed, args=(closed, child.pid), daemon=True).start()
    status = child.wait()
    end(child.pid)  # ends processes that the command left running in the background
    return status if status >= 0 else 128 - status


def _end_once_closed(closed: threading.Event, group: int) -> None:
    closed.wait()
    end(group)


def _close_at_the_end(file: int, closed: threading.Event) -> None:
    """Read `file` to its end, then set `closed`.

    It is read without Python's buffer: a reading thread would hold the buffer's lock while the process ends.
    """
    while os.read(file, 4096):
        pass
    closed.set()


def end(group: int) -> None:
    """End a process group: SIGTERM first, SIGKILL after GRACE_SECONDS."""
    deadline = time.monotonic() + GRACE_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
