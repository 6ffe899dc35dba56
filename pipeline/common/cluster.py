"""Pieces of work on a Ray cluster, for `engine.mapped`.

Decision: all machines see the folder that a command was started in under the same path, as Ray's users have it on a shared file
system, so pieces name files as on one machine and bring their results back through them.
"""

import os
import socket
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

from pipeline.common.errors import Away, BigfootError

Result = TypeVar("Result")
Unit = Literal["CPU", "GPU"]
ADDRESS = "RAY_ADDRESS"  # Ray's own variable: where it is set, work goes to that cluster
RETRIES = 5  # of a piece whose machine was lost
POLL_SECONDS = 0.5
KNOCK_SECONDS = 5.0
HTTP2_SETTINGS = b"\4\0"  # type and flags of the frame that both sides of HTTP/2 send first (RFC 9113, 3.4); Ray speaks gRPC
HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + HTTP2_SETTINGS + b"\0\0\0\0"


def is_used() -> bool:
    return bool(os.environ.get(ADDRESS))


def size(unit: Unit) -> int:
    """How many cores or GPUs the cluster has now. Raises Away where it can't be reached."""
    return int(_ray().cluster_resources().get(unit, 0))


class Cluster:
    """A pool for a function that returns its result and by how much that advanced; each call has a core, or a GPU too."""

    def __init__(self, function: Callable[..., tuple[Any, float]], needs: Unit):
        self._ray, self._function, self._needs, self._advanced = _ray(), function, needs, 0.0
        self._folder = os.getcwd()
        self._remote = self._ray.remote(_there).options(num_cpus=1, num_gpus=int(needs == "GPU"), max_retries=RETRIES)

    def workers(self) -> int:
        return max(1, size(self._needs))  # asked each time, as machines come and go

    def submit(self, piece: tuple[Any, ...]) -> Any:
        return self._remote.remote(self._folder, self._function, piece)

    def unfinished(self, pieces: set) -> set:
        """Those that are, after the next one ended or POLL_SECONDS."""
        return set(self._ray.wait(list(pieces), timeout=POLL_SECONDS)[1])

    def advanced(self) -> float:
        """By how much since the last call."""
        amount, self._advanced = self._advanced, 0.0
        return amount

    def result(self, piece: Any) -> Any:
        try:
            found, amount = self._ray.get(piece)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise BigfootError(f"the Ray cluster lost a piece of work {RETRIES + 1} times: {_first_line(error)}") from None
        self._advanced += amount
        return found

    def end(self, under_way: Iterable) -> None:
        for piece in under_way:
            self._ray.cancel(piece)


def _ray() -> Any:
    """The module `ray`, connected to the cluster. Raises BigfootError where it isn't installed, Away where no cluster is."""
    try:
        import ray
    except ImportError:
        raise BigfootError(f"{ADDRESS} is set, but Ray is not installed: pip install 'bigfoot-asr[ray]'") from None
    if ray.is_initialized():
        return ray
    variables = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    try:
        _knock(os.environ[ADDRESS])
        ray.init(log_to_driver=False, logging_level="error", runtime_env={"env_vars": variables})
    except (ValueError, OverflowError) as error:
        raise BigfootError(f"{ADDRESS} is {os.environ[ADDRESS]!r}, not HOST:PORT: {_first_line(error)}") from None
    except OSError as error:
        raise Away(f"the Ray cluster {os.environ[ADDRESS]} can't be reached: {_first_line(error)}") from None
    return ray


def _knock(address: str) -> None:
    """Raises OSError where nothing answers at HOST:PORT, or not as Ray does; Ray itself would knock there for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    with socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        connection.sendall(HTTP2_GREETING)
        answer = connection.recv(9)
        if answer[3:5] != HTTP2_SETTINGS:
            raise OSError("what listens there is not Ray")


def _there(folder: str, function: Callable[..., Result], piece: tuple[Any, ...]) -> Result:
    """A piece in a process of the cluster, in the folder of its command, since paths are relative to it."""
    try:
        os.chdir(folder)
    except OSError as error:
        machine = f"{socket.gethostname()} of the Ray cluster"
        raise BigfootError(
            f"{folder} can't be used on {machine} ({error.strerror}): all machines need it under the same path"
        ) from None
    return function(*piece)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
