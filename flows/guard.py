"""Runs a command and makes sure that it, and all that it starts, is gone when its flow is: `python guard.py COMMAND...`.

The flow holds the other end of this process's standard input. When that closes, because the flow cancels the stage, reaches
a time limit or is killed outright, the command's whole process group gets SIGTERM and, if it is still there after a while,
SIGKILL. Nothing is imported from the project, so that it starts at once and from anywhere.
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for the flow, which then closes our input
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    closed = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: closed.set())
    threading.Thread(target=lambda: (_read_to_the_end(0), closed.set()), daemon=True).start()
    threading.Thread(target=lambda: (closed.wait(), end(child.pid)), daemon=True).start()
    status = child.wait()
    end(child.pid)  # what it may have left running in the background
    return status if status >= 0 else 128 - status


def _read_to_the_end(file: int) -> None:
    """Without Python's buffer, whose lock a thread that reads would hold while the process ends."""
    while os.read(file, 4096):
        pass


def end(group: int) -> None:
    """End a process group, first politely."""
    deadline = time.monotonic() + GRACE_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
