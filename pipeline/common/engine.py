"""Data-parallel work: one function mapped over independent pieces of work, in processes of this machine or on a Ray cluster.

Decision: a piece is what is done again after a failure, so its function writes what it made under a name of its own, or returns
it. Whoever maps needs to know nothing of where a piece was done.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import islice
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.common import cluster
from pipeline.common.errors import BigfootError
from pipeline.common.parent import end_with_pool

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

Result = TypeVar("Result")
Advance = Callable[[float], None]
POLL_SECONDS = 0.5  # between two looks at the progress of the pieces under way
ENDING_SECONDS = 2.0  # how long pieces under way may take to end where no one waits for them any more

_advance: ContextVar[Advance] = ContextVar("advance", default=lambda amount: None)


def advance(amount: float) -> None:
    """For pieces: this amount of work is done. The `advance` that `mapped` was given is called with it, on a cluster once the
    piece is complete."""
    _advance.get()(amount)


def mapped(
    function: Callable[..., Result],
    pieces: Iterable[tuple[Any, ...]],
    workers: int | None = None,
    advance: Advance = lambda amount: None,
    needs: cluster.Unit = "CPU",
) -> Generator[Result]:
    """`function(*piece)` for each piece, in order, with at most 2 pieces per worker under way or waiting for one, so that a
    source is read only as it is needed.

    `workers` is the number of processes, by default one per core; 0 does everything in this process. They are spawned, not
    forked: a source may have started threads, and a fork of them can hang. Where RAY_ADDRESS is set, the cores of the cluster
    are the workers, or its GPUs where a piece needs one. Closing the generator, or Ctrl-C, ends the pieces under way.
    Raises what `function` raises, BigfootError where a process dies, and Away where the cluster can't be reached.
    """
    if workers == 0 and not cluster.is_used():
        yield from (_telling(advance, function, piece) for piece in pieces)
        return
    pool: cluster.Cluster | _Processes
    if cluster.is_used():
        pool = cluster.Cluster(partial(_counted, function), needs)
    else:
        pool = _Processes(function, cores() if workers is None else workers)
    remaining = iter(pieces)
    under_way: deque = deque()  # in order; those that are done wait here for earlier ones
    unfinished: set = set()
    try:
        while True:
            for piece in islice(remaining, max(0, 2 * pool.workers() - len(unfinished))):
                under_way.append(pool.submit(piece))
                unfinished.add(under_way[-1])
            if not under_way:
                break
            unfinished = pool.unfinished(unfinished)
            advance(pool.advanced())
            while under_way and under_way[0] not in unfinished:
                result = pool.result(under_way.popleft())
                advance(pool.advanced())
                yield result
    finally:
        pool.end(under_way)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _telling(advance: Advance, function: Callable[..., Result], piece: tuple[Any, ...]) -> Result:
    token = _advance.set(advance)
    try:
        return function(*piece)
    finally:
        _advance.reset(token)


def _counted(function: Callable[..., Result], *piece: Any) -> tuple[Result, float]:
    """The result of a piece, and by how much it advanced."""
    amounts: list[float] = []
    result = _telling(amounts.append, function, piece)
    return result, sum(amounts)


# ---------------------------------------------------------------- processes of this machine


class _Processes:
    def __init__(self, function: Callable, workers: int):
        self._function, self._workers, self._told = function, workers, 0.0
        context = multiprocessing.get_context("spawn")
        self._count: Synchronized[float] = context.Value("d", 0.0)  # what all workers have advanced by
        self._others = set(multiprocessing.active_children())
        self._pool = ProcessPoolExecutor(workers, context, _begin, (self._count,))

    def workers(self) -> int:
        return self._workers

    def submit(self, piece: tuple[Any, ...]) -> Future:
        with _interrupts_held(), _deaths_as_lines():
            return self._pool.submit(self._function, *piece)

    def unfinished(self, pieces: set[Future]) -> set[Future]:
        return wait(pieces, POLL_SECONDS, FIRST_COMPLETED).not_done

    def advanced(self) -> float:
        before, self._told = self._told, self._count.get_obj().value  # without its lock, which a killed worker may hold
        return self._told - before

    def result(self, piece: Future) -> Any:
        with _deaths_as_lines():
            return piece.result()

    def end(self, under_way: Iterable[Future]) -> None:
        self._pool.shutdown(wait=not under_way, cancel_futures=True)
        workers = set(multiprocessing.active_children()) - self._others
        deadline, left = time.monotonic() + ENDING_SECONDS, {worker.sentinel for worker in workers}
        try:
            while left and (ended := connection.wait(left, max(0.0, deadline - time.monotonic()))):
                left -= set(ended)
        finally:  # also where Ctrl-C comes again
            for worker in workers:
                worker.terminate()


def _begin(count: "Synchronized[float]") -> None:
    """A worker ends with the process of its pool in any case, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_pool()
    _advance.set(partial(_add, count))


def _add(count: "Synchronized[float]", amount: float) -> None:
    with count.get_lock():
        count.value += amount


@contextmanager
def _deaths_as_lines() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise BigfootError(
            "a worker process died, most likely for lack of memory: run it again on fewer cores, or with fewer --workers"
        ) from None


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, and never comes to a process that starts in it, since that inherits the mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _handler_put_off():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _handler_put_off() -> Iterator[None]:
    """Ctrl-C that another thread takes, which has no mask, is raised again after the block."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may change it, and only there it runs
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)
