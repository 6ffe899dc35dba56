"""Work is done once per piece, in order, wherever it is done; what fails is one line."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import psutil
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


@pytest.mark.parametrize("thread", ["main", "another"])
def test_ctrl_c_while_a_piece_is_handed_over_is_not_lost(monkeypatch, thread):
    class Pool(engine.ProcessPoolExecutor):
        def submit(self, *call):
            if thread == "main":
                signal.raise_signal(signal.SIGINT)
            else:  # one that started before has no mask
                pressed.set()
                taken.wait()
            return super().submit(*call)

    def press() -> None:
        pressed.wait()
        signal.raise_signal(signal.SIGINT)
        taken.set()

    pressed, taken = threading.Event(), threading.Event()
    threading.Thread(target=press, daemon=True).start()
    monkeypatch.setattr(engine, "ProcessPoolExecutor", Pool)
    with pytest.raises(KeyboardInterrupt):
        list(engine.mapped(square, [(1,), (2,)], 1))


def count_to(number: int) -> None:
    for _ in range(number):
        engine.advance(0.5)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_piece_advances_by_is_told(workers):
    told: list[float] = []
    assert list(engine.mapped(count_to, ((n,) for n in range(9)), workers, told.append)) == [None] * 9
    assert sum(told) == 18.0


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def touch_or_wait(path: Path, number: int) -> int:
    if number == 0:
        wait_for(path)
    elif number == 19:
        path.touch()
    return number


def test_a_long_piece_does_not_keep_the_others_waiting(tmp_path):
    """The first one ends only once the last one is done."""
    pieces = ((tmp_path / "done", number) for number in range(20))
    assert list(engine.mapped(touch_or_wait, pieces, 2)) == list(range(20))


def test_closing_ends_the_pieces_under_way(tmp_path):
    before = set(multiprocessing.active_children())
    results = engine.mapped(touch_or_wait, ((tmp_path / "never", number) for number in (1, 0, 0)), 1)
    assert next(results) == 1
    children = [psutil.Process(child.pid) for child in set(multiprocessing.active_children()) - before]
    assert children
    start = time.monotonic()
    results.close()
    _, alive = psutil.wait_procs(children, 10)
    assert not alive and time.monotonic() - start < 10
