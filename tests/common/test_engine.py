"""Work is done once per piece, in order, wherever it is done; what fails is one line."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from pipeline.common import engine
from pipeline.common.errors import BigfootError


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 3:
        raise BigfootError("3 is refused: take another")
    return number


def end(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order(workers):
    assert list(engine.mapped(square, ((n,) for n in range(20)), workers)) == [n * n for n in range(20)]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_a_piece_is_that_error(workers):
    results = engine.mapped(refuse, ((n,) for n in range(9)), workers)
    with pytest.raises(BigfootError, match="^3 is refused: take another$"):
        list(results)


def test_a_killed_worker_is_one_line():
    with pytest.raises(BigfootError, match="a worker process died"):
        list(engine.mapped(end, [(1,)], 1))


def test_pieces_are_taken_only_as_they_are_needed():
    taken: list[int] = []
    results = engine.mapped(square, ((taken.append(n) or n,) for n in range(100)), 1)
    assert next(results) == 0 and len(taken) <= 2


# ---------------------------------------------------------------- a real Ray cluster of two nodes


def slow_square(number: int, folder: str) -> int:
    """Where it ran is a file, so that the test knows which node had work."""
    time.sleep(0.2)
    Path(folder, f"{number}-{os.getppid()}").touch()
    return number * number


@pytest.fixture
def cluster(monkeypatch):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    other = made.add_node(num_cpus=1)
    monkeypatch.setenv(engine.CLUSTER, made.address)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)  # of what its processes import
    yield made, other
    import ray

    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
def test_a_node_of_the_cluster_that_is_killed_costs_no_result(cluster, tmp_path):
    made, other = cluster
    results = engine.mapped(slow_square, ((n, str(tmp_path)) for n in range(60)))
    first = [next(results) for _ in range(10)]
    made.remove_node(other, allow_graceful=False)
    assert [*first, *results] == [n * n for n in range(60)]
    assert len({path.name.partition("-")[2] for path in tmp_path.iterdir()}) >= 2  # both had work


@pytest.mark.slow
def test_an_error_on_the_cluster_is_that_error(cluster):
    with pytest.raises(BigfootError, match="^3 is refused: take another$"):
        list(engine.mapped(refuse, ((n,) for n in range(9))))


def test_ray_that_is_asked_for_and_not_there_is_one_line(monkeypatch):
    monkeypatch.setenv(engine.CLUSTER, "127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BigfootError, match=r"RAY_ADDRESS is set, but Ray is not installed: pip install 'bigfoot-asr\[ray\]'"):
        list(engine.mapped(square, [(1,)]))
