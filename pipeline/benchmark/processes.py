"""Starts worker processes and talks to them: as many at a time as memory allows, all of them ended at the end.

Only one benchmark measures on a host at a time: `alone` is a lock for the whole host.
"""

import fcntl
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
from pipeline.common.files import open_lock
from pipeline.recognition import seal

MODULE = worker.__name__
HOST_LOCK = Path(tempfile.gettempdir()) / "bigfoot-benchmark.lock"  # of the host's folder, not the one that a stage gets
WORKER_MB = {"onnxruntime": 250, "openvino": 450}  # a worker's memory, roughly: a runtime, and so many times the variant's size
OTHER_MB, WORKER_SIZES = 1000, 4


class Failed(BigfootError):
    """A worker failed at a command, or ended; `reason` is its own message, in one line."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name} can't be measured, {reason}")


class Process:
    """A worker process for the variant `name`: `ask` sends a command and waits for its answer."""

    def __init__(self, name: str, threads: int):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        assert self.process.stdin and self.process.stdout, "both are pipes"
        self._commands, self._answers = self.process.stdin, self.process.stdout

    def ask(self, command: str, **arguments: object) -> dict:
        """The answer to a command, which is a method of Worker; raises Failed where it fails or the process has ended."""
        self.tell(command, **arguments)
        return self.answer()

    def tell(self, command: str, **arguments: object) -> None:
        """Have a command done without waiting; `answer` has to follow."""
        with suppress(BrokenPipeError):  # `answer` says that the process has ended
            self._commands.write(json.dumps({"do": command, **arguments}) + "\n")
            self._commands.flush()

    def answer(self) -> dict:
        """The answer to what it was told; raises Failed as `ask` does."""
        line = self._answers.readline()
        if not line:
            raise Failed(self.name, f"its process ended with status {self.process.wait()} (out of memory?)")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(self.name, answer["error"])
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        with suppress(BrokenPipeError):  # where it died with a command unread
            self._commands.close()
        self._answers.close()


@contextmanager
def started(names: Iterable[str], threads: int) -> Iterator[dict[str, Process]]:
    """One worker per name, all of them ended at the end, whatever happens."""
    processes = {name: Process(name, threads) for name in names}
    try:
        yield processes
    finally:
        for process in processes.values():
            process.close()


@contextmanager
def alone() -> Iterator[None]:
    """Keep other benchmarks off this host meanwhile; raises Busy where one is already running."""
    with open_lock(HOST_LOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("another benchmark is running on this host: wait for it, or stop it") from None
        yield


def groups(folders: list[Path], reference: str) -> list[list[Path]]:
    """The folders in groups that fit in the free memory together, the one named `reference` first in each."""
    import psutil

    room = 0.8 * psutil.virtual_memory().available / 1e6
    first = next(folder for folder in folders if folder.name == reference)
    needed = {folder: _empty_mb(folder) + WORKER_SIZES * size_mb(folder) for folder in folders}
    fitting, left = [[first]], room - needed[first]
    for folder in folders:
        if folder is first:
            continue
        if needed[folder] > left and len(fitting[-1]) > 1:
            fitting.append([first])
            left = room - needed[first]
        fitting[-1].append(folder)
        left -= needed[folder]
    return fitting


def _empty_mb(folder: Path) -> float:
    return WORKER_MB.get(seal.read_info(folder)["runtime"], OTHER_MB)


def size_mb(folder: Path) -> float:
    """The size of all files in a folder, in 10^6 bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
