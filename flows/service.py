"""Servers as child processes: each ends with the process that started it, however that ends (flows/guard.py).

Decision: where none is configured, `python -m flows.shrink` starts Prefect's server itself, not in Prefect's ephemeral mode.
There the server has 20 s to start, and ctrl-C ends it before the flow, which then waits two minutes for it.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from flows import guard
from pipeline.common import addresses
from pipeline.common.errors import BigfootError

START_SECONDS = 120
PRIVATE = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


@contextlib.contextmanager
def started(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen]:
    """Run a server while the block runs, with its output in a file."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, guard.__file__, *command], stdin=subprocess.PIPE, stdout=file, stderr=file, env=environment
        )
    try:
        yield process
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait()


def wait_for(name: str, address: str, log: Path, process: subprocess.Popen) -> None:
    """Wait until a server answers; raises BigfootError, which names its log, where it ends, or after START_SECONDS."""
    print(f"waiting for {name} at {address}, its log is {log}", flush=True)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=2).close()
            return
        if process.poll() is not None:
            raise BigfootError(f"{name} ended before it answered: see {log}")
        time.sleep(0.5)
    raise BigfootError(f"{address} does not answer after {START_SECONDS} s: see {log}")


@contextlib.contextmanager
def prefect_server(folder: Path) -> Iterator[None]:
    """Have a Prefect server while the block runs: the configured one, or else one of its own, with its log in `folder`.

    Raises BigfootError where the configured one does not answer.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, temporary_settings

    if configured := PREFECT_API_URL.value():
        with get_client(sync_client=True) as client:
            if client.api_healthcheck():
                raise BigfootError(
                    f"{addresses.safe(configured)} (PREFECT_API_URL) does not answer: start that Prefect server, or unset "
                    "PREFECT_API_URL, and the run has one of its own"
                )
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "temporary-server.log"
    address = f"http://127.0.0.1:{port}"
    print("No Prefect server is configured: one is started for this run (`make ui` starts one that shows runs in a browser)")
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with started(command, os.environ | PRIVATE, log) as process:
        wait_for("Prefect", f"{address}/api/health", log, process)
        # Without an address of pages, Prefect logs no link to them: it would be dead once the run has ended.
        with temporary_settings({PREFECT_API_URL: f"{address}/api", PREFECT_UI_URL: ""}):
            yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
