"""What the endpoints share: recognizers with their threads, limits, figures, and whether the server is about to stop.

Decisions, and what they cost:
- A recognizer belongs to one thread. Streams are shared out among `workers` of them; files have one more, so that an hour-long
  file holds up no stream, for the memory of one more model.
- Windows of different streams are not put into a batch: the range of dynamic int8 would be that of the batch, and a stream's
  text would depend on the others.
- What there is no room for is refused at once (503), never put on a list without end.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pipeline.apps.serving.figures import Figures
from pipeline.common import engine
from pipeline.common.errors import BigfootError
from pipeline.recognition import seal
from pipeline.recognition.recognizer import Recognizer
from pipeline.recognition.uploads import LIMIT, Limits, number
from pipeline.speech.live import Live

Result = TypeVar("Result")
MOST_STREAMS, MOST_FILES = f"{LIMIT}STREAMS", f"{LIMIT}WAITING"


class Full(Exception):
    """There is no room for another request now; the text says why."""


class Worker:
    """A recognizer and the one thread that may use it."""

    def __init__(self, folder: Path, threads: int | None):
        self.recognizer = Recognizer.load(folder, threads)
        self.streams = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recognizer")

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """The function's result, from this worker's thread, in the order of the calls."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


class Service:
    """A variant being served. BigfootError where it can't be opened, or a limit in the environment is not a number above 0."""

    def __init__(self, folder: Path, live: Live, workers: int = 1):
        seal.read(folder)  # all of it, once: what is served for months is what was measured
        self.live, self.limits, self.figures = live, Limits.from_environment(), Figures()
        self.most_streams: int = number(MOST_STREAMS, int, 32)
        self.most_files: int = number(MOST_FILES, int, 16)
        _refuse_unknown_limits()
        threads = number("BIGFOOT_SERVE_THREADS", int, max(1, engine.cores() // workers) if workers > 1 else None)
        self.files = Worker(folder, threads)
        self.workers = [Worker(folder, threads) for _ in range(workers)]
        self.info = self.files.recognizer.info
        self.name: str = self.info.get("variant", folder.name)
        self.stopping = asyncio.Event()
        self.waiting = 0  # files under way included

    @property
    def streams(self) -> int:
        return sum(worker.streams for worker in self.workers)

    @property
    def is_idle(self) -> bool:
        return not self.streams and not self.waiting

    @contextmanager
    def stream(self) -> Iterator[Worker]:
        """The worker with the fewest streams, for one more. Raises Full."""
        self._require_room(self.streams, self.most_streams, "streams")
        worker = min(self.workers, key=lambda worker: worker.streams)
        worker.streams += 1
        self.figures.streams.inc()
        try:
            yield worker
        finally:
            worker.streams -= 1
            self.figures.streams.dec()

    @contextmanager
    def file(self) -> Iterator[Worker]:
        """The worker of files, for one more. Raises Full."""
        self._require_room(self.waiting, self.most_files, "files")
        self.waiting += 1
        self.figures.files.inc()
        try:
            yield self.files
        finally:
            self.waiting -= 1
            self.figures.files.dec()

    def _require_room(self, are: int, most: int, what: str) -> None:
        if self.stopping.is_set():
            raise Full("this server is about to stop")
        if are >= most:
            raise Full(f"this server has {are} {what} under way, as many as it takes: try again later")


def _refuse_unknown_limits() -> None:
    """Raise BigfootError for a limit in the environment whose name is mistyped: the server would run without it.

    Other names with BIGFOOT_SERVE_ may be those that Kubernetes gives a service called bigfoot-serve.
    """
    known = [*Limits.variables(), MOST_STREAMS, MOST_FILES]
    if unknown := sorted(name for name in os.environ if name.startswith(LIMIT) and name not in known):
        raise BigfootError(f"{unknown[0]} is not a limit, known: {', '.join(known)}")
