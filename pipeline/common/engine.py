"""Data-parallel work: one function mapped over independent pieces of work, in several processes of this machine."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pipeline.common.errors import BigfootError
from pipeline.common.parent import end_with_pool

Result = TypeVar("Result")


def mapped(function: Callable[..., Result], pieces: Iterable[tuple[Any, ...]], workers: int | None = None) -> Iterator[Result]:
    """`function(*piece)` for each piece, in order, with at most 2 pieces per worker under way, so that memory stays bounded.

    `workers` is the number of processes, by default one per core; 0 does everything in this process. They are spawned, not
    forked: a source may have started threads, and a fork of them can hang. Raises what `function` raises, and BigfootError
    where a process dies.
    """
    workers = cores() if workers is None else workers
    if not workers:
        yield from (function(*piece) for piece in pieces)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), end_with_pool)
    under_way: deque = deque()
    try:
        for piece in pieces:
            under_way.append(pool.submit(function, *piece))
            if len(under_way) >= 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    except BrokenProcessPool:
        raise BigfootError("a worker process died, most likely for lack of memory: run it again on fewer cores") from None
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
