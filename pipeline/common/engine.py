"""Data-parallel work: one function mapped over independent pieces of work, in processes of this machine or on a Ray cluster.

Decision: a piece is what is done again after a failure, so a piece is minutes of work at most, and its function writes what it
made under a name of its own, or returns it. Whoever maps needs to know nothing of where a piece was done. On a cluster all
machines see the project's folder under the same path, as Ray's users have it on a shared file system.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from pipeline.common.errors import BigfootError
from pipeline.common.parent import end_with_pool

Result = TypeVar("Result")
CLUSTER = "RAY_ADDRESS"  # Ray's own variable: where it is set, work goes to that cluster
RETRIES = 5  # of a piece whose machine was lost


def mapped(function: Callable[..., Result], pieces: Iterable[tuple[Any, ...]], workers: int | None = None) -> Iterator[Result]:
    """`function(*piece)` for each piece, in order, with at most 2 pieces per worker under way, so that memory stays bounded.

    `workers` is the number of processes, by default one per core; 0 does everything in this process. They are spawned, not
    forked: a source may have started threads, and a fork of them can hang. Where RAY_ADDRESS is set, the cores of the cluster
    are the workers. Raises what `function` raises, and BigfootError where a process dies or the cluster can't be reached.
    """
    if os.environ.get(CLUSTER):
        return _on_ray(function, pieces)
    workers = cores() if workers is None else workers
    return _in_processes(function, pieces, workers) if workers else (function(*piece) for piece in pieces)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(function: Callable[..., Result], pieces: Iterable[tuple[Any, ...]], workers: int) -> Iterator[Result]:
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


def _on_ray(function: Callable[..., Result], pieces: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
    try:
        import ray
    except ImportError:
        raise BigfootError(f"{CLUSTER} is set, but Ray is not installed: pip install 'bigfoot-asr[ray]'") from None
    variables = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    try:
        ray.init(log_to_driver=False, logging_level="error", ignore_reinit_error=True, runtime_env={"env_vars": variables})
    except (ConnectionError, ValueError) as error:
        raise BigfootError(f"the Ray cluster {os.environ[CLUSTER]} can't be reached: {_first_line(error)}") from None
    remote = ray.remote(_here).options(num_cpus=1, max_retries=RETRIES)
    most = 2 * int(ray.cluster_resources()["CPU"])
    under_way: deque = deque()
    try:
        for piece in pieces:
            under_way.append(remote.remote(str(Path.cwd()), function, piece))
            if len(under_way) >= most:
                yield ray.get(under_way.popleft())
        while under_way:
            yield ray.get(under_way.popleft())
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise BigfootError(f"the Ray cluster lost a piece of work {RETRIES + 1} times: {_first_line(error)}") from None
    finally:
        for waiting in under_way:
            ray.cancel(waiting)


def _here(folder: str, function: Callable[..., Result], piece: tuple[Any, ...]) -> Result:
    """A piece in a process of the cluster, in the project's folder, since paths are relative to it."""
    os.chdir(folder)
    return function(*piece)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
