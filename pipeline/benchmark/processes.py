"""Worker processes, seen from the one that measures: as many at a time as memory allows, and all gone in the end.

Whoever measures on a host measures alone: `alone` is a lock for the whole host.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.benchmark import worker
from pipeline.common.errors import BigfootError, Busy

WORKER_MB, WORKER_SIZES = 700, 4  # a worker's memory, roughly: a runtime, and so many times the variant's size on disk


class Failed(BigfootError):
    """A worker that can't do what it was asked, or has ended; `reason` is its own message, in one line."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name} can't be measured, {reason}")


class Process:
    """A worker process: `ask` sends a command and waits for its answer."""

    def __init__(self, name: str, threads: int, module: str = worker.__name__):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip

    def ask(self, command: str, **arguments: object) -> dict:
        try:
            self.process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed(self.name, f"its process ended with status {self.process.wait()} (out of memory?)")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(self.name, answer["error"])
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        with suppress(BrokenPipeError):  # of one that died with a command unread
            self.process.stdin.close()
        self.process.stdout.close()


@contextmanager
def started(names: Iterable[str], threads: int, module: str = worker.__name__) -> Iterator[dict[str, Process]]:
    """A worker a name, all gone in the end, whatever happens."""
    processes = {name: Process(name, threads, module) for name in names}
    try:
        yield processes
    finally:
        for one in processes.values():
            one.close()


@contextmanager
def alone() -> Iterator[None]:
    """Nothing else of Bigfoot's measures on this host meanwhile; raises Busy where something does already."""
    from filelock import FileLock, Timeout

    lock = FileLock(Path(tempfile.gettempdir()) / "bigfoot-benchmark.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Busy("another benchmark is running on this host: wait for it, or stop it") from None
    try:
        yield
    finally:
        lock.release()


def groups(folders: list[Path], reference: str) -> list[list[Path]]:
    """The folders in groups that fit in the free memory together, the one named `reference` first in each."""
    import psutil

    room = 0.8 * psutil.virtual_memory().available / 1e6
    first = next(folder for folder in folders if folder.name == reference)
    needed = {folder: WORKER_MB + WORKER_SIZES * size_mb(folder) for folder in folders}
    found, left = [[first]], room - needed[first]
    for folder in folders:
        if folder is first:
            continue
        if needed[folder] > left and len(found[-1]) > 1:
            found.append([first])
            left = room - needed[first]
        found[-1].append(folder)
        left -= needed[folder]
    return found


def size_mb(folder: Path) -> float:
    """All files of a folder, in 10^6 bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
