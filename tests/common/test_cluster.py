"""On a real Ray cluster of two nodes pieces are done as in processes of this machine, also where a node is killed."""

import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.common import cluster, engine
from pipeline.common.errors import Away, BigfootError
from tests.common.test_engine import count_to, refuse, square
from tests.nodes import nodes

__all__ = ["nodes"]  # the fixture


def slow_square(number: int, folder: str) -> int:
    """Where it ran is a file, so that the test knows which node had work."""
    time.sleep(0.2)
    Path(folder, f"{number}-{os.getppid()}").touch()
    return number * number


@pytest.mark.slow
def test_a_node_that_is_killed_costs_no_result(nodes, tmp_path):
    made, other = nodes
    results = engine.mapped(slow_square, ((n, str(tmp_path)) for n in range(60)))
    first = [next(results) for _ in range(10)]
    made.remove_node(other, allow_graceful=False)
    assert [*first, *results] == [n * n for n in range(60)]
    assert len({path.name.partition("-")[2] for path in tmp_path.iterdir()}) >= 2  # both had work


@pytest.mark.slow
def test_an_error_on_the_cluster_is_that_error(nodes):
    with pytest.raises(BigfootError, match="^3 is refused: take another$"):
        list(engine.mapped(refuse, ((n,) for n in range(9))))


@pytest.mark.slow
def test_what_a_piece_on_the_cluster_advances_by_is_told(nodes):
    told: list[float] = []
    assert list(engine.mapped(count_to, ((n,) for n in range(9)), advance=told.append)) == [None] * 9
    assert sum(told) == 18.0


def node(number: int) -> str:
    import ray

    return ray.get_runtime_context().get_node_id()


@pytest.mark.slow
def test_pieces_that_need_a_gpu_go_where_one_is(nodes):
    """Ray is told that a node has one; nothing runs on it."""
    made, _ = nodes
    assert cluster.size("GPU") == 0
    third = made.add_node(num_cpus=1, num_gpus=1)
    assert cluster.size("GPU") == 1
    assert set(engine.mapped(node, ((n,) for n in range(9)), needs="GPU")) == {third.node_id}


@pytest.mark.slow
def test_a_machine_without_the_folder_is_one_line(nodes, tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    pieces = ((folder.rmdir(),) for _ in range(1))
    with pytest.raises(BigfootError, match="/gone can't be used on .* of the Ray cluster .*: all machines need it"):
        list(engine.mapped(square, pieces))


def test_ray_that_is_asked_for_and_not_there_is_one_line(monkeypatch):
    monkeypatch.setenv(cluster.ADDRESS, "127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BigfootError, match=r"RAY_ADDRESS is set, but Ray is not installed: pip install 'bigfoot-asr\[ray\]'"):
        list(engine.mapped(square, [(1,)]))


def test_a_cluster_that_does_not_answer_is_one_line_at_once(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv(cluster.ADDRESS, "127.0.0.1:1")
    start = time.monotonic()
    with pytest.raises(Away, match="^the Ray cluster 127.0.0.1:1 can't be reached: .*refused"):
        list(engine.mapped(square, [(1,)]))
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", None], ids=["it hangs up", "something else", "nothing"])
def test_what_listens_and_is_not_ray_is_one_line(monkeypatch, says):
    """A cluster that answers is in the slow tests above."""
    monkeypatch.setattr(cluster, "KNOCK_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                if says is None:
                    ended.wait(20)
                else:
                    connection.sendall(says)

        ended = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with pytest.raises(OSError, match="not Ray|timed out|reset"):
                cluster._knock(f"127.0.0.1:{server.getsockname()[1]}")
        finally:
            ended.set()
            thread.join()
